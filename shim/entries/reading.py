"""What a dialect's reader gives back for one volume, and the paths that it is given."""

from __future__ import annotations

from shim.errors import EntryError
from shim.model import Entry, FileRef, Problem
from shim.values import Value

PATH_SIZE_MAX = 4096
CONTROLS = frozenset(map(chr, (*range(32), 127))) - {"\t"}


class Reading(Value):
    """The entries of one dialect, unranked, and what had to be passed over; `timeout` in seconds, where it says one."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    timeout: float | None = None


def file_ref(volume: str, path: str, key: str) -> FileRef:
    """Return a path from a configuration as a file of its volume: absolute, without . or ..

    Raises EntryError for a path that climbs, is empty, is too long to be one or has control characters in it.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise EntryError("a path must not climb with ..", key=key, path=path)
    if not parts or len(path) > PATH_SIZE_MAX or not CONTROLS.isdisjoint(path):
        raise EntryError("no path", key=key, path=path[:256])
    return FileRef(volume=volume, path="/" + "/".join(parts))
