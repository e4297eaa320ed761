"""GRUB's configurations. Spec: GNU GRUB manual 2.12; what GRUB 2.06 and 2.12 do where that is silent.

Here is only where they are looked for: the interpreter is imported when there is one.
"""

from __future__ import annotations

from shim.entries.reading import Reading
from shim.errors import ShimError
from shim.model import PartitionKind, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.model import Volume
    from shim.ports import Files

VENDORS = ("/EFI", "/efi")
DIRECTORIES = ("/boot/grub", "/boot/grub2", "/grub", "/grub2")
# btrfs, mounted at its top.
SUBVOLUMES = ("/@", "/@rootfs", "/root")
NAME = "grub.cfg"
VENDORS_MAX = 32


def read_grub(volumes: Sequence[tuple[Volume, Files]], architecture: str = "x64") -> Reading:
    """Return the entries of every volume's grub.cfg, those that start an ESP's first: a stub there leads on.

    `architecture` in the words of UEFI.
    """
    found = list(_configurations(volumes))
    if not found:
        return Reading()
    from shim.entries.grub.read import read_configurations

    return read_configurations(volumes, [place for place in found if not isinstance(place, Problem)],
                               [place for place in found if isinstance(place, Problem)], architecture)


def _configurations(volumes: Sequence[tuple[Volume, Files]]) -> Iterator[tuple[Volume, Files, str] | Problem]:
    """Yield where there is a configuration, in the order in which they are read."""
    for volume, files in sorted(volumes, key=lambda pair: pair[0].kind is not PartitionKind.ESP):
        try:
            for path in (*_vendors(files), *_paths(files)):
                yield volume, files, path
        except ShimError as problem:
            yield Problem(source=f"{volume.name} (grub)", error=str(problem))


def _vendors(files: Files) -> Iterator[str]:
    """Yield the grub.cfg beside each vendor's loader, that of the fallback loader (BOOT) last."""
    for top in VENDORS:
        names = files.names(top)
        for name in sorted(names or (), key=lambda name: name.upper() == "BOOT")[:VENDORS_MAX]:
            path = f"{top}/{name}/{NAME}"
            if files.exists(path):
                yield path
        if names:
            return


def _paths(files: Files) -> Iterator[str]:
    for directory in DIRECTORIES:
        if files.exists(f"{directory}/{NAME}"):
            yield f"{directory}/{NAME}"
    for subvolume in SUBVOLUMES:
        for directory in DIRECTORIES[:2]:
            if files.exists(f"{subvolume}{directory}/{NAME}"):
                yield f"{subvolume}{directory}/{NAME}"
