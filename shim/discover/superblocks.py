"""Which file system is on a volume: one line a kind, in the order of certainty (FAT has no magic of its own)."""

from __future__ import annotations

from shim.errors import FetchError
from shim.formats import btrfs, erofs, ext, f2fs, iso9660, squashfs, vfat, xfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Superblock
    from shim.ports import Device

PROBES = (
    ext.probe,
    xfs.probe,
    btrfs.probe,
    f2fs.probe,
    erofs.probe,
    squashfs.probe,
    iso9660.probe,
    vfat.probe,
)


def find_superblock(device: Device) -> Superblock | None:
    """Return what the file system on a device says of itself; None when none of the known kinds is there.

    Raises FormatError for a file system whose superblock is nonsense.
    """
    for probe in PROBES:
        try:
            found = probe(device.read_at)
        except FetchError as problem:
            if "end" not in problem.facts:
                raise
            continue  # the volume is shorter than where this kind keeps its superblock
        if found is not None:
            return found
    return None
