"""A tree of files that remembers the small files which were read from it: what was parsed is what is judged."""

from __future__ import annotations

from shim.errors import FetchError
from shim.fetch.stream import read_beside
from shim.model import Artifact, FileRef, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shim.model import Entry
    from shim.ports import Blobs, Files, Hash, Source

KEPT_SIZE_MAX = 64 << 20


class Snapshot:
    """A tree, with what was read whole kept until the next `clear`. The protocol is `shim.ports.Files`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: dict[str, bytes] = {}
        self._size = 0

    def names(self, path: str) -> tuple[str, ...] | None:
        return self._files.names(path)

    def exists(self, path: str) -> bool:
        return self._files.exists(path)

    def open(self, path: str) -> Source:
        return self._files.open(path)

    def read(self, path: str, limit: int) -> bytes:
        """Return a file, the same bytes each time. Raises FetchError when all of them together are too long."""
        if path in self._kept and len(self._kept[path]) <= limit:
            return self._kept[path]
        data = self._files.read(path, limit)
        self._size += len(data)
        if self._size > KEPT_SIZE_MAX:
            raise FetchError("the boot configuration is too long to be kept", file=path, limit=KEPT_SIZE_MAX)
        self._kept[path] = data
        return data

    def kept(self, path: str) -> bytes:
        """Return what was read of a file. Raises FetchError when nothing was."""
        if path not in self._kept:
            raise FetchError("this file of the boot configuration was not kept when it was read", file=path)
        return self._kept[path]


def fetch_configuration(
    entry: Entry, trees: Mapping[str, Snapshot], blobs: Blobs, new_hash: Callable[[], Hash], suffixes: Sequence[str]
) -> tuple[Artifact, ...]:
    """Return the files that an entry was read from, as they were read, with what lies beside them.

    Raises FetchError when one of them is not at hand any more.
    """
    found: list[Artifact] = []
    for ref in entry.configuration:
        if ref.volume not in trees:
            raise FetchError("the volume of the boot configuration is not there", file=str(ref))
        found.append(_artifact(ref, trees[ref.volume], blobs, new_hash, suffixes))
    return tuple(found)


def _artifact(
    ref: FileRef, tree: Snapshot, blobs: Blobs, new_hash: Callable[[], Hash], suffixes: Sequence[str]
) -> Artifact:
    data, running = tree.kept(ref.path), new_hash()
    running.update(data)
    sink = blobs.create(f"entry:{ref.path.rsplit('/', 1)[-1]}")
    sink.write(data)
    return Artifact(role=Role.ENTRY, name=str(ref), size=len(data), sha256=running.digest(), blob=sink.seal(),
                    beside=read_beside(ref, tree, suffixes))
