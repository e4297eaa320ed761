"""Firmware volumes, made field by field: any of them can be made to lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shim.formats import efi_file, efi_section, efi_volume
from shim.formats.guid import guid_bytes

OVMF = Path("/usr/share/OVMF")
FFS2 = "8c8ce578-8a3d-4f1c-9935-896185c32dd3"
VOLUME_NAME = "11111111-2222-3333-4444-555555555555"


def name_of(number: int) -> str:
    """Return the name of the `number`th file."""
    return f"00000000-0000-0000-0000-{number:012x}"


def section(kind: int, content: bytes, more_head: bytes = b"") -> bytes:
    """Return a section; `more_head` is what its type adds to the header."""
    size = efi_section.HEADER.size + len(more_head) + len(content)
    return efi_section.HEADER.build(size_low=size & 0xFFFF, size_high=size >> 16, type=kind) + more_head + content


def guided(guid: str, content: bytes, extra: bytes = b"", attributes: int = 1) -> bytes:
    """Return a GUID-defined section; `extra` lies between its header and its content."""
    head = efi_section.GUID_HEADER.build(section_definition_guid=guid_bytes(guid), data_offset=24 + len(extra),
                                         attributes=attributes)  # fmt: skip
    return section(efi_section.GUID_DEFINED, content, head + extra)


def joined(*sections: bytes) -> bytes:
    """Return sections one behind the other, each at a multiple of four bytes."""
    made = bytearray()
    for one in sections:
        made += bytes(-len(made) % 4) + one
    return bytes(made)


def ui(name: str) -> bytes:
    return section(efi_section.USER_INTERFACE, name.encode("utf-16-le") + b"\0\0")


def file(number: int, body: bytes, kind: int = 0x07, attributes: int = 0) -> bytes:
    """Return a file with true checksums."""
    size = efi_file.HEADER.size + len(body)
    fields = {"name": guid_bytes(name_of(number)), "type": kind, "attributes": attributes,
              "size_low": size & 0xFFFF, "size_high": size >> 16}  # fmt: skip
    head_sum = -sum(efi_file.HEADER.build(**fields)) & 0xFF
    body_sum = -sum(body) & 0xFF if attributes & efi_file.CHECKSUM else 0xAA
    return efi_file.HEADER.build(**fields, header_checksum=head_sum, file_checksum=body_sum, state=0xF8) + body


def volume(*files: bytes, length: int = 0x2000, block: int = 0x1000, tail: bytes = b"") -> bytes:
    """Return a volume of files, with a true checksum; `tail` takes the place of erased bytes at its end."""
    blocks = efi_volume.BLOCK.build(num_blocks=length // block, length=block) + bytes(8)
    header_length = efi_volume.HEADER.size + len(blocks)
    fields = {"file_system_guid": guid_bytes(FFS2), "fv_length": length, "signature": b"_FVH", "attributes": 0x4FEFF,
              "header_length": header_length, "ext_header_offset": 0, "revision": 2}  # fmt: skip
    words = memoryview(efi_volume.HEADER.build(**fields) + blocks).cast("H")
    made = bytearray(efi_volume.HEADER.build(**fields, checksum=-sum(words) & 0xFFFF) + blocks)
    for one in files:
        made += b"\xff" * (-len(made) % 8) + one
    return bytes(made).ljust(length - len(tail), b"\xff") + tail


def small_image(names: Sequence[str] = ("One", "Two", "Three")) -> bytes:
    """Return a volume with some drivers."""
    return volume(*(
        file(number, joined(section(efi_section.PE32, f"program {name}".encode() * 20), ui(name)))
        for number, name in enumerate(names, 1)
    ))  # fmt: skip
