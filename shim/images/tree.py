"""A file system in an image as a tree of files: paths, symbolic links and reading. The port is `shim.ports.Files`.

What differs from one file system to another is a `Reader`. Links are followed as `shim.system.files` has the kernel
follow them: inside the tree only, and none that is absolute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from errno import ELOOP, ENOENT, ENOTDIR, EUCLEAN, EXDEV
from typing import Any, Protocol

from shim.errors import FetchError, FormatError
from shim.values import Value

PATH_SIZE_MAX = 4096
LINKS_MAX = 40  # as Linux has it
STEPS_MAX = 40 * PATH_SIZE_MAX // 2
NAMES_MAX = 100_000
DIRECTORIES_KEPT = 64
PIECE_SIZE_MAX = 4 << 20

ReadAt = Callable[[int, int], bytes]
Run = tuple[int | None, int]
"""Where bytes of a file lie on the volume (None: they are zeros), and how many."""


class Kind(Enum):
    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    OTHER = "other"


class Node(Value):
    """A file, directory or link. `key` is unique in its file system; `where` is the reader's own."""

    key: object
    kind: Kind
    size: int = 0
    where: Any = None


class Directory(Value):
    """The names in a directory as they are shown, and what each leads to, by its name as `Reader.folded` has it."""

    names: tuple[str, ...]
    found: Mapping[str, Any]


class Reader(Protocol):
    """One file system. `notes` are sentences that whoever reads it should know.

    Every method raises FormatError for a file system that is damaged there, or FetchError.
    """

    notes: tuple[str, ...]

    @property
    def root(self) -> Node: ...
    def folded(self, name: str) -> str:
        """Return the form in which names are compared."""
    def directory(self, node: Node) -> Directory: ...
    def node(self, found: Any) -> Node:
        """Return what a directory's entry leads to."""
    def runs(self, node: Node) -> Iterator[Run]:
        """Yield where a file's bytes lie, at least `node.size` of them."""
    def target(self, node: Node) -> str:
        """Return where a symbolic link leads."""


class ImageFiles:
    """The files of one volume of an image."""

    def __init__(self, reader: Reader, read_at: ReadAt) -> None:
        self.reader, self.notes = reader, reader.notes
        self._read_at = read_at
        self._kept: dict[object, Directory] = {}

    def names(self, path: str) -> tuple[str, ...] | None:
        """Return the sorted names in a directory; None when there is no such directory."""
        try:
            node = self._walk(path)
        except FetchError as problem:
            if problem.facts.get("errno") in (ENOENT, ENOTDIR):
                return None
            raise
        if node.kind is not Kind.DIRECTORY:
            return None
        with damaged(path):
            return self._directory(node).names

    def exists(self, path: str) -> bool:
        """Say whether a regular file is there."""
        try:
            return self._walk(path).kind is Kind.FILE
        except FetchError:
            return False

    def open(self, path: str) -> ImageSource:
        """Open a regular file. Raises FetchError when it is absent, is not regular or leaves the tree."""
        node = self._walk(path)
        if node.kind is not Kind.FILE:
            raise FetchError("not a regular file", path=path)
        with damaged(path):
            return ImageSource(self._read_at, self.reader.runs(node), node.size, path)

    def read(self, path: str, limit: int) -> bytes:
        """Return a whole small file. Raises FetchError when it is longer than `limit` bytes."""
        source = self.open(path)
        if source.size > limit:
            raise FetchError("the file is too long", path=path, limit=limit)
        return source.read(source.size)

    def _walk(self, path: str) -> Node:
        """Return what a path leads to, links followed. Raises FetchError."""
        if len(path) > PATH_SIZE_MAX:
            raise FetchError("the path is too long", path=path[:64])
        trail, left = [self.reader.root], path.split("/")[::-1]
        links = steps = 0
        while left:
            name = left.pop()
            steps += 1
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) == 1:
                    raise FetchError("a symbolic link or .. leads out of the volume", path=path, errno=EXDEV)
                trail.pop()
                continue
            with damaged(path):
                node = self._child(trail[-1], name, path)
                if node.kind is not Kind.LINK:
                    trail.append(node)
                    continue
                links += 1
                target = self.reader.target(node)
            if links > LINKS_MAX or steps > STEPS_MAX:
                raise FetchError("too many symbolic links", path=path, errno=ELOOP)
            if target.startswith("/"):
                raise FetchError("a symbolic link or .. leads out of the volume", path=path, errno=EXDEV)
            left += target[:PATH_SIZE_MAX].split("/")[::-1]
        return trail[-1]

    def _child(self, node: Node, name: str, path: str) -> Node:
        if node.kind is not Kind.DIRECTORY:
            raise FetchError("no such file", path=path, errno=ENOTDIR)
        found = self._directory(node).found.get(self.reader.folded(name))
        if found is None:
            raise FetchError("no such file", path=path, errno=ENOENT)
        return self.reader.node(found)

    def _directory(self, node: Node) -> Directory:
        if node.key not in self._kept:
            if len(self._kept) >= DIRECTORIES_KEPT:
                self._kept.clear()
            self._kept[node.key] = self.reader.directory(node)
        return self._kept[node.key]


