"""Names of files in a configuration of the SYSLINUX family, as paths of its volume."""

from __future__ import annotations

from shim.entries.reading import CONTROLS, PATH_SIZE_MAX
from shim.errors import EntryError

SCHEMES = ("http://", "https://", "ftp://", "tftp://", "nfs://")


def resolve(name: str, base: str) -> str:
    """Return a name as an absolute path: one that begins with neither / nor :: begins at `base`.

    A backslash is a slash, as on FAT; `..` is followed as far as the root. Raises EntryError for what climbs out of it,
    for names on a network and for what is no name at all.
    """
    path = name.replace("\\", "/")
    if path.lower().startswith(SCHEMES):
        raise EntryError("a file on the network", file=name[:256])
    server, mark, behind = path.partition("::")
    if mark:
        if server:
            raise EntryError("a file on the network", file=name[:256])
        path = f"/{behind}"
    if not path.startswith("/"):
        path = f"{base}/{path}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise EntryError("a path must not climb out of its volume", file=name[:256])
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if not name or not parts or len(path) > PATH_SIZE_MAX or not CONTROLS.isdisjoint(path):
        raise EntryError("no path", file=name[:256])
    return "/" + "/".join(parts)
