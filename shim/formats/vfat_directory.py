"""FAT directories with long names. Spec: Microsoft FAT Specification (2004), 6 (entries) and 7 (long names).

What is shown is what Linux shows with its default options (shortname=mixed, codepage 437): a long name where its
checksum fits, else the short name, in lower case where Windows NT's two bits say so.
"""

from __future__ import annotations

from shim.formats.record import Record
from shim.formats.text import ascii_lower
from shim.formats.vfat import ATTR_DIRECTORY, ATTR_LONG_NAME, ATTR_VOLUME_ID, ENTRY_FREE, ENTRY_SIZE
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Fields = dict[str, Any]

ENTRY = Record("FAT directory entry", 32, """
    0x00  11s  name
    0x0b  B    attr
    0x0c  B    nt_res             # bit 3: the name is in lower case, bit 4: the extension is
    0x14  H    fst_clus_hi
    0x1a  H    fst_clus_lo
    0x1c  I    file_size
""")
LONG = Record("FAT long name entry", 32, """
    0x00  B    ord                # from the last piece down to 1
    0x01  10s  name1
    0x0b  B    attr
    0x0d  B    chksum             # of the short name
    0x0e  12s  name2
    0x1c  4s   name3
""")
LAST_PIECE, PIECES_MAX = 0x40, 20
LOWER_NAME, LOWER_EXTENSION = 0x08, 0x10
KANJI_E5 = 0x05  # stands for 0xE5 as the first byte of a name, which would mean a free entry
DIRECTORY_SIZE_MAX = 2 << 20  # 65536 entries: the specification's and Linux's limit
CODEPAGE = "cp437"
NOT_SHOWN = ("", ".", "..")


class DirectoryEntry(Value):
    """A file or directory. `alias` is its short name, by which it is found as well."""

    name: str
    alias: str
    is_directory: bool
    cluster: int
    size: int


def parse_directory(data: bytes) -> Iterator[DirectoryEntry]:
    """Yield the entries of a whole directory, without . and .., labels, free entries and names with a slash."""
    pieces: list[Fields] = []
    for at in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
        first, attributes = data[at], data[at + 11]
        if first in (0, ENTRY_FREE):
            pieces = []
        elif attributes & 0x3F == ATTR_LONG_NAME:
            pieces = _taken(pieces, LONG.parse(data, at))
        else:
            if not attributes & ATTR_VOLUME_ID:
                entry = _entry(ENTRY.parse(data, at), pieces)
                if entry.name not in NOT_SHOWN and "/" not in entry.name:
                    yield entry
            pieces = []


def _taken(pieces: list[Fields], piece: Fields) -> list[Fields]:
    """Return the pieces of a long name with one more; those that do not belong together are forgotten."""
    number = piece["ord"]
    if number & LAST_PIECE:
        return [piece] if 0 < number & ~LAST_PIECE <= PIECES_MAX else []
    if not number or not pieces or number != (pieces[-1]["ord"] & ~LAST_PIECE) - 1:
        return []
    return [*pieces, piece] if piece["chksum"] == pieces[0]["chksum"] else []


def _entry(row: Fields, pieces: list[Fields]) -> DirectoryEntry:
    alias, long = short_name(row["name"], row["nt_res"]), ""
    if pieces and pieces[-1]["ord"] & ~LAST_PIECE == 1 and pieces[0]["chksum"] == checksum(row["name"]):
        raw = b"".join(piece[field] for piece in reversed(pieces) for field in ("name1", "name2", "name3"))
        # The byte order mark lets CPython's built-in decoder take it: no codec module to import.
        long = (b"\xff\xfe" + raw).decode("utf-16", "replace").split("\0", 1)[0]
    return DirectoryEntry(
        name=long or alias, alias=alias, is_directory=bool(row["attr"] & ATTR_DIRECTORY),
        cluster=row["fst_clus_hi"] << 16 | row["fst_clus_lo"], size=row["file_size"])


def checksum(name: bytes) -> int:
    """Return the checksum of a short name that its long name carries."""
    total = 0
    for byte in name:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def short_name(raw: bytes, lower: int) -> str:
    """Return an 8.3 name as Linux shows it."""
    if raw[0] == KANJI_E5:
        raw = bytes([ENTRY_FREE]) + raw[1:]
    name, extension = (part.split(b"\0", 1)[0].decode(CODEPAGE).rstrip(" ") for part in (raw[:8], raw[8:]))
    if lower & LOWER_NAME:
        name = ascii_lower(name)
    if lower & LOWER_EXTENSION:
        extension = ascii_lower(extension)
    return f"{name}.{extension}" if extension else name
