"""A tree of files that remembers what it was asked for and did not have. The port is `shim.ports.Files`."""

from __future__ import annotations

from shim.errors import FetchError
from shim.ports import Files, Source

ABSENT_MAX = 10_000


class WatchedFiles:
    """Another tree, and in `absent` the paths that are not there, each once, in the order of the questions."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._absent: dict[str, None] = {}

    @property
    def absent(self) -> tuple[str, ...]:
        return tuple(self._absent)

    def names(self, path: str) -> tuple[str, ...] | None:
        names = self._files.names(path)
        if names is None:
            self._note(path)
        return names

    def exists(self, path: str) -> bool:
        found = self._files.exists(path)
        if not found:
            self._note(path)
        return found

    def open(self, path: str) -> Source:
        try:
            return self._files.open(path)
        except FetchError:
            if not self._files.exists(path):
                self._note(path)
            raise

    def read(self, path: str, limit: int) -> bytes:
        try:
            return self._files.read(path, limit)
        except FetchError:
            if not self._files.exists(path):
                self._note(path)
            raise

    def _note(self, path: str) -> None:
        if len(self._absent) < ABSENT_MAX:
            self._absent.setdefault(path)
