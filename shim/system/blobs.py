"""Where fetched bytes are kept: sealed memfds in the machine, plain memory in a dry run. Ports: `Blobs` and `Sink`.

Spec: memfd_create(2), fcntl(2) F_ADD_SEALS. kexec_file_load wants a file that nobody holds open for writing, so the
writer is closed and the blob is a fresh read-only descriptor of the same memory.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from shim.errors import SystemError_

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
NAME_SIZE_MAX = 200


class MemfdBlobs:
    """Blobs as sealed memfds."""

    def create(self, name: str) -> MemfdSink:
        shown = name.replace("\0", "?")[:NAME_SIZE_MAX]
        try:
            return MemfdSink(os.memfd_create(shown, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), name)
        except OSError as problem:
            raise SystemError_("cannot make memory for a file", problem.errno or 0, name=name) from problem


class MemfdSink:
    """A memfd while it is written."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd, self._name = fd, name

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as problem:
            raise SystemError_("no memory for a file", problem.errno or 0, name=self._name) from problem

    def seal(self) -> MemfdBlob:
        """Make the bytes unchangeable and return them."""
        try:
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, SEALS)
            reader = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as problem:
            raise SystemError_("cannot seal a file in memory", problem.errno or 0, name=self._name) from problem
        finally:
            self.discard()
        return MemfdBlob(reader)

    def discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class MemfdBlob:
    """Sealed bytes. The mapping is made when it is first looked at."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None
        self.size = os.fstat(fd).st_size

    def view(self) -> memoryview:
        if self.size == 0:
            return memoryview(b"")
        if self._map is None:
            self._map = mmap.mmap(self._fd, self.size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        return memoryview(self._map)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Let go of the bytes; views of them keep the mapping until they are gone."""
        self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class MemoryBlobs:
    """Blobs in plain memory, for a dry run."""

    def create(self, name: str) -> MemorySink:
        return MemorySink()


class MemorySink:
    """Bytes in memory while they are written."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._data += data

    def seal(self) -> MemoryBlob:
        return MemoryBlob(bytes(self._data))

    def discard(self) -> None:
        self._data = bytearray()


class MemoryBlob:
    """Bytes in memory. It has no descriptor: a dry run loads nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.closed = False

    def view(self) -> memoryview:
        return memoryview(self._data)

    def fileno(self) -> int:
        raise SystemError_("bytes in memory have no descriptor", 9)

    def close(self) -> None:
        self.closed = True
