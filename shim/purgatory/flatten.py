"""Flatten a relocatable object into bytes that run at any page-aligned address.

Spec: ELF gABI chapter 4 (relocation); System V psABI for x86-64 1.0, 4.4.1 (relocation types). Only what is
relative to the place it stands at can be settled without knowing the address: anything else is refused by its name.
So is a value that its field cannot hold, which pyelftools' own RelocationHandler would cut without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_RELOC_TYPE_x64
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from shim.errors import FormatError
from shim.units import PAGE_SIZE, align_up
from shim.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

SIZE_LIMIT = 1 << 20
RELATIVE_WIDTHS = {  # psABI table 4.9: S + A - P (L + A - P with L = S, for there is no PLT)
    "R_X86_64_PC8": 1, "R_X86_64_PC16": 2, "R_X86_64_PC32": 4, "R_X86_64_PLT32": 4, "R_X86_64_PC64": 8,
}
RELOCATION_NAMES = {number: name for name, number in ENUM_RELOC_TYPE_x64.items() if isinstance(number, int)}


class Flat(Value):
    """The image: `code`, then zeros up to `size`. `symbols` are offsets from its start."""

    code: bytes
    size: int
    symbols: dict[str, int]


def flatten(stream: BinaryIO) -> Flat:
    """Lay out the sections of an x86-64 relocatable object and settle its relocations.

    Raises FormatError for a relocation that depends on the load address or overflows, and for undefined symbols.
    """
    elf = ELFFile(stream)
    if elf["e_type"] != "ET_REL" or elf["e_machine"] != "EM_X86_64":
        raise FormatError("not a relocatable object for x86-64", type=elf["e_type"], machine=elf["e_machine"])
    places, code_size, size = _lay_out(elf)
    code = bytearray(code_size)
    for index, place in places.items():
        section = elf.get_section(index)
        if section["sh_type"] != "SHT_NOBITS":
            code[place:place + section["sh_size"]] = section.data()
    for relocation in _relocations(elf, places):
        _apply(code, relocation)
    return Flat(code=bytes(code), size=align_up(size, PAGE_SIZE), symbols=_symbols(elf, places))


def _lay_out(elf: Any) -> tuple[dict[int, int], int, int]:
    """Give each section that needs memory its offset, those without bytes last; add both sizes: bytes, all."""
    wanted = [(index, section) for index, section in enumerate(elf.iter_sections())
              if section["sh_flags"] & SH_FLAGS.SHF_ALLOC]
    wanted.sort(key=lambda item: item[1]["sh_type"] == "SHT_NOBITS")
    places: dict[int, int] = {}
    end = code_size = 0
    for index, section in wanted:
        if section["sh_type"] not in ("SHT_PROGBITS", "SHT_NOBITS"):
            raise FormatError("a section cannot be loaded", section=section.name, type=section["sh_type"])
        alignment = max(section["sh_addralign"], 1)
        places[index] = align_up(end, alignment)
        end = places[index] + section["sh_size"]
        if alignment > PAGE_SIZE or end > SIZE_LIMIT:
            raise FormatError("a section is too large", section=section.name, limit=SIZE_LIMIT, found=end)
        if section["sh_type"] == "SHT_PROGBITS":
            code_size = end
    return places, code_size, end


class _Relocation(Value):
    """`width` bytes at `place` become `value`, which is relative to `place`."""

    place: int
    width: int
    value: int
    symbol: str


def _relocations(elf: Any, places: dict[int, int]) -> Iterator[_Relocation]:
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection) or section["sh_info"] not in places:
            continue
        if not section.is_RELA():
            raise FormatError("relocations without addends are not of this machine", section=section.name)
        symbols = elf.get_section(section["sh_link"])
        base = places[section["sh_info"]]
        for entry in section.iter_relocations():
            symbol = symbols.get_symbol(entry["r_info_sym"])
            kind = RELOCATION_NAMES.get(entry["r_info_type"], str(entry["r_info_type"]))
            if kind not in RELATIVE_WIDTHS:
                raise FormatError("a relocation depends on the load address", relocation=kind,
                                  symbol=_name(elf, symbol), section=section.name, at=entry["r_offset"])
            place = base + entry["r_offset"]
            yield _Relocation(place=place, width=RELATIVE_WIDTHS[kind], symbol=_name(elf, symbol),
                              value=_offset(elf, symbol, places) + entry["r_addend"] - place)


def _apply(code: bytearray, relocation: _Relocation) -> None:
    end = relocation.place + relocation.width
    if end > len(code):
        raise FormatError("a relocation lies outside of the image", at=relocation.place, size=len(code))
    try:
        code[relocation.place:end] = relocation.value.to_bytes(relocation.width, "little", signed=True)
    except OverflowError as problem:
        raise FormatError("a relocation overflows its field", symbol=relocation.symbol, at=relocation.place,
                          width=relocation.width, value=relocation.value) from problem


def _offset(elf: Any, symbol: Any, places: dict[int, int]) -> int:
    """Return where in the image a symbol lies: S of the psABI, for an image at 0."""
    section = symbol["st_shndx"]
    if section not in places:
        raise FormatError("a symbol is not in the image", symbol=_name(elf, symbol), section=section)
    return places[section] + int(symbol["st_value"])


def _name(elf: Any, symbol: Any) -> str:
    if symbol["st_info"]["type"] == "STT_SECTION" and isinstance(symbol["st_shndx"], int):
        return str(elf.get_section(symbol["st_shndx"]).name)
    return str(symbol.name)


def _symbols(elf: Any, places: dict[int, int]) -> dict[str, int]:
    return {
        symbol.name: places[symbol["st_shndx"]] + symbol["st_value"]
        for table in elf.iter_sections() if isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols() if symbol["st_shndx"] in places and symbol.name
    }
