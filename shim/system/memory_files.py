"""Files and devices that are made of bytes in memory. Ports: `shim.ports.Files`, `Source` and `Device`."""

from __future__ import annotations

from shim.errors import FetchError, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.ports import Files, Source


class MemoryFiles:
    """A tree of regular files by absolute path. An error in place of the content is raised by whoever opens it."""

    def __init__(self, contents: Mapping[str, bytes | ShimError]) -> None:
        self.contents = {_absolute(path): content for path, content in contents.items()}

    def names(self, path: str) -> tuple[str, ...] | None:
        """Return the sorted names in a directory; None when there is no such directory."""
        inside = f"{_absolute(path)}/" if _absolute(path) != "/" else "/"
        names = {known[len(inside) :].partition("/")[0] for known in self.contents if known.startswith(inside)}
        return tuple(sorted(names)) if names or inside == "/" else None

    def exists(self, path: str) -> bool:
        """Say whether a regular file is there."""
        try:
            return _absolute(path) in self.contents
        except FetchError:
            return False

    def open(self, path: str) -> MemorySource:
        """Open a file. Raises FetchError when it is absent or the path leaves the tree."""
        content = self.contents.get(_absolute(path))
        if content is None:
            reason = "no such file" if self.names(path) is None else "not a regular file"
            raise FetchError(reason, path=path)
        if isinstance(content, ShimError):
            raise content
        return MemorySource(content)

    def read(self, path: str, limit: int) -> bytes:
        """Return a whole small file. Raises FetchError when it is longer than `limit` bytes."""
        source = self.open(path)
        if source.size > limit:
            raise FetchError("the file is too long", path=path, limit=limit)
        return source.read(source.size)


class MemorySource:
    """An open file in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data, self._at = data, 0

    def read(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def skip(self, size: int) -> None:
        self._at += size

    def close(self) -> None:
        self._data = b""


class MountedFiles:
    """A tree of files that can be let go: after `close` it answers as an unmounted volume does."""

    def __init__(self, tree: Files) -> None:
        self._tree: Files | None = tree

    def names(self, path: str) -> tuple[str, ...] | None:
        return self._mounted(path).names(path)

    def exists(self, path: str) -> bool:
        return self._tree is not None and self._tree.exists(path)

    def open(self, path: str) -> Source:
        return self._mounted(path).open(path)

    def read(self, path: str, limit: int) -> bytes:
        return self._mounted(path).read(path, limit)

    def close(self) -> None:
        self._tree = None

    def _mounted(self, path: str) -> Files:
        if self._tree is None:
            raise FetchError("the volume is not mounted any more", path=path)
        return self._tree


class MemoryDevice:
    """A disk that is made of bytes."""

    def __init__(self, name: str, data: bytes, sector_size: int = 512) -> None:
        self.name, self.size, self.sector_size = name, len(data), sector_size
        self._data = data

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`. Raises FetchError beyond the end."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FetchError("beyond the end of the device", device=self.name, at=offset, size=size, end=self.size)
        return self._data[offset : offset + size]

    def close(self) -> None:
        self._data = b""
        self.size = 0


def _absolute(path: str) -> str:
    """Return a path with . and .. and repeated slashes resolved. Raises FetchError for one that leaves the tree."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not kept:
                raise FetchError("a symbolic link or .. leads out of the volume", path=path)
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)
