"""ISO 9660 directories, Joliet names and Rock Ridge. Spec: ECMA-119, 9.1 (directory record); Joliet Specification
(1995); SUSP 1.12 and RRIP 1.12 (IEEE P1281 and P1282, drafts).

Names are as Linux shows them: Rock Ridge's, else Joliet's, else those of ISO 9660 in lower case without a version.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.formats.text import ascii_lower
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    ReadArea = Callable[[int, int, int], bytes]  # logical block, offset, size

RECORD = Record("ISO 9660 directory record", 33, """
    0x00  B    length
    0x01  B    extended_attribute_length   # logical blocks before the file itself
    0x02  I    extent
    0x0a  I    data_length
    0x19  B    flags
    0x1a  B    file_unit_size
    0x20  B    identifier_length
""")
FLAG_DIRECTORY, FLAG_ASSOCIATED, FLAG_MORE = 0x02, 0x04, 0x80
SELF, PARENT = b"\0", b"\1"
JOLIET = (b"%/@", b"%/C", b"%/E")
AREA = Record("SUSP entry", 4, """
    0x00  2s   signature
    0x02  B    length
""")
CONTINUATIONS_MAX, CONTINUATION_SIZE_MAX = 32, 4096
SP_CHECK = b"\xbe\xef"
NAME_CONTINUES, LINK_CONTINUES = 1, 1
COMPONENT_CURRENT, COMPONENT_PARENT, COMPONENT_ROOT = 2, 4, 8
LINK_SIZE_MAX = 4096
NAME_SIZE_MAX = 255


class RockRidge(Value):
    """What the system use area says. `child` is where a directory that was moved really lies; `moved` marks the place
    where it was moved to. `packed` names a way in which the content is stored that is not read."""

    name: bytes | None = None
    mode: int | None = None
    link: str | None = None
    child: int | None = None
    moved: bool = False
    packed: str | None = None
    extensions: bool = False


class DirectoryRecord(Value):
    """One record: `identifier` as it is stored, `extent` the logical block of the content, `size` in bytes."""

    identifier: bytes
    extent: int
    size: int
    flags: int
    system_use: bytes

    @property
    def is_directory(self) -> bool:
        return bool(self.flags & FLAG_DIRECTORY)


def parse_record(data: bytes, at: int = 0) -> DirectoryRecord:
    """Return the record at an offset. Raises FormatError for one that is cut short or interleaved."""
    row = RECORD.parse(data, at)
    length, named = row["length"], row["identifier_length"]
    end = RECORD.size + named
    if length < end or at + length > len(data) or not named:
        raise FormatError("ISO 9660 directory record has a wrong length", at=at, length=length, name_length=named)
    if row["file_unit_size"]:
        raise FormatError("ISO 9660 file is interleaved", at=at)
    body = data[at : at + length]
    return DirectoryRecord(
        identifier=body[RECORD.size : end], extent=row["extent"] + row["extended_attribute_length"],
        size=row["data_length"], flags=row["flags"], system_use=body[end + (named + 1) % 2 :])


def parse_directory(data: bytes, block_size: int) -> Iterator[DirectoryRecord]:
    """Yield the records of a directory; none of them crosses a logical block."""
    at = 0
    while at < len(data):
        if not data[at]:
            at = (at // block_size + 1) * block_size
            continue
        record = parse_record(data[: (at // block_size + 1) * block_size], at)
        yield record
        at += data[at]


def skipped_by(system_use: bytes) -> int | None:
    """Return how many bytes come before the system use entries, from the root's own record; None without SUSP."""
    if system_use[:2] == b"SP" and len(system_use) >= 7 and system_use[4:6] == SP_CHECK:
        return system_use[6]
    return None


def parse_system_use(data: bytes, read_area: ReadArea) -> RockRidge:
    """Return what the Rock Ridge entries of a record say, continuation areas included. Raises FormatError."""
    found = _Collected()
    for number in range(CONTINUATIONS_MAX + 1):
        following = found.take_area(data)
        if following is None:
            return found.value()
        if number == CONTINUATIONS_MAX:
            break
        block, offset, size = following
        if not 0 < size <= CONTINUATION_SIZE_MAX or offset > CONTINUATION_SIZE_MAX:
            raise FormatError("Rock Ridge continuation area has a wrong size", size=size, offset=offset)
        data = read_area(block, offset, size)
    raise FormatError("Rock Ridge continues too often", limit=CONTINUATIONS_MAX)


