"""PE/COFF images. Spec: Microsoft PE Format (2024), MS-DOS Stub to Section Table; UEFI 2.10, 2.1.1.

Only the headers are read here, so the first pages of a file are enough. Nothing in them is believed about the
length of the file: `Section.data` checks against the bytes that are there.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.formats.record import Buffer

DOS_HEADER = Record("DOS header", 64, """
    0x00  2s  e_magic
    0x3c  I   e_lfanew                  # offset of the PE signature
""")
COFF_HEADER = Record("PE header", 24, """
    0x00  4s  signature
    0x04  H   machine
    0x06  H   number_of_sections
    0x08  I   time_date_stamp
    0x14  H   size_of_optional_header
    0x16  H   characteristics
""")
OPTIONAL_HEADER = Record("PE optional header", 72, """
    0x00  H   magic                     # 0x10b PE32, 0x20b PE32+
    0x10  I   address_of_entry_point
    0x20  I   section_alignment
    0x24  I   file_alignment
    0x38  I   size_of_image
    0x3c  I   size_of_headers
    0x40  I   check_sum
    0x44  H   subsystem
    0x46  H   dll_characteristics
""")
DIRECTORY = Record("PE data directory", 8, """
    0x00  I   virtual_address           # of the certificate table: an offset into the file
    0x04  I   size
""")
SECTION_HEADER = Record("PE section header", 40, """
    0x00  8s  name
    0x08  I   virtual_size
    0x0c  I   virtual_address
    0x10  I   size_of_raw_data
    0x14  I   pointer_to_raw_data
    0x24  I   characteristics
""")
COUNT = Record("PE directory count", 4, """
    0x00  I   number_of_rva_and_sizes
""")
PE32_MAGIC, PE32_PLUS_MAGIC = 0x10B, 0x20B
COUNT_AT = {PE32_MAGIC: 92, PE32_PLUS_MAGIC: 108}
CHECK_SUM_AT = OPTIONAL_HEADER.offsets["check_sum"]
CERTIFICATE_DIRECTORY = 4
DIRECTORIES_MAX = 16
SECTIONS_MAX = 1024  # no limit in the specification; a UKI of many profiles has some dozens
MACHINES = {
    0x014C: "ia32", 0x8664: "x64", 0x01C2: "arm", 0xAA64: "aa64", 0x5032: "riscv32", 0x5064: "riscv64",
    0x6264: "loongarch64",
}  # fmt: skip


class Section(Value):
    """A section header. Sizes and offsets in bytes; `raw_offset` counts from the start of the file."""

    name: str
    virtual_size: int
    virtual_address: int
    raw_offset: int
    raw_size: int

    @property
    def size(self) -> int:
        """What the section means: without the padding of the file, without zeros that are only in memory."""
        return min(self.raw_size, self.virtual_size)

    def data(self, data: Buffer) -> memoryview:
        """Return the section's bytes out of the whole file. Raises FormatError when the file ends before them."""
        if self.size and self.raw_offset + self.size > len(data):
            left = max(len(data) - self.raw_offset, 0)
            raise FormatError(
                "PE section lies outside the file",
                section=self.name, at=self.raw_offset, expected=self.size, found=left,
            )  # fmt: skip
        return memoryview(data)[self.raw_offset : self.raw_offset + self.size]


class PE(Value):
    """The headers of a PE image; `sections` are in the order of the file's table, and names may repeat.

    `certificate_entry_offset` is where the file keeps the place of its certificate table, 0 when the header has no
    room for it; `certificates_offset` and `certificates_size` are 0 when there is no such table.
    """

    machine: int
    is_64: bool
    subsystem: int
    sections: tuple[Section, ...]
    checksum_offset: int
    certificate_entry_offset: int
    certificates_offset: int
    certificates_size: int
    size_of_headers: int
    size_of_image: int
    entry_point: int
    headers_end: int

    def section(self, name: str) -> Section | None:
        """Return the first section of that name, None when there is none."""
        return next((section for section in self.sections if section.name == name), None)

    @property
    def machine_name(self) -> str:
        """The machine as UEFI spells it in file names (BOOTX64.EFI), its number where there is no such name."""
        return MACHINES.get(self.machine, hex(self.machine))


