"""Sections of firmware files. Spec: UEFI PI 1.8, volume 3, 3.2.4 (EFI_COMMON_SECTION_HEADER) and 3.2.5 (types)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import guid_text
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = Record("firmware section header", 4, """
    0x00  H  size_low                 # with size_high: 24 bits, the header counted; all ones: extended_size follows
    0x02  B  size_high
    0x03  B  type
""")
EXTENDED = Record("size of a long firmware section", 4, """
    0x00  I  extended_size
""")
COMPRESSION_HEADER = Record("compression section header", 5, """
    0x00  I  uncompressed_length
    0x04  B  compression_type         # 0 not compressed
""")
GUID_HEADER = Record("GUID-defined section header", 20, """
    0x00  16s  section_definition_guid
    0x10  H    data_offset            # from the section's start
    0x12  H    attributes
""")
COMPRESSION, GUID_DEFINED, DISPOSABLE = 0x01, 0x02, 0x03
PE32, TE, VERSION, USER_INTERFACE, VOLUME_IMAGE, RAW = 0x10, 0x12, 0x14, 0x15, 0x17, 0x19
TYPES = {
    COMPRESSION: "compression", GUID_DEFINED: "GUID-defined", DISPOSABLE: "disposable", PE32: "pe32", 0x11: "pic",
    TE: "te", 0x13: "DXE depex", VERSION: "version", USER_INTERFACE: "ui", 0x16: "16-bit code",
    VOLUME_IMAGE: "firmware volume", 0x18: "freeform", RAW: "raw", 0x1B: "PEI depex", 0x1C: "MM depex",
}  # fmt: skip
ALIGNMENT = 4
SIZE_ESCAPE = 0xFFFFFF
SECTIONS_MAX = 1024
NAME_MAX = 256


class Section(Value):
    """A section: `head` is its header with all that its type adds to it, `content` what that encloses.

    `at` counts from the start of the enclosing bytes; `guid` is that of a GUID-defined section, else None;
    `compression_type` that of a compression section.
    """

    at: int
    type: int
    head: bytes
    content: bytes
    guid: str | None = None
    compression_type: int | None = None

    @property
    def size(self) -> int:
        """Bytes, the header counted."""
        return len(self.head) + len(self.content)

    def with_content(self, content: bytes) -> Section:
        """Return the section with other content, its size in the header. Raises FormatError for one too long."""
        size = len(self.head) + len(content)
        if self.head[:3] == b"\xff\xff\xff":
            head = self.head[: HEADER.size] + EXTENDED.build(extended_size=size) + self.head[8:]
        elif size >= SIZE_ESCAPE:
            raise FormatError("a firmware section is too long", limit=SIZE_ESCAPE - 1, found=size)
        else:
            head = size.to_bytes(3, "little") + self.head[3:]
        return self.replace(head=head, content=content)


def parse_sections(data: bytes) -> tuple[Section, ...]:
    """Return the sections that fill `data`. Raises FormatError when they could not be put together again."""
    found: list[Section] = []
    at = 0
    while at < len(data):
        if len(found) >= SECTIONS_MAX:
            raise FormatError("too many firmware sections", at=at, limit=SECTIONS_MAX)
        section = _parse(data, at)
        found.append(section)
        at = -(-(at + section.size) // ALIGNMENT) * ALIGNMENT
    if build_sections(found) != data:
        raise FormatError("bytes lie between or behind the firmware sections", size=len(data))
    return tuple(found)


def build_sections(sections: Iterable[Section]) -> bytes:
    """Return sections one behind the other, each aligned, the last not filled up."""
    made = bytearray()
    for section in sections:
        made += bytes(-len(made) % ALIGNMENT) + section.head + section.content
    return bytes(made)


def ui_name(sections: Iterable[Section]) -> str | None:
    """Return the name that a user-interface section gives; None without one."""
    for section in sections:
        if section.type == USER_INTERFACE:
            return section.content[: 2 * NAME_MAX].decode("utf-16-le", "replace").split("\0")[0]
    return None


def _parse(data: bytes, at: int) -> Section:
    header = HEADER.parse(data, at)
    size, head_size = header["size_low"] | header["size_high"] << 16, HEADER.size
    if size == SIZE_ESCAPE:
        size, head_size = EXTENDED.parse(data, at + HEADER.size)["extended_size"], HEADER.size + EXTENDED.size
    end = at + size
    if not head_size <= size <= len(data) - at:
        raise FormatError("a firmware section has no sensible size", at=at, limit=len(data) - at, found=size)
    guid = compression = None
    kind = header["type"]
    if kind == GUID_DEFINED:
        row = GUID_HEADER.parse(data[:end], at + head_size)
        guid, wanted = guid_text(row["section_definition_guid"]), row["data_offset"]
        if not head_size + GUID_HEADER.size <= wanted <= size:
            raise FormatError("a firmware section's data lies nowhere", at=at, limit=size, found=wanted)
        head_size = wanted
    elif kind == COMPRESSION:
        compression = COMPRESSION_HEADER.parse(data[:end], at + head_size)["compression_type"]
        head_size += COMPRESSION_HEADER.size
    return Section(at=at, type=kind, head=data[at : at + head_size], content=data[at + head_size : end], guid=guid,
                   compression_type=compression)
