"""Boot Loader Specification, text files. Spec: UAPI.1, "Type #1 Boot Loader Specification Entries".

One key and its value a line, blanks between them; lines that begin with # are comments.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_SIZE_MAX = 1 << 20
LINE_SIZE_MAX = 64 << 10
LINES_MAX = 4096
BOM = "\ufeff"
BLANKS = " \t"


class Line(Value):
    """A key with its value, and the line's number from 1."""

    number: int
    key: str
    value: str


def parse_lines(data: bytes) -> tuple[Line, ...]:
    """Return the keys and values of a file in order; a key may come again.

    Line ends may be LF or CRLF; a byte order mark is passed over. Raises FormatError for bytes that are not UTF-8,
    for NUL bytes, and for what is longer than a boot configuration can be.
    """
    if len(data) > FILE_SIZE_MAX:
        raise FormatError("the file is too long for a boot configuration", limit=FILE_SIZE_MAX, found=len(data))
    if b"\0" in data:
        raise FormatError("a NUL byte in a boot configuration", at=data.index(b"\0"))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError("the boot configuration is not UTF-8", at=problem.start) from problem
    return tuple(_lines(text.removeprefix(BOM)))


def _lines(text: str) -> Iterator[Line]:
    rows = text.split("\n")
    if len(rows) > LINES_MAX:
        raise FormatError("too many lines for a boot configuration", limit=LINES_MAX, found=len(rows))
    for number, row in enumerate(rows, 1):
        line = row.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        if len(line) > LINE_SIZE_MAX:
            raise FormatError("the line is too long", line=number, limit=LINE_SIZE_MAX, found=len(line))
        key, value = line, ""
        for at, letter in enumerate(line):
            if letter in BLANKS:
                key, value = line[:at], line[at:].strip(BLANKS)
                break
        yield Line(number=number, key=key, value=value)
