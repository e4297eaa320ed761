"""Sizes and alignments. Bytes everywhere unless a name says otherwise."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
SECTOR_SIZE = 512
PAGE_SIZE = 4096


def align_down(value: int, alignment: int) -> int:
    """Return the largest multiple of `alignment` (any positive number) that is not above `value`."""
    return value - value % alignment


def align_up(value: int, alignment: int) -> int:
    """Return the smallest multiple of `alignment` (any positive number) that is not below `value`."""
    return -(-value // alignment) * alignment


def size_text(size: int) -> str:
    """Say a size as people read it: 512 B, 13.4 MiB."""
    if size < KIB:
        return f"{size} B"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    raise ValueError(size)
