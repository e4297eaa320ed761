"""What encloses sections in a firmware file: LZMA, a checksum, or nothing at all.

Spec: UEFI PI 1.8, volume 3, 3.2.5 (EFI_SECTION_COMPRESSION, _GUID_DEFINED, _DISPOSABLE). The GUIDs of LZMA are
EDK II's (MdeModulePkg, LzmaDecompress.h); its bytes are those of an .lzma file whose header tells the true size.
"""

from __future__ import annotations

import binascii
import lzma

from shim.errors import FormatError
from shim.formats.efi_section import (
    COMPRESSION,
    COMPRESSION_HEADER,
    DISPOSABLE,
    GUID_DEFINED,
    Section,
)
from shim.formats.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LZMA_HEADER = Record("LZMA header", 13, """
    0x00  B  properties               # (pb * 5 + lp) * 9 + lc
    0x01  I  dictionary_size          # bytes
    0x05  Q  uncompressed_size        # bytes
""")
LZMA = "ee4e5898-3914-4259-9d6e-dc7bd79403cf"
LZMA_X86 = "d42ae6bd-1352-4bfb-909a-ca72a6eae889"  # the calls and jumps of x86 made absolute before
CRC32 = "fc1bcdb0-7d31-49aa-936a-a4600d9dd083"
NAMES = {LZMA: "LZMA", LZMA_X86: "LZMA, x86", CRC32: "CRC-32"}
CRC_SIZE = 4
UNPACKED_MAX = 64 << 20
DICTIONARY_MIN, DICTIONARY_MAX = 4096, 256 << 20
PROPERTIES_MAX = 9 * 5 * 5


def is_encapsulation(section: Section) -> bool:
    """Whether a section encloses others."""
    return section.type in (COMPRESSION, GUID_DEFINED, DISPOSABLE)


def opened(section: Section) -> bytes | None:
    """Return what a section encloses; None for a way of enclosing that is not known here. Raises FormatError."""
    if section.type == DISPOSABLE or section.compression_type == 0:
        return section.content
    if section.guid == CRC32:
        found, told = binascii.crc32(section.content), int.from_bytes(section.head[-CRC_SIZE:], "little")
        if found != told:
            raise FormatError("a firmware section has a wrong checksum", expected=told, found=found)
        return section.content
    if section.guid in (LZMA, LZMA_X86):
        return _unpack(section.content, section.guid)
    return None


def closed(section: Section, content: bytes) -> Section:
    """Return the section around other content, by the way that it had. Raises FormatError where `opened` gave None."""
    if section.type == DISPOSABLE:
        return section.with_content(content)
    if section.compression_type == 0:
        at = len(section.head) - COMPRESSION_HEADER.size
        fields = COMPRESSION_HEADER.build(uncompressed_length=len(content))
        return section.replace(head=section.head[:at] + fields).with_content(content)
    if section.guid == CRC32:
        sum_ = binascii.crc32(content).to_bytes(CRC_SIZE, "little")
        return section.replace(head=section.head[:-CRC_SIZE] + sum_).with_content(content)
    if section.guid in (LZMA, LZMA_X86):
        return section.with_content(_pack(content, section.guid, section.content))
    raise FormatError("a firmware section that encloses others in an unknown way cannot be made",
                      guid=section.guid, compression_type=section.compression_type)


def _unpack(data: bytes, guid: str) -> bytes:
    header = LZMA_HEADER.parse(data)
    size = header["uncompressed_size"]
    if not 0 < size <= UNPACKED_MAX:
        raise FormatError("an LZMA section is too long when it is unpacked", limit=UNPACKED_MAX, found=size)
    header["dictionary_size"] = min(header["dictionary_size"], max(size, DICTIONARY_MIN))
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(header, guid))
    made = bytearray()
    try:
        made += unpacker.decompress(data[LZMA_HEADER.size :], max_length=size)
        while len(made) < size and not unpacker.eof:
            more = unpacker.decompress(b"", max_length=size - len(made))
            if not more:
                break
            made += more
    except lzma.LZMAError as problem:
        raise FormatError(f"an LZMA section cannot be unpacked: {problem}") from problem
    if len(made) != size:
        raise FormatError("an LZMA section is cut short", expected=size, found=len(made))
    return bytes(made)


def _pack(content: bytes, guid: str, before: bytes) -> bytes:
    """Return content packed with the properties that the section had before, and at least as large a dictionary."""
    if len(content) > UNPACKED_MAX:
        raise FormatError("an LZMA section would be too long", limit=UNPACKED_MAX, found=len(content))
    header = LZMA_HEADER.parse(before)
    header["dictionary_size"] = max(header["dictionary_size"], min(1 << (len(content) - 1).bit_length(), 16 << 20))
    filters = _filters(header, guid)
    filters[-1]["preset"] = 9
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    return LZMA_HEADER.build(**{**header, "uncompressed_size": len(content)}) + packed


def _filters(header: dict[str, Any], guid: str) -> list[dict[str, Any]]:
    properties, dictionary = header["properties"], header["dictionary_size"]
    if properties >= PROPERTIES_MAX or not DICTIONARY_MIN <= dictionary <= DICTIONARY_MAX:
        raise FormatError("an LZMA section has properties that cannot be", properties=properties,
                          dictionary_size=dictionary)
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    if lc + lp > 4:
        raise FormatError("an LZMA section has properties that nobody uses", lc=lc, lp=lp)
    chain: list[dict[str, Any]] = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
    return [{"id": lzma.FILTER_X86}, *chain] if guid == LZMA_X86 else chain