class _Collected:
    def __init__(self) -> None:
        self.rock_ridge = RockRidge()
        self.names: list[bytes] = []
        self.link: list[str] = []
        self.joined = False

    def take_area(self, data: bytes) -> tuple[int, int, int] | None:
        """Take the entries of one area in; return where it continues."""
        at, following = 0, None
        while len(data) - at >= AREA.size:
            row = AREA.parse(data, at)
            if row["length"] < AREA.size or at + row["length"] > len(data) or row["signature"] == b"ST":
                break
            body = data[at + AREA.size : at + row["length"]]
            if row["signature"] == b"CE" and len(body) >= 24:
                following = (_number(body, 0), _number(body, 8), _number(body, 16))
            else:
                self.take(row["signature"], body)
            at += row["length"]
        return following

    def take(self, signature: bytes, body: bytes) -> None:
        if signature in (b"ER", b"RR"):
            self.rock_ridge = self.rock_ridge.replace(extensions=True)
        elif signature == b"NM" and body and not body[0] & ~NAME_CONTINUES:
            self.names.append(body[1:])
            if sum(map(len, self.names)) > NAME_SIZE_MAX:
                raise FormatError("Rock Ridge name is too long", limit=NAME_SIZE_MAX)
        elif signature == b"PX" and len(body) >= 4:
            self.rock_ridge = self.rock_ridge.replace(mode=_number(body, 0))
        elif signature == b"SL" and body:
            self.take_link(body[1:])
        elif signature == b"CL" and len(body) >= 4:
            self.rock_ridge = self.rock_ridge.replace(child=_number(body, 0))
        elif signature == b"RE":
            self.rock_ridge = self.rock_ridge.replace(moved=True)
        elif signature in (b"ZF", b"SF"):
            kinds = {b"ZF": "compressed (zisofs)", b"SF": "stored as a sparse file"}
            self.rock_ridge = self.rock_ridge.replace(packed=kinds[signature])

    def take_link(self, data: bytes) -> None:
        """Take components of a symbolic link in: each has flags, a length and a text."""
        at = 0
        while len(data) - at >= 2:
            flags, size = data[at], data[at + 1]
            text = data[at + 2 : at + 2 + size].decode("utf-8", "surrogateescape")
            if flags & COMPONENT_ROOT:
                self.link, text = [""], ""
            elif flags & COMPONENT_CURRENT:
                text = "."
            elif flags & COMPONENT_PARENT:
                text = ".."
            if self.joined and self.link:
                self.link[-1] += text
            elif not flags & COMPONENT_ROOT:
                self.link.append(text)
            self.joined = bool(flags & LINK_CONTINUES)
            if sum(map(len, self.link)) + len(self.link) > LINK_SIZE_MAX:
                raise FormatError("Rock Ridge link is too long", limit=LINK_SIZE_MAX)
            at += 2 + size

    def value(self) -> RockRidge:
        name = b"".join(self.names) if self.names else None
        link = None if not self.link else "/".join(self.link) or "/"
        return self.rock_ridge.replace(name=name, link=link)


def plain_name(identifier: bytes) -> str:
    """Return a name of ISO 9660 itself: lower case, without .;1 or ;1 at the end."""
    name = identifier.decode("utf-8", "surrogateescape")
    name = name.removesuffix(".;1" if name.endswith(".;1") else ";1")
    return ascii_lower(name).replace(";", ".").replace("/", ".")


def joliet_name(identifier: bytes) -> str:
    """Return a name of Joliet: UCS-2, big-endian, without ;1."""
    name: str = (b"\xfe\xff" + identifier[: len(identifier) & ~1]).decode("utf-16", "replace")
    name = name.removesuffix(";1")
    return name.rstrip(".") or name


def _number(body: bytes, at: int) -> int:
    """Return the little-endian half of a number that is stored both ways."""
    return int.from_bytes(body[at : at + 4], "little")
