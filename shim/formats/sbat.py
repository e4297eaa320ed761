"""Secure Boot Advanced Targeting: what a PE image says of its parts, and from which generation on parts are good.

Spec: SBAT.md of https://github.com/rhboot/shim (version 1 of the format); sbat.c and sbat_var.S of shim 16 for what its
loader demands of the columns, and for the section .sbatlevel. Comma-separated values in UTF-8, one row a line.

Numbers are decimal and fit into 16 bits: shim compares that many, so a larger one would not mean what it says.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shim.formats.pe import PE
    from shim.formats.record import Buffer

SECTION = ".sbat"
COLUMNS = 6
LEVEL_COLUMNS_MAX = 3
SIZE_MAX = 64 << 10  # real ones have some hundred bytes, in sections of one page
ROWS_MAX = 256
LINES_MAX = 2 * ROWS_MAX  # each of them may end in CR and LF
GENERATION_MAX = 0xFFFF
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LEVEL_SECTION = Record(".sbatlevel", 12, """
    0x00  I   version                   # 0
    0x04  I   automatic                 # offsets of texts that end in NUL, counted from here
    0x08  I   latest
""")
LEVEL_BASE = LEVEL_SECTION.offsets["automatic"]
LEVEL_VERSION = bytes(4)


class Component(Value):
    """A row of an image's `.sbat`: a part of it, the generation that it is of, and words for people."""

    component: str
    generation: int
    vendor: str
    package: str
    version: str
    url: str


class Level(Value):
    """The lowest generations that are good, by component. `date` is the text that says how recent this is."""

    date: str
    generations: Mapping[str, int]

    def joined(self, other: Level) -> Level:
        """Return the level that demands what either of the two demands."""
        both = {**self.generations}
        for name, generation in other.generations.items():
            both[name] = max(generation, both.get(name, generation))
        return Level(date=max(self.date, other.date), generations=both)


def parse_sbat(data: Buffer) -> tuple[Component, ...]:
    """Return the rows of a `.sbat` section; columns behind the sixth belong to it. Raises FormatError.

    Every row has six columns with something in each: shim refuses others, and to pass over a row would be to let what
    it names escape.
    """
    found = []
    for number, row in _rows(data):
        if len(row) < COLUMNS or not all(row):
            raise FormatError("SBAT row has an empty column or too few", line=number, expected=COLUMNS,
                              found=sum(map(bool, row)))
        component, generation, vendor, package, version, *url = row
        found.append(Component(
            component=component, generation=_generation(generation, number), vendor=vendor, package=package,
            version=version, url=",".join(url),
        ))  # fmt: skip
    return tuple(found)


def image_sbat(pe: PE, data: Buffer) -> tuple[Component, ...]:
    """Return the rows of all `.sbat` sections of an image, none where it has no such section. Raises FormatError."""
    found: list[Component] = []
    for section in pe.sections:
        if section.name == SECTION:
            if section.size > SIZE_MAX:
                raise FormatError("SBAT section is too long", expected=SIZE_MAX, found=section.size)
            found += parse_sbat(section.data(data))
    return tuple(found)


def parse_level(data: Buffer) -> Level:
    """Return a level: the row `sbat,1,DATE`, then rows of a component and its lowest generation. Raises FormatError.

    The content of shim's section .sbatlevel will do as well: of the two levels in it the latest counts.
    """
    if bytes(data[: len(LEVEL_VERSION)]) == LEVEL_VERSION:
        return parse_level_section(data)[1]
    date, generations = "", dict[str, int]()
    for number, row in _rows(data):
        first = not generations
        if (row[0] == "sbat") != first or not 2 + first <= len(row) <= LEVEL_COLUMNS_MAX or not all(row):
            raise FormatError("not a row of an SBAT level", line=number, found=",".join(row)[:80])
        if row[0] in generations:
            raise FormatError("SBAT level repeats a component", line=number, component=row[0])
        generations[row[0]] = _generation(row[1], number)
        if first:
            date = _date(row[2], number)
    return Level(date=date, generations=generations)


def parse_level_section(data: Buffer) -> tuple[Level, Level]:
    """Return the levels of shim's section .sbatlevel: the one that it sets itself, and the latest it knows."""
    row = LEVEL_SECTION.parse(data)
    if row["version"] != 0:
        raise FormatError("SBAT level section is of an unknown version", at=0, found=row["version"])
    raw = bytes(data)
    levels = []
    for name in ("automatic", "latest"):
        start = LEVEL_BASE + row[name]
        end = raw.find(b"\0", start)
        if start < LEVEL_SECTION.size or end < 0:
            raise FormatError("SBAT level lies outside its section, or has no end", level=name, at=start)
        levels.append(parse_level(raw[start:end]))
    return levels[0], levels[1]


def _rows(data: Buffer) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with their numbers; empty lines are passed over, and NULs at the end are padding."""
    if len(data) > SIZE_MAX:
        raise FormatError("SBAT is too long", expected=SIZE_MAX, found=len(data))
    raw = bytes(data).removeprefix(BYTE_ORDER_MARK).rstrip(b"\0")
    if b"\0" in raw:
        raise FormatError("SBAT has a NUL inside", at=raw.index(b"\0"))
    try:
        text = raw.decode("utf-8").replace("\r", "\n")
    except UnicodeDecodeError as problem:
        raise FormatError("SBAT is not UTF-8", at=problem.start) from problem
    if text.count("\n") > LINES_MAX:
        raise FormatError("SBAT has too many lines", expected=LINES_MAX, found=text.count("\n"))
    rows = [(number, line.split(",", COLUMNS)) for number, line in enumerate(text.split("\n"), 1) if line]
    if not 1 <= len(rows) <= ROWS_MAX:
        raise FormatError("SBAT has no row, or too many", expected=ROWS_MAX, found=len(rows))
    yield from rows


def _generation(text: str, line: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or not 0 < int(text) <= GENERATION_MAX:
        raise FormatError("SBAT generation is not a number from 1 to 65535", line=line, found=text[:80])
    return int(text)


def _date(text: str, line: int) -> str:
    if not (text.isascii() and text.isdigit() and len(text) == len("YYYYMMDDNN")):
        raise FormatError("SBAT level has no date of ten digits", line=line, found=text[:80])
    return text
