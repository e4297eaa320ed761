"""OS packages of System Transparency: NAME.zip with its descriptor NAME.json, in a directory of a volume.

Spec: stboot looks into /ospkg of its initramfs, and older versions kept packages on the partition STDATA under
/stboot/os_pkgs/local. Nothing in an archive is looked at before it was judged, so an entry is called as its file is.
"""

from __future__ import annotations

from shim.entries.reading import Reading
from shim.errors import ShimError
from shim.model import Entry, FileRef, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.model import Volume
    from shim.ports import Files

DIRECTORIES = ("/ospkg", "/boot/ospkg", "/stboot/os_pkgs/local")
ARCHIVE, DESCRIPTOR = ".zip", ".json"
PACKAGES_MAX = 200
DESCRIPTOR_SIZE_MAX = 1 << 18


def read_ospkg(volume: Volume, files: Files) -> Reading:
    """Return an entry for each archive, with or without a descriptor: other kinds of judgement need none.

    A descriptor that has lost its archive is a problem.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    for directory in DIRECTORIES:
        names = [name for name in files.names(directory) or () if not name.startswith(".")]
        archives = [name for name in names if name.endswith(ARCHIVE) and name.isprintable()]
        if len(archives) > PACKAGES_MAX:
            text = f"only the first {PACKAGES_MAX} of {len(archives)} OS packages are read"
            problems.append(Problem(source=f"{volume.name}:{directory}", error=text))
        entries += [_entry(volume, files, directory, name, name.removesuffix(ARCHIVE) + DESCRIPTOR in names)
                    for name in archives[:PACKAGES_MAX]]
        problems += _lost(volume, directory, names)
    return Reading(entries=tuple(entries), problems=tuple(problems))


def _entry(volume: Volume, files: Files, directory: str, name: str, described: bool) -> Entry:
    path, stem = f"{directory}/{name}", name.removesuffix(ARCHIVE)
    entry = Entry(
        id=name, dialect="ospkg", volume=volume.name, source=f"{path}:0", title=stem,
        ospkg=FileRef(volume=volume.name, path=path), trace=(f"an OS package: {volume.name}:{path}",),
    )  # fmt: skip
    if not described:
        return entry.traced(f"no descriptor {stem}{DESCRIPTOR} lies beside it")
    return entry.traced(_told(files, f"{directory}/{stem}{DESCRIPTOR}"))


def _told(files: Files, path: str) -> str:
    """Say what a descriptor claims; one that cannot be read makes no entry worse, because it decides nothing here."""
    from shim.formats.ospkg import parse_descriptor

    try:
        descriptor = parse_descriptor(files.read(path, DESCRIPTOR_SIZE_MAX))
    except ShimError as problem:
        return f"its descriptor cannot be read: {problem}"
    origin = f", published at {descriptor.os_pkg_url}" if descriptor.os_pkg_url else ""
    return f"its descriptor {path} has {len(descriptor.pairs)} signatures{origin}"


def _lost(volume: Volume, directory: str, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if name.endswith(DESCRIPTOR) and name.removesuffix(DESCRIPTOR) + ARCHIVE not in names:
            source = f"{volume.name}:{directory}/{name}"
            yield Problem(source=source, error="the archive of this OS package is not there")
