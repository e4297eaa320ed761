"""Files of EFI firmware volumes. Spec: UEFI PI 1.8, volume 3, 3.2.3 (EFI_FFS_FILE_HEADER, EFI_FFS_FILE_HEADER2)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import guid_text
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEADER = Record("firmware file header", 24, """
    0x00  16s  name                  # EFI_GUID
    0x10  B    header_checksum       # of the header, state and file_checksum as 0: the sum is 0
    0x11  B    file_checksum         # of what follows the header; 0xaa without CHECKSUM
    0x12  B    type
    0x13  B    attributes
    0x14  H    size_low              # with size_high: 24 bits, the header counted; 0 for a large file of revision 3
    0x16  B    size_high
    0x17  B    state                 # inverted where the volume's erased bytes are 0xff
""")
LARGE_SIZE = Record("size of a large firmware file", 8, """
    0x00  Q  extended_size
""")
LARGE_FILE, DATA_ALIGNMENT2, FIXED, CHECKSUM = 0x01, 0x02, 0x04, 0x40
ALIGNMENTS = (1, 16, 128, 512, 1 << 10, 4 << 10, 32 << 10, 64 << 10)
ALIGNMENTS2 = tuple(1 << shift for shift in range(17, 25))
DATA_VALID, DELETED = 0x07, 0x0F  # header construction, header valid, data valid; and deleted
NO_CHECKSUM = 0xAA
SMALL_SIZE_MAX = 0xFFFFFF
RAW, PAD = 0x01, 0xF0
TYPES = {
    RAW: "raw", 0x02: "freeform", 0x03: "security core", 0x04: "PEI core", 0x05: "DXE core", 0x06: "PEIM",
    0x07: "driver", 0x08: "PEIM and driver", 0x09: "application", 0x0A: "MM driver", 0x0B: "firmware volume",
    0x0C: "MM and DXE driver", 0x0D: "MM core", 0x0E: "standalone MM driver", 0x0F: "standalone MM core",
    PAD: "padding",
}  # fmt: skip
IN_PLACE_TYPES = {0x03, 0x04, 0x06, 0x08}  # run where they lie, linked for that address


class FirmwareFile(Value):
    """A file as it lies in its volume: `at` counts from the volume's start, `raw` is header and body.

    `alignment` is that of the body, in bytes.
    """

    at: int
    name: str
    type: int
    attributes: int
    alignment: int
    header_size: int
    raw: bytes

    @property
    def body(self) -> bytes:
        """What follows the header: sections, or bytes for the types raw and padding."""
        return self.raw[self.header_size :]

    @property
    def end(self) -> int:
        """Where it ends in its volume."""
        return self.at + len(self.raw)

    @property
    def has_sections(self) -> bool:
        """Whether the type's body is made of sections."""
        return self.type in TYPES and self.type not in (RAW, PAD)

    @property
    def stays(self) -> bool:
        """Whether it works only at the address that it has."""
        return self.type in IN_PLACE_TYPES or bool(self.attributes & FIXED)

    def with_body(self, body: bytes) -> FirmwareFile:
        """Return the file with another body. Raises FormatError for one that its kind of header cannot tell."""
        size = self.header_size + len(body)
        if self.attributes & LARGE_FILE:
            head = self.raw[: HEADER.size] + LARGE_SIZE.build(extended_size=size)
        elif size > SMALL_SIZE_MAX:
            raise FormatError("a firmware file is too long", file=self.name, limit=SMALL_SIZE_MAX, found=size)
        else:
            head = self.raw[:0x14] + size.to_bytes(3, "little") + self.raw[0x17 : self.header_size]
        return self.replace(raw=_summed(head, body))


def parse_file(data: bytes, at: int, end: int, erased: int) -> FirmwareFile:
    """Return the file at offset `at` of a volume whose files end at `end`; `erased` is the byte of empty flash.

    Raises FormatError for one whose header, sums or state do not hold.
    """
    header = HEADER.parse(data[at : min(at + HEADER.size, end)])
    size, header_size = header["size_low"] | header["size_high"] << 16, HEADER.size
    if header["attributes"] & LARGE_FILE:
        header_size += LARGE_SIZE.size
        size = LARGE_SIZE.parse(data[at + HEADER.size : min(at + header_size, end)])["extended_size"]
    name = guid_text(header["name"]) or ""
    if not header_size <= size <= end - at:
        raise FormatError("a firmware file has no sensible size", at=at, file=name, limit=end - at, found=size)
    raw = data[at : at + size]
    _check(header, raw, header_size, erased, at)
    return FirmwareFile(at=at, name=name, type=header["type"], attributes=header["attributes"],
                        alignment=_alignment(header["attributes"]), header_size=header_size, raw=raw)


def build_padding(at: int, size: int, erased: int) -> FirmwareFile:
    """Return a padding file of `size` bytes, its header counted."""
    if not HEADER.size <= size:
        raise FormatError("no padding file is so short", at=at, expected=HEADER.size, found=size)
    attributes, header_size = (0, HEADER.size) if size <= SMALL_SIZE_MAX else (LARGE_FILE, 32)
    head = HEADER.build(name=b"\xff" * 16, type=PAD, attributes=attributes, state=DATA_VALID ^ erased)
    blank = FirmwareFile(at=at, name="ffffffff-ffff-ffff-ffff-ffffffffffff", type=PAD, attributes=attributes,
                         alignment=1, header_size=header_size, raw=head.ljust(header_size, b"\0"))
    return blank.with_body(bytes([erased]) * (size - header_size))


def _summed(head: bytes, body: bytes) -> bytes:
    """Return header and body with both checksums as they must be."""
    fields = bytearray(head)
    state = fields[0x17]
    fields[0x10] = fields[0x11] = fields[0x17] = 0
    fields[0x10] = -sum(fields) & 0xFF
    fields[0x11] = -sum(body) & 0xFF if fields[0x13] & CHECKSUM else NO_CHECKSUM
    fields[0x17] = state
    return bytes(fields) + body


def _check(header: dict[str, Any], raw: bytes, header_size: int, erased: int, at: int) -> None:
    state = (header["state"] ^ erased) & 0xFF
    if state not in (DATA_VALID, DELETED):
        raise FormatError("a firmware file is in no known state", at=at, expected=DATA_VALID, found=state)
    expected = _summed(raw[:header_size], raw[header_size:])
    if expected[:header_size] != raw[:header_size]:
        field = "header_checksum" if expected[0x10] != raw[0x10] else "file_checksum"
        where = HEADER.offsets[field]
        raise FormatError("a firmware file has a wrong checksum", at=at + where, field=field,
                          expected=expected[where], found=raw[where])


def _alignment(attributes: int) -> int:
    number = attributes >> 3 & 7
    return ALIGNMENTS2[number] if attributes & DATA_ALIGNMENT2 else ALIGNMENTS[number]
