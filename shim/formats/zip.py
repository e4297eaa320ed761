"""ZIP archives, a strict subset. Spec: PKWARE APPNOTE.TXT 6.3.10, 4.3 (layout), 4.4 (fields); RFC 1951 (deflate).

What two readers could see in two ways is refused: bytes that belong to no member, members that overlap, names twice,
local headers that say something else than the directory, anything behind the end but its comment. So are encryption,
ZIP64, archives in several parts, other methods than stored and deflated, and names that could leave a directory.
"""

from __future__ import annotations

from binascii import crc32

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from shim.formats.record import Buffer

LOCAL = Record("ZIP local header", 30, """
    0x00  4s  signature
    0x04  H   version_needed
    0x06  H   flags
    0x08  H   method
    0x0e  I   crc32
    0x12  I   compressed_size
    0x16  I   uncompressed_size
    0x1a  H   name_size
    0x1c  H   extra_size
""")
CENTRAL = Record("ZIP central header", 46, """
    0x00  4s  signature
    0x04  H   version_made_by
    0x06  H   version_needed
    0x08  H   flags
    0x0a  H   method
    0x10  I   crc32
    0x14  I   compressed_size
    0x18  I   uncompressed_size
    0x1c  H   name_size
    0x1e  H   extra_size
    0x20  H   comment_size
    0x22  H   disk_start
    0x26  I   external_attributes
    0x2a  I   local_offset
""")
END = Record("ZIP end of directory", 22, """
    0x00  4s  signature
    0x04  H   disk
    0x06  H   directory_disk
    0x08  H   entries_here
    0x0a  H   entries
    0x0c  I   directory_size
    0x10  I   directory_offset
    0x14  H   comment_size
""")
DESCRIPTOR = Record("ZIP data descriptor", 12, """
    0x00  I   crc32
    0x04  I   compressed_size
    0x08  I   uncompressed_size
""")
LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC, DESCRIPTOR_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\7\x08"
COMMENT_SIZE_MAX = 0xFFFF
MEMBERS_MAX = 1024
NAME_SIZE_MAX = 1024
STORED, DEFLATED = 0, 8
SIZES_BEHIND, UTF8 = 1 << 3, 1 << 11  # the local header is silent of sizes; the name is UTF-8
FLAGS = 0b110 | SIZES_BEHIND | UTF8  # the two others say how hard the packer tried
VERSION_MAX = 20  # 2.0: deflate and directories
ZIP64 = 0xFFFFFFFF
UNIX, FILE_TYPE, REGULAR, DIRECTORY = 3, 0o170000, 0o100000, 0o040000
CHUNK = 1 << 18
DEFLATE_BITS = -15  # no zlib header


class Member(Value):
    """One member: `name` as it stands, with / at the end of a directory; `at` is where its packed bytes begin."""

    name: str
    method: int
    crc32: int
    compressed_size: int
    size: int
    at: int

    @property
    def is_directory(self) -> bool:
        return self.name.endswith("/")


def parse_zip(data: Buffer) -> tuple[Member, ...]:
    """Return the members in the order of the directory. Nothing is unpacked. Raises FormatError."""
    end_at, end = _find_end(data)
    at, rows = end["directory_offset"], []
    for _ in range(end["entries"]):
        fields = CENTRAL.parse(data, at)
        _demand(fields["signature"] == CENTRAL_MAGIC, "ZIP directory has no header where one must be", at)
        size = CENTRAL.size + fields["name_size"] + fields["extra_size"] + fields["comment_size"]
        _demand(at + size <= end_at, "ZIP header reaches out of the directory", at)
        rows.append((at, fields))
        at += size
    _demand(at == end_at, "ZIP directory is longer than its entries", at)
    members, next_at = {}, 0
    for where, fields in sorted(rows, key=lambda row: row[1]["local_offset"]):
        members[where], next_at = _member(data, where, fields, next_at, end["directory_offset"])
    _demand(next_at == end["directory_offset"], "ZIP archive has bytes before its directory that are in no member",
            next_at)
    found = tuple(members[where] for where, _ in rows)
    names = {member.name.rstrip("/") for member in found}
    _demand(len(names) == len(found), "ZIP archive has a name twice", end["directory_offset"])
    return found


