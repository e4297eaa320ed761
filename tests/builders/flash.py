"""Small flash images with an FMAP and two slots, made field by field."""

from __future__ import annotations

from shim.formats.fmap import AREA, HEADER
from shim.formats.slot import SLOTS

BLOCK = 4096
SLOT_SIZE = 4 * BLOCK
SIZE = 16 * BLOCK
MAP_AT = 9 * BLOCK
BOARD = "coreboot-q35"
REGIONS = {
    "FLASH": (0, SIZE, 1), SLOTS[0]: (0, SLOT_SIZE, 0), SLOTS[1]: (SLOT_SIZE, SLOT_SIZE, 0),
    "LOCKED": (8 * BLOCK, BLOCK, 4), "FMAP": (MAP_AT, BLOCK, 1), "COREBOOT": (10 * BLOCK, 6 * BLOCK, 0),
}  # fmt: skip


def flash_map(regions: dict[str, tuple[int, int, int]] = REGIONS, size: int = SIZE) -> bytes:
    """Return an FMAP."""
    head = HEADER.build(signature=b"__FMAP__", ver_major=1, ver_minor=1, base=(1 << 32) - size, size=size,
                        name=b"FLASH", nareas=len(regions))  # fmt: skip
    return head + b"".join(AREA.build(offset=at, size=length, name=name.encode(), flags=flags)
                           for name, (at, length, flags) in regions.items())  # fmt: skip


def flash_image(first: bytes = b"", second: bytes = b"") -> bytes:
    """Return an image of the whole chip with these slots."""
    image = bytearray(b"\xa5" * SIZE)
    image[: 2 * SLOT_SIZE] = first.ljust(SLOT_SIZE, b"\xff") + second.ljust(SLOT_SIZE, b"\xff")
    made = flash_map()
    image[MAP_AT : MAP_AT + len(made)] = made
    return bytes(image)
