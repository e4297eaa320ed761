"""Put a UKI together: sections behind those of a stub. Spec: UAPI.5, "UKI Components"; Microsoft PE Format (2024).

Nothing is signed here, and the stub's own sections and checksum are left as they are (UEFI reads no checksum).
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.pe import COFF_HEADER, DOS_HEADER, OPTIONAL_HEADER, SECTION_HEADER, Section, parse_pe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

INITIALIZED_DATA, READ = 0x40, 0x40000000
NAME_SIZE = 8
SIZE_MAX = (1 << 31) - 1


def build_uki(stub: bytes, sections: Mapping[str, bytes]) -> bytes:
    """Return a UKI of a stub and the given sections, by their names and in their order.

    Raises FormatError where the stub has no room for their headers, or a section of the name already.
    """
    pe = parse_pe(stub)
    if pe.certificates_size:
        raise FormatError("the stub is signed: sections would break its signature", size=pe.certificates_size)
    start = DOS_HEADER.parse(stub)["e_lfanew"]
    optional_at = start + COFF_HEADER.size
    optional = OPTIONAL_HEADER.parse(stub, optional_at)
    file_alignment, alignment = optional["file_alignment"], optional["section_alignment"]
    if not file_alignment or not alignment:
        raise FormatError("the stub's sections have no alignment", at=optional_at)
    room = min(pe.size_of_headers, *(section.raw_offset for section in pe.sections if section.raw_size)) \
        if pe.sections else pe.size_of_headers
    if pe.headers_end + len(sections) * SECTION_HEADER.size > room:
        raise FormatError("the stub has no room for more section headers", room=room - pe.headers_end,
                          needed=len(sections) * SECTION_HEADER.size)
    image = bytearray(stub)
    address = max((section.virtual_address + section.virtual_size for section in pe.sections), default=0)
    for number, (name, content) in enumerate(sections.items()):
        image += bytes(-len(image) % file_alignment)
        address += -address % alignment
        made = _section(pe.sections, name, content, address, len(image), file_alignment)
        at = pe.headers_end + number * SECTION_HEADER.size
        image[at : at + SECTION_HEADER.size] = made
        image += content
        address += len(content)
    image += bytes(-len(image) % file_alignment)
    if max(address, len(image)) > SIZE_MAX:
        raise FormatError("the UKI is too long", limit=SIZE_MAX, found=len(image))
    _put(image, start + COFF_HEADER.offsets["number_of_sections"], len(pe.sections) + len(sections), 2)
    _put(image, optional_at + OPTIONAL_HEADER.offsets["size_of_image"], address + -address % alignment, 4)
    return bytes(image)


def _section(there: tuple[Section, ...], name: str, content: bytes, address: int, offset: int, unit: int) -> bytes:
    encoded = name.encode("ascii")
    if len(encoded) > NAME_SIZE or any(section.name == name for section in there):
        raise FormatError("the stub has a section of this name, or it is too long", section=name)
    if not content:
        raise FormatError("a section of a UKI is not empty", section=name)
    return SECTION_HEADER.build(name=encoded, virtual_size=len(content), virtual_address=address,
                                size_of_raw_data=-(-len(content) // unit) * unit, pointer_to_raw_data=offset,
                                characteristics=INITIALIZED_DATA | READ)  # fmt: skip


def _put(image: bytearray, at: int, value: int, size: int) -> None:
    image[at : at + size] = value.to_bytes(size, "little")