def read_member(data: Buffer, member: Member, limit: int) -> memoryview:
    """Return what a member holds, read-only; as a view into the archive where it is stored.

    Raises FormatError when that is more than `limit` bytes, or not what the directory says.
    """
    _demand(member.size <= limit, "ZIP member is too large", member.at, member=member.name, limit=limit,
            found=member.size)
    packed = memoryview(data)[member.at : member.at + member.compressed_size]
    content = packed.toreadonly() if member.method == STORED else _inflate(packed, member)
    _demand(crc32(content) == member.crc32, "ZIP member has a wrong CRC-32", member.at, member=member.name)
    return content


def _inflate(packed: memoryview, member: Member) -> memoryview:
    """Unpack into memory of the size that the directory says; of more than that only one piece is ever held."""
    content, written = bytearray(member.size), 0
    for piece in _inflated(packed, member):
        _demand(written + len(piece) <= member.size, "ZIP member is longer than its size", member.at,
                member=member.name, expected=member.size)
        content[written : written + len(piece)] = piece
        written += len(piece)
    _demand(written == member.size, "ZIP member is cut short", member.at, member=member.name, expected=member.size,
            found=written)
    return memoryview(content).toreadonly()


def _inflated(packed: memoryview, member: Member) -> Iterator[bytes]:
    """Yield what a deflate stream holds, a piece at a time. Raises FormatError unless it ends where its bytes end."""
    import zlib

    running, taken = zlib.decompressobj(DEFLATE_BITS), 0
    rest: Buffer = b""
    while not running.eof:
        if not rest:
            rest = packed[taken : taken + CHUNK]
            taken += len(rest)
        was_last = taken == len(packed) and not rest
        try:
            piece = running.decompress(rest, CHUNK)
        except zlib.error as problem:
            raise FormatError("ZIP member is not deflate", at=member.at, member=member.name) from problem
        _demand(piece or running.eof or not was_last, "ZIP member is cut short", member.at, member=member.name)
        yield piece
        rest = running.unconsumed_tail
    _demand(taken == len(packed) and not running.unused_data, "ZIP member has bytes behind its deflate stream",
            member.at, member=member.name)


def _find_end(data: Buffer) -> tuple[int, dict[str, Any]]:
    """Return where the end of the directory is, and what it says."""
    tail_at = max(len(data) - END.size - COMMENT_SIZE_MAX, 0)
    found = bytes(data[tail_at:]).rfind(END_MAGIC)
    if found < 0:
        raise FormatError("not a ZIP archive: no end of directory", at=tail_at)
    at = tail_at + found
    end = END.parse(data, at)
    _demand(at + END.size + end["comment_size"] == len(data), "ZIP comment does not end with the file", at)
    _demand(end["disk"] == end["directory_disk"] == 0 and end["entries_here"] == end["entries"],
            "ZIP archive is one of several parts", at)
    _demand(1 <= end["entries"] <= MEMBERS_MAX, "ZIP archive has a wrong count of members", at, limit=MEMBERS_MAX,
            found=end["entries"])
    _demand(end["directory_offset"] + end["directory_size"] == at, "ZIP directory does not end where its end begins",
            at, offset=end["directory_offset"], size=end["directory_size"])
    return at, end


