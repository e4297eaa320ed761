"""Disk images and ISO files, read on the host without root and without mounting. None of it is in flash.

The machine has the kernel mount its disks; here our own readers stand in for it, so that the same code finds the same
entries on a laptop. They are small, never write, and what an image says of itself is never believed further than the
image reaches.
"""

from __future__ import annotations

from collections.abc import Callable

from shim.errors import FetchError
from shim.images.ext import ExtReader
from shim.images.fat import FatReader
from shim.images.iso9660 import IsoReader
from shim.images.tree import ImageFiles, ReadAt, Reader

__all__ = ["READERS", "ImageFiles", "open_files"]

READERS: dict[str, Callable[[ReadAt], Reader]] = {
    "vfat": FatReader,
    "ext2": ExtReader,
    "ext3": ExtReader,
    "ext4": ExtReader,
    "iso9660": IsoReader,
}


def open_files(fstype: str, read_at: ReadAt) -> ImageFiles:
    """Return the files of a volume. Raises FetchError for a file system that has no reader, FormatError for a broken
    one."""
    if fstype not in READERS:
        raise FetchError(f"{fstype} is not read without mounting it", read=", ".join(READERS))
    return ImageFiles(READERS[fstype](read_at), read_at)
