"""Volumes, mounted read-only. The protocol is `shim.ports.Mounts`. Spec: mount(2); the file systems' own pages.

A dirty journal is never replayed: replaying writes to the user's disk, and what a power cut left is for its owner's
own kernel to repair. The device itself is left writable (BLKROSET would outlive us in a recovery shell).
"""

from __future__ import annotations

import os

from shim.errors import SystemError_
from shim.system import calls
from shim.system.files import TreeFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Volume

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
OPTIONS = {
    # Options that keep a journal from being replayed, and names from being mangled. Documentation/filesystems/.
    "ext2": "noload",
    "ext3": "noload",
    "ext4": "noload",
    "xfs": "norecovery,nouuid",
    "btrfs": "rescue=nologreplay",
    "f2fs": "norecovery",
    "vfat": "utf8=1,errors=continue",
    "iso9660": "",
    "squashfs": "",
    "erofs": "",
}
DRIVERS = {"ext2": "ext4", "ext3": "ext4"}  # ext4's driver mounts its ancestors, and always knows noload


class LinuxMounts:
    """Mounts under one directory, one directory a volume."""

    def __init__(self, base: str = "/run/bootshim") -> None:
        self._base = base
        self._mounted: list[tuple[str, TreeFiles]] = []

    def mount(self, volume: Volume) -> TreeFiles:
        """Mount a volume read-only. Raises SystemError_ with the errno of mount(2)."""
        fstype = volume.fstype or ""
        if fstype not in OPTIONS:
            raise SystemError_("this file system is not mounted", 19, volume=volume.name, fstype=fstype)
        target = f"{self._base}/{volume.name.replace('/', '!')}"
        try:
            os.makedirs(target, mode=0o700, exist_ok=True)
        except OSError as problem:
            raise SystemError_("cannot make a mount point", problem.errno or 0, path=target) from problem
        calls.mount(volume.device, target, DRIVERS.get(fstype, fstype), FLAGS, OPTIONS[fstype])
        files = TreeFiles(target)
        self._mounted.append((target, files))
        return files

    def close(self) -> None:
        """Unmount everything that was mounted; one that is in use is let go lazily."""
        while self._mounted:
            target, files = self._mounted.pop()
            files.close()
            try:
                calls.umount(target)
            except SystemError_:
                calls.umount(target, calls.MNT_DETACH)
