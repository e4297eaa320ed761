"""A slot: a region of flash with a payload at its start and a trailer at its end. The format is the project's own.

Spec: docs/flash.md, "Slots". The patched coreboot takes the whole slot with the highest version; the trailer is the
last thing that is written.
"""

from __future__ import annotations

import binascii

from shim.errors import FormatError
from shim.formats.fmap import find_map
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"BOOTSHIM"
TRAILER = Record("slot trailer", 96, """
    0x00  8s   magic
    0x08  Q    version
    0x10  I    payload_size          # bytes, from the start of the slot
    0x14  I    payload_crc32         # as gzip has it
    0x18  32s  payload_sha256
    0x38  36s  board                 # what the payload was built for
    0x5c  I    trailer_crc32         # of the 92 bytes before it
""")
ERASED = b"\xff"
SLOTS = ("BOOTSHIM_A", "BOOTSHIM_B")


class Slot(Value):
    """What a slot holds."""

    version: int
    board: str
    payload: bytes


def build_slot(payload: bytes, version: int, board: str, size: int) -> bytes:
    """Return the bytes of a whole slot. Raises FormatError for a payload that does not fit."""
    room = size - TRAILER.size
    if not 0 < len(payload) <= room:
        raise FormatError("the payload does not fit into the slot", room=room, needed=len(payload))
    trailer = TRAILER.build(
        magic=MAGIC, version=version, payload_size=len(payload), payload_crc32=binascii.crc32(payload),
        payload_sha256=_sha256(payload), board=_board(board),
    )[:-4]  # fmt: skip
    return payload + ERASED * (room - len(payload)) + trailer + binascii.crc32(trailer).to_bytes(4, "little")


def parse_slot(data: bytes) -> Slot:
    """Return what a slot holds. Raises FormatError for one that is empty, or not whole."""
    at = len(data) - TRAILER.size
    trailer = TRAILER.parse(data, at)
    if trailer["magic"] != MAGIC:
        raise FormatError("the slot is empty", at=at, expected=MAGIC, found=trailer["magic"])
    if binascii.crc32(data[at : at + TRAILER.size - 4]) != trailer["trailer_crc32"]:
        raise FormatError("the slot's trailer has a wrong checksum", at=at)
    if trailer["payload_size"] > at:
        raise FormatError("the slot's payload is longer than the slot", limit=at, found=trailer["payload_size"])
    payload = data[: trailer["payload_size"]]
    if binascii.crc32(payload) != trailer["payload_crc32"] or _sha256(payload) != trailer["payload_sha256"]:
        raise FormatError("the slot's payload is damaged", size=len(payload))
    board = trailer["board"].rstrip(b"\0").decode("ascii", "backslashreplace")
    return Slot(version=trailer["version"], board=board, payload=payload)


def read_slots(image: bytes) -> dict[str, Slot | FormatError]:
    """Return what each slot of an image of the whole chip holds, or why it holds nothing, by the region's name.

    Raises FormatError for an image without an FMAP that has both.
    """
    flash = find_map(image)
    found: dict[str, Slot | FormatError] = {}
    for name in SLOTS:
        region = flash.region(name)
        try:
            found[name] = parse_slot(image[region.offset : region.end])
        except FormatError as problem:
            found[name] = problem
    return found


def chosen(slots: Mapping[str, Slot | FormatError]) -> str | None:
    """Return the name of the slot that the firmware takes: the whole one with the highest version, the first of two."""
    whole = {name: slot.version for name, slot in slots.items() if isinstance(slot, Slot)}
    return max(whole, key=lambda name: whole[name]) if whole else None


def _board(name: str) -> bytes:
    encoded = name.encode("ascii", "backslashreplace")
    if len(encoded) > TRAILER.widths["board"]:
        raise FormatError("the board's name is too long", board=name, limit=TRAILER.widths["board"])
    return encoded


def _sha256(data: bytes) -> bytes:
    from hashlib import sha256

    return sha256(data).digest()
