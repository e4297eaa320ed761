"""A tree of files under one directory, from which no path leads out. The protocol is `shim.ports.Files`."""

from __future__ import annotations

import errno
import os
import stat

from shim.errors import FetchError, SystemError_
from shim.system.calls import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, openat2

PATH_SIZE_MAX = 4096
NAMES_MAX = 100_000
ABSENT = (errno.ENOENT, errno.ENOTDIR)
SENTENCES = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EXDEV: "a symbolic link or .. leads out of the volume",
    errno.ELOOP: "too many symbolic links",
    errno.EACCES: "the file may not be read",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EIO: "the device cannot read it",
    errno.EUCLEAN: "the file system is damaged there",
}


class TreeFiles:
    """Files under `root`. Links are followed inside the tree only, as openat2(2) with RESOLVE_BENEATH has it.

    `crossing` lets paths go into other file systems that are mounted inside the tree (/proc and /sys of a machine).
    """

    def __init__(self, root: str, *, crossing: bool = False) -> None:
        self.root = root
        self._resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (0 if crossing else RESOLVE_NO_XDEV)
        self._directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the tree, so that it can be unmounted."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def names(self, path: str) -> tuple[str, ...] | None:
        """Return the sorted names in a directory; None when there is no such directory."""
        try:
            fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FetchError as problem:
            if problem.facts.get("errno") in ABSENT:
                return None
            raise
        try:
            names = os.listdir(fd)
        except OSError as problem:
            raise _sentence(problem.errno or 0, path) from problem
        finally:
            os.close(fd)
        if len(names) > NAMES_MAX:
            raise FetchError("too many files in one directory", path=path, limit=NAMES_MAX, found=len(names))
        return tuple(sorted(names))

    def exists(self, path: str) -> bool:
        """Say whether a regular file is there."""
        try:
            fd = self._open(path, os.O_PATH)
        except FetchError:
            return False
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def open(self, path: str) -> FileSource:
        """Open a regular file. Raises FetchError when it is absent, is not regular or leaves the tree."""
        fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hold us up
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise FetchError("not a regular file", path=path)
        return FileSource(fd, status.st_size, path)

    def read(self, path: str, limit: int) -> bytes:
        """Return a whole small file, whatever size it claims to have (files of /sys do not know)."""
        source = self.open(path)
        try:
            pieces, total = [], 0
            while total <= limit and (piece := source.read(min(limit + 1 - total, 1 << 16))):
                pieces.append(piece)
                total += len(piece)
        finally:
            source.close()
        if total > limit:
            raise FetchError("the file is too long", path=path, limit=limit)
        return b"".join(pieces)

    def _open(self, path: str, flags: int) -> int:
        if len(path) > PATH_SIZE_MAX:
            raise _sentence(errno.ENAMETOOLONG, path[:64])
        if self._directory < 0:
            raise FetchError("the volume is not mounted any more", path=path)
        try:
            return openat2(self._directory, path.lstrip("/") or ".", flags | os.O_CLOEXEC, self._resolve)
        except SystemError_ as problem:
            raise _sentence(problem.errno, path) from problem


class FileSource:
    """An open regular file, read once from its beginning. The protocol is `shim.ports.Source`."""

    def __init__(self, fd: int, size: int, path: str) -> None:
        self.size, self.path, self._fd = size, path, fd

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer than asked only at the end."""
        try:
            return os.read(self._fd, size)
        except OSError as problem:
            raise _sentence(problem.errno or 0, self.path) from problem

    def skip(self, size: int) -> None:
        """Go on `size` bytes further without reading them."""
        try:
            os.lseek(self._fd, size, os.SEEK_CUR)
        except OSError as problem:
            raise _sentence(problem.errno or 0, self.path) from problem

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _sentence(number: int, path: str) -> FetchError:
    return FetchError(SENTENCES.get(number, os.strerror(number)), path=path, errno=number)
