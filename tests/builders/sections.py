"""PE files of named sections, without code in them: UKIs and add-ons as small as tests need them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

OPTIONAL_SIZE = 112 + 128
HEADERS_SIZE = 0x800


def sectioned_pe(*sections: tuple[str, bytes], machine: int = 0x8664) -> bytes:
    """Return a PE32+ file with these sections, in this order, each padded to 512 bytes of the file."""
    optional = bytearray(OPTIONAL_SIZE)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 0x20, 0x1000, 0x200)
    struct.pack_into("<II", optional, 0x38, 0x1000 * (1 + len(sections)), HEADERS_SIZE)
    struct.pack_into("<H", optional, 0x44, 10)
    struct.pack_into("<I", optional, 0x6C, 16)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, OPTIONAL_SIZE, 0x22)
    headers = struct.pack("<2s58xI", b"MZ", 64) + coff + bytes(optional)
    return _with_sections(headers, sections)


def _with_sections(headers: bytes, sections: Sequence[tuple[str, bytes]]) -> bytes:
    body = b""
    for number, (name, data) in enumerate(sections, 1):
        padded = data.ljust(-(-len(data) // 0x200) * 0x200, b"\0")
        headers += struct.pack("<8sIIIIIIHHI", name.encode(), len(data), 0x1000 * number, len(padded),
                               HEADERS_SIZE + len(body), 0, 0, 0, 0, 0x40000040)
        body += padded
    return headers.ljust(HEADERS_SIZE, b"\0") + body