def _member(
    data: Buffer, where: int, fields: dict[str, Any], expected_at: int, limit: int
) -> tuple[Member, int]:
    """Check a header of the directory, and the local one, which must begin at `expected_at`; return the end, too."""
    at = fields["local_offset"]
    _demand(at == expected_at, "ZIP members overlap or leave a gap", where, expected=expected_at, found=at)
    _check_fields(fields, where)
    name = _name(data, where + CENTRAL.size, fields["name_size"])
    kind = fields["external_attributes"] >> 16 & FILE_TYPE
    if fields["version_made_by"] >> 8 == UNIX and kind:
        _demand(kind == (DIRECTORY if name.endswith("/") else REGULAR), "ZIP member is not a regular file", where,
                member=name)
    if name.endswith("/") or fields["method"] == STORED:
        expected = 0 if name.endswith("/") else fields["compressed_size"]
        _demand(fields["uncompressed_size"] == expected, "ZIP member has two sizes", where, member=name)
    local = LOCAL.parse(data, at)
    _demand(local["signature"] == LOCAL_MAGIC, "ZIP member has no local header", at, member=name)
    start = at + LOCAL.size + local["name_size"] + local["extra_size"]
    end = start + fields["compressed_size"]
    _demand(end <= limit, "ZIP member reaches into the directory", at, member=name)
    _demand(_name(data, at + LOCAL.size, local["name_size"]) == name, "ZIP member has two names", at, member=name)
    for field in ("version_needed", "flags", "method", "crc32", "compressed_size", "uncompressed_size"):
        silent = fields["flags"] & SIZES_BEHIND and field in DESCRIPTOR.fields and not local[field]
        _demand(silent or local[field] == fields[field], "ZIP headers contradict each other", at, member=name,
                field=field, expected=fields[field], found=local[field])
    if fields["flags"] & SIZES_BEHIND:
        end = _check_descriptor(data, end, fields, name)
        _demand(end <= limit, "ZIP member reaches into the directory", at, member=name)
    return Member(name=name, method=fields["method"], crc32=fields["crc32"], at=start,
                  compressed_size=fields["compressed_size"], size=fields["uncompressed_size"]), end


def _check_fields(fields: dict[str, Any], where: int) -> None:
    sizes = (fields["compressed_size"], fields["uncompressed_size"], fields["local_offset"])
    _demand(ZIP64 not in sizes, "ZIP64 is not read", where)
    _demand(fields["disk_start"] == 0, "ZIP archive is one of several parts", where)
    _demand(not fields["flags"] & ~FLAGS, "ZIP member has flags that are not understood", where, found=fields["flags"])
    _demand(fields["method"] in (STORED, DEFLATED), "ZIP member is packed in a way that is not read", where,
            found=fields["method"])
    _demand(fields["version_needed"] & 0xFF <= VERSION_MAX, "ZIP member needs a newer reader", where,
            found=fields["version_needed"])


def _check_descriptor(data: Buffer, at: int, fields: dict[str, Any], name: str) -> int:
    """Check what stands behind the bytes of a member, with its optional signature; return where that ends."""
    if bytes(data[at : at + 4]) == DESCRIPTOR_MAGIC:
        at += 4
    for field, value in DESCRIPTOR.parse(data, at).items():
        _demand(value == fields[field], "ZIP data descriptor contradicts the directory", at, member=name, field=field,
                expected=fields[field], found=value)
    return at + DESCRIPTOR.size


def _name(data: Buffer, at: int, size: int) -> str:
    """Return a name: relative, of plain parts, printable."""
    raw = bytes(data[at : at + size])
    _demand(len(raw) == size and 0 < size <= NAME_SIZE_MAX, "ZIP name is too long or cut short", at, found=size)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError("ZIP name is not UTF-8", at=at) from problem
    parts = name.removesuffix("/").split("/")
    _demand(name.isprintable() and "\\" not in name and not {"", ".", ".."}.intersection(parts) and ":" not in parts[0],
            "ZIP name is no plain relative path", at, found=name)
    return name


def _demand(good: object, reason: str, at: int, **facts: object) -> None:
    if not good:
        raise FormatError(reason, at=at, **facts)