def parse_pe(data: Buffer) -> PE:
    """Parse the headers of a PE image. `headers_end` is where the section table ends.

    Raises FormatError when the bytes are not PE or the headers contradict each other.
    """
    dos = DOS_HEADER.parse(data)
    if dos["e_magic"] != b"MZ":
        raise FormatError("not a PE image: no MZ", found=bytes(dos["e_magic"]))
    start = dos["e_lfanew"]
    coff = COFF_HEADER.parse(data, start)
    if coff["signature"] != b"PE\0\0":
        raise FormatError("not a PE image: no PE signature", at=start, found=bytes(coff["signature"]))
    optional_at = start + COFF_HEADER.size
    optional = OPTIONAL_HEADER.parse(data, optional_at)
    table_at = optional_at + coff["size_of_optional_header"]
    sections = _parse_sections(data, table_at, coff["number_of_sections"])
    headers_end = table_at + len(sections) * SECTION_HEADER.size
    declared = optional["size_of_headers"]
    if headers_end > declared:
        raise FormatError("PE headers are longer than declared", expected=declared, found=headers_end)
    return PE(
        machine=coff["machine"],
        is_64=optional["magic"] == PE32_PLUS_MAGIC,
        subsystem=optional["subsystem"],
        sections=sections,
        checksum_offset=optional_at + CHECK_SUM_AT,
        size_of_headers=declared,
        size_of_image=optional["size_of_image"],
        entry_point=optional["address_of_entry_point"],
        headers_end=headers_end,
        **_certificate_directory(data, optional_at, optional["magic"], coff["size_of_optional_header"]),
    )


def _certificate_directory(data: Buffer, optional_at: int, magic: int, optional_size: int) -> dict[str, Any]:
    """Return the three certificate fields of `PE`. Spec: Optional Header Data Directories (Image Only)."""
    if magic not in COUNT_AT:
        raise FormatError("PE optional header of an unknown kind", at=optional_at, found=magic)
    count = COUNT.parse(data, optional_at + COUNT_AT[magic])["number_of_rva_and_sizes"]
    directories_at = optional_at + COUNT_AT[magic] + COUNT.size
    end = directories_at + count * DIRECTORY.size
    if count > DIRECTORIES_MAX or end > optional_at + optional_size:
        raise FormatError(
            "PE data directories do not fit into the optional header", found=count, expected=DIRECTORIES_MAX
        )
    if count <= CERTIFICATE_DIRECTORY:
        return {"certificate_entry_offset": 0, "certificates_offset": 0, "certificates_size": 0}
    entry_at = directories_at + CERTIFICATE_DIRECTORY * DIRECTORY.size
    entry = DIRECTORY.parse(data, entry_at)
    present = entry["size"] != 0
    return {
        "certificate_entry_offset": entry_at,
        "certificates_offset": entry["virtual_address"] if present else 0,
        "certificates_size": entry["size"],
    }


def _parse_sections(data: Buffer, at: int, count: int) -> tuple[Section, ...]:
    if count > SECTIONS_MAX:
        raise FormatError("PE has too many sections", expected=SECTIONS_MAX, found=count)
    rows = (SECTION_HEADER.parse(data, at + number * SECTION_HEADER.size) for number in range(count))
    return tuple(
        Section(
            name=row["name"].split(b"\0", 1)[0].decode("ascii", "backslashreplace"),
            virtual_size=row["virtual_size"],
            virtual_address=row["virtual_address"],
            raw_offset=row["pointer_to_raw_data"],
            raw_size=row["size_of_raw_data"],
        )
        for row in rows
    )
