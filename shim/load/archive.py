"""One initrd of several."""

from __future__ import annotations

from shim.values import Value


class Archive(Value):
    """One initrd: its name in messages, its bytes, and their SHA-256 where it is known already."""

    name: str
    data: bytes | memoryview
    sha256: bytes | None = None