class ImageSource:
    """An open file of an image, read once from its beginning. The port is `shim.ports.Source`."""

    def __init__(self, read_at: ReadAt, runs: Iterator[Run], size: int, path: str) -> None:
        self.size, self.path = size, path
        self._read_at, self._runs = read_at, runs
        self._run: Run = (None, 0)
        self._left = size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer than asked only at the end."""
        pieces = []
        while size and self._left:
            start, count = self._next(min(size, PIECE_SIZE_MAX))
            pieces.append(bytes(count) if start is None else self._read_at(start, count))
            size -= count
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        """Go on `size` bytes further without reading them."""
        while size and self._left:
            size -= self._next(size)[1]

    def close(self) -> None:
        self._left = 0
        self._runs = iter(())

    def _next(self, size: int) -> Run:
        """Take up to `size` bytes that lie together."""
        with damaged(self.path):
            while not self._run[1]:
                run = next(self._runs, None)
                if run is None:
                    raise FormatError("the file ends before its size", size=self.size, missing=self._left)
                self._run = run
        start, length = self._run
        count = min(size, length, self._left)
        self._run = (None if start is None else start + count, length - count)
        self._left -= count
        return start, count


def make_directory(reader: Reader, items: Iterator[tuple[str, Any]]) -> Directory:
    """Return a directory of (name, what it leads to); the first of two names that are one counts.

    Raises FetchError when there are too many.
    """
    names: list[str] = []
    found: dict[str, Any] = {}
    for name, lead in items:
        if len(names) >= NAMES_MAX:
            raise FetchError("too many files in one directory", limit=NAMES_MAX)
        names.append(name)
        found.setdefault(reader.folded(name), lead)
    return Directory(names=tuple(sorted(names)), found=found)


def gather(read_at: ReadAt, runs: Iterator[Run], size: int, limit: int) -> bytes:
    """Return `size` bytes of runs. Raises FormatError when they are more than `limit` or end too early."""
    if size > limit:
        raise FormatError("longer than it may be", size=size, limit=limit)
    pieces, left = [], size
    for start, count in runs:
        taken = min(count, left)
        pieces.append(bytes(taken) if start is None else read_at(start, taken))
        left -= taken
        if not left:
            break
    if left:
        raise FormatError("the content ends before its size", size=size, missing=left)
    return b"".join(pieces)


@contextmanager
def damaged(path: str) -> Iterator[None]:
    """Turn a FormatError into the FetchError that a mounted file system would give, with the reason in it."""
    try:
        yield
    except FormatError as problem:
        raise FetchError("the file system is damaged there", path=path, problem=str(problem),
                         errno=EUCLEAN) from problem
