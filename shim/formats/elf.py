"""64-bit ELF kernels (vmlinux). Spec: System V ABI, "ELF Header" and "Program Header"; x86-64 supplement."""

from __future__ import annotations

from itertools import pairwise

from shim.errors import FormatError
from shim.formats.record import Record
from shim.ranges import Range
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

HEADER = Record("ELF header", 64, """
    0x00  4s  e_magic
    0x04  B   e_class
    0x05  B   e_data
    0x06  B   e_ident_version
    0x10  H   e_type
    0x12  H   e_machine
    0x14  I   e_version
    0x18  Q   e_entry
    0x20  Q   e_phoff
    0x36  H   e_phentsize
    0x38  H   e_phnum
""")
PROGRAM_HEADER = Record("ELF program header", 56, """
    0x00  I   p_type
    0x04  I   p_flags
    0x08  Q   p_offset
    0x10  Q   p_vaddr
    0x18  Q   p_paddr
    0x20  Q   p_filesz
    0x28  Q   p_memsz
""")
MAGIC = b"\x7fELF"
ELFCLASS64, ELFDATA2LSB, ET_EXEC, ET_DYN, EM_X86_64, PT_LOAD = 2, 1, 2, 3, 62, 1
HEADERS_MAX = 64
ADDRESS_MAX = 1 << 46
MEMORY_MAX = 1 << 31


class ElfSegment(Value):
    """A part of the file and where it belongs: `memory` is physical, `file_size` bytes of it come from the file."""

    memory: Range
    offset: int
    file_size: int


class ElfKernel(Value):
    """What is loaded where, ascending and disjoint, and the physical address of the entry."""

    entry_address: int
    segments: tuple[ElfSegment, ...]

    @property
    def span(self) -> Range:
        return Range(start=self.segments[0].memory.start, end=self.segments[-1].memory.end)


def is_elf(data: Buffer) -> bool:
    """Say whether bytes claim to be ELF."""
    return bytes(data[:4]) == MAGIC


def parse_elf_kernel(data: Buffer) -> ElfKernel:
    """Check an x86-64 ELF kernel. Raises FormatError naming the field."""
    header = HEADER.parse(data)
    if header["e_magic"] != MAGIC:
        raise FormatError("not an ELF file", expected=MAGIC, found=header["e_magic"])
    for field, wanted in (("e_class", ELFCLASS64), ("e_data", ELFDATA2LSB), ("e_machine", EM_X86_64)):
        if header[field] != wanted:
            raise FormatError(f"not an ELF kernel for this machine: {field}", expected=wanted, found=header[field])
    if header["e_type"] not in (ET_EXEC, ET_DYN):
        raise FormatError("the ELF file is no program: e_type", expected=ET_EXEC, found=header["e_type"])
    if header["e_phentsize"] != PROGRAM_HEADER.size or not 0 < header["e_phnum"] <= HEADERS_MAX:
        raise FormatError("the ELF file has no sensible program headers", size=header["e_phentsize"],
                          found=header["e_phnum"])
    rows = (PROGRAM_HEADER.parse(data, header["e_phoff"] + n * PROGRAM_HEADER.size) for n in range(header["e_phnum"]))
    segments = tuple(sorted(
        (_segment(row, len(data)) for row in rows if row["p_type"] == PT_LOAD and row["p_memsz"]),
        key=lambda segment: segment.memory.start,
    ))
    _check_layout(segments)
    entry: int = header["e_entry"]
    if not any(segment.memory.start <= entry < segment.memory.start + segment.file_size for segment in segments):
        raise FormatError("the ELF entry lies in no loaded segment", entry_address=entry)
    return ElfKernel(entry_address=entry, segments=segments)


def _segment(row: dict[str, int], size: int) -> ElfSegment:
    start, file_size, memory_size = row["p_paddr"], row["p_filesz"], row["p_memsz"]
    if file_size > memory_size or start + memory_size > ADDRESS_MAX or memory_size > MEMORY_MAX:
        raise FormatError("the ELF segment has no sensible size", start_address=start, file_size=file_size,
                          memory_size=memory_size)
    if row["p_offset"] + file_size > size:
        raise FormatError("the ELF segment lies outside the file", at=row["p_offset"], expected=file_size,
                          found=max(size - row["p_offset"], 0))
    return ElfSegment(memory=Range.sized(start, memory_size), offset=row["p_offset"], file_size=file_size)


def _check_layout(segments: tuple[ElfSegment, ...]) -> None:
    if not segments:
        raise FormatError("the ELF file loads nothing")
    for left, right in pairwise(segments):
        if left.memory.overlaps(right.memory):
            raise FormatError("ELF segments overlap", start_address=right.memory.start, end_address=left.memory.end)
    if segments[-1].memory.end - segments[0].memory.start > MEMORY_MAX:
        raise FormatError("the ELF kernel is spread too wide", start_address=segments[0].memory.start,
                          end_address=segments[-1].memory.end)
