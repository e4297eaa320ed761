"""What every file system says of itself: the common result of the superblock parsers beside this file.

Each of them is one module with `probe(read)`: None when the volume does not carry its magic, FormatError when it
does and the rest is nonsense. Checksums of superblocks are left to the kernel, which checks them when it mounts.
"""

from __future__ import annotations

from collections.abc import Callable

from shim.errors import FormatError
from shim.values import Value

Read = Callable[[int, int], bytes]
"""read(offset, size) returns exactly `size` bytes of the volume, or raises a ShimError."""


class Superblock(Value):
    """A file system's type as the kernel names it, label and UUID in blkid's form, and what else is worth saying.

    `size` is what the file system claims in bytes, None where it does not say. `dirty` means that it was not
    unmounted: a journal or log waits for its replay, which the boot shim never does.
    """

    fstype: str
    label: str | None = None
    uuid: str | None = None
    version: str | None = None
    size: int | None = None
    dirty: bool = False


def power_of_two(what: str, value: int, low: int, high: int) -> int:
    """Return `value` when it is a power of two in low..high. Raises FormatError with the field's name if not."""
    if not low <= value <= high or value & (value - 1):
        raise FormatError(f"{what} is no power of two in its range", low=low, high=high, found=value)
    return value
