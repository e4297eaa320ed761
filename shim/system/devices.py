"""Block devices, and disk images in their place. Ports: `shim.ports.Devices` and `Device`."""

from __future__ import annotations

import os
import stat

from shim.errors import FetchError, SystemError_
from shim.system.uevents import Uevents

READ_MAX = 64 << 20


class BlockDevices:
    """The machine's block devices, by their names in /dev."""

    def __init__(self) -> None:
        self._uevents = Uevents()

    def open(self, name: str) -> BlockDevice:
        """Open a device by its kernel name for reading. Raises SystemError_, or FetchError for no block device."""
        path = f"/dev/{name.replace('!', '/')}"
        device = BlockDevice(path, name, _sector_size(name))
        if not stat.S_ISBLK(device.mode):
            device.close()
            raise FetchError("not a block device", path=path)
        return device

    def wait(self, seconds: float) -> bool:
        """Wait for the kernel to announce a change of devices. False when the time ran out without one."""
        return self._uevents.wait(seconds)


class BlockDevice:
    """A block device or an image, opened for reading only. Sizes in bytes."""

    def __init__(self, path: str, name: str, sector_size: int) -> None:
        self.name, self.sector_size = name, sector_size
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self.mode = os.fstat(self._fd).st_mode
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as problem:
            raise SystemError_("cannot open the device", problem.errno or 0, path=path) from problem

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`. Raises FetchError beyond the end and on I/O errors."""
        if offset < 0 or not 0 <= size <= READ_MAX or offset + size > self.size:
            raise FetchError("beyond the end of the device", device=self.name, at=offset, size=size, end=self.size)
        pieces = []
        while size:
            try:
                piece = os.pread(self._fd, size, offset)
            except OSError as problem:
                raise FetchError("the device cannot be read", device=self.name, at=offset,
                                 error=os.strerror(problem.errno or 0)) from problem
            if not piece:
                raise FetchError("the device ended early", device=self.name, at=offset)
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ImageFile(BlockDevice):
    """A disk image in place of a disk: for the host command and for tests."""

    def __init__(self, path: str, sector_size: int = 512, name: str | None = None) -> None:
        super().__init__(path, name or os.path.basename(path), sector_size)


def _sector_size(name: str) -> int:
    """Return the logical sector size; a partition has that of its disk."""
    for path in (f"/sys/class/block/{name}/queue", f"/sys/class/block/{name}/../queue"):
        try:
            with open(f"{path}/logical_block_size", encoding="ascii") as stream:
                return int(stream.read())
        except (OSError, ValueError):
            continue
    return 512
