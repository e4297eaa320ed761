"""The initramfs archive, "newc". Spec: Linux Documentation/driver-api/early-userspace/buffer-format.rst.

Built archives are reproducible: no time, no owner, inodes in the order given. Numbers are eight hexadecimal digits;
names and data are padded with zeros to four bytes, counted from the archive's start.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shim.formats.record import Buffer

MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
HEADER_SIZE = 110
FIELDS = (
    "ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "devmajor", "devminor", "rdevmajor", "rdevminor",
    "namesize", "check",
)
NAME_SIZE_MAX = 4096
FILE_SIZE_MAX = 0xFFFFFFFF
S_IFMT, S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR = 0o170000, 0o040000, 0o100000, 0o120000, 0o020000


class CpioEntry(Value):
    """A member: its path without a leading "/", its mode with the type bits, and its data (a link's target)."""

    path: str
    mode: int
    data: bytes | memoryview = b""
    device: tuple[int, int] = (0, 0)
    nlink: int = 1

    @classmethod
    def file(cls, path: str, data: bytes | memoryview, mode: int = 0o644) -> CpioEntry:
        return cls(path=path, mode=S_IFREG | mode, data=data)

    @classmethod
    def directory(cls, path: str, mode: int = 0o755) -> CpioEntry:
        return cls(path=path, mode=S_IFDIR | mode, nlink=2)

    @classmethod
    def symlink(cls, path: str, target: str) -> CpioEntry:
        return cls(path=path, mode=S_IFLNK | 0o777, data=target.encode("utf-8", "surrogateescape"))

    @classmethod
    def node(cls, path: str, major: int, minor: int, mode: int = 0o600) -> CpioEntry:
        """Make a character device."""
        return cls(path=path, mode=S_IFCHR | mode, device=(major, minor))

    def check(self) -> None:
        if not self.path or self.path.startswith("/") or "\0" in self.path:
            raise FormatError("no path for an archive member", path=self.path)
        if len(self.data) > FILE_SIZE_MAX:
            raise FormatError("too long for a cpio member", path=self.path, limit=FILE_SIZE_MAX,
                              found=len(self.data))


def build_cpio(entries: Iterable[CpioEntry]) -> bytes:
    """Return the archive of the members, in the order given, with its trailer; a multiple of 4 bytes long."""
    pieces: list[bytes | memoryview] = []
    for number, entry in enumerate(entries, 1):
        pieces += _member(number, entry)
    head, *rest = _member(0, CpioEntry(path=TRAILER, mode=0))
    pieces += [bytes(head).upper(), *rest]  # as GNU cpio and systemd-stub spell the size of its name: 0000000B
    return b"".join(pieces)


def parse_cpio(data: Buffer) -> tuple[CpioEntry, ...]:
    """Return the members of one archive, up to its trailer.

    Raises FormatError with the offset where the archive is cut short or is not one.
    """
    return tuple(entry for entry, _end in walk_cpio(data))


def walk_cpio(data: Buffer, start: int = 0) -> Iterator[tuple[CpioEntry, int]]:
    """Yield each member with the offset where it ends (padding included), the trailer left out."""
    view, at = memoryview(data), start
    while True:
        fields = _parse_header(view, at)
        name_at = at + HEADER_SIZE
        data_at = _align(name_at + fields["namesize"] - start) + start
        end = data_at + fields["filesize"]
        if end > len(view):
            raise FormatError("cpio member is cut short", at=at, expected=end - at, found=len(view) - at)
        name = bytes(view[name_at : name_at + fields["namesize"]])
        if not name.endswith(b"\0") or b"\0" in name[:-1]:
            raise FormatError("cpio name does not end in one NUL", at=name_at, found=name[:32])
        path = name[:-1].decode("utf-8", "surrogateescape")
        if path == TRAILER:
            return
        at = min(_align(end - start) + start, len(view))
        yield CpioEntry(
            path=path.lstrip("/") or ".", mode=fields["mode"], data=view[data_at:end], nlink=fields["nlink"],
            device=(fields["rdevmajor"], fields["rdevminor"]),
        ), at


def trailer_end(data: Buffer, start: int = 0) -> int:
    """Return the offset behind an archive's trailer, padding not included. Raises FormatError as `parse_cpio`."""
    at = start
    for _entry, end in walk_cpio(data, start):
        at = end
    fields = _parse_header(memoryview(data), at)
    return _align(at + HEADER_SIZE + fields["namesize"] - start) + start


def _parse_header(view: memoryview, at: int) -> dict[str, int]:
    header = bytes(view[at : at + HEADER_SIZE])
    if len(header) < HEADER_SIZE:
        raise FormatError("cpio header is cut short", at=at, expected=HEADER_SIZE, found=len(header))
    if header[:6] not in MAGICS:
        raise FormatError("no cpio header", at=at, expected=MAGICS[0], found=header[:6])
    digits = header[6:]
    if digits.strip(b"0123456789abcdefABCDEF"):
        raise FormatError("cpio header holds something else than hexadecimal digits", at=at)
    values = [int(digits[8 * number : 8 * number + 8], 16) for number in range(len(FIELDS))]
    fields = dict(zip(FIELDS, values, strict=True))
    if not 1 < fields["namesize"] <= NAME_SIZE_MAX:
        raise FormatError("cpio name has no sensible length", at=at, limit=NAME_SIZE_MAX, found=fields["namesize"])
    return fields


def _member(number: int, entry: CpioEntry) -> list[bytes | memoryview]:
    name = entry.path.encode("utf-8", "surrogateescape") + b"\0"
    if len(name) > NAME_SIZE_MAX:
        raise FormatError("too long a name for a cpio member", limit=NAME_SIZE_MAX, found=len(name))
    values = {
        "ino": number, "mode": entry.mode, "nlink": entry.nlink, "filesize": len(entry.data),
        "rdevmajor": entry.device[0], "rdevminor": entry.device[1], "namesize": len(name),
    }
    head = MAGICS[0] + b"".join(b"%08x" % values.get(field, 0) for field in FIELDS) + name
    return [head, bytes(-len(head) % 4), entry.data, bytes(-len(entry.data) % 4)]


def _align(offset: int) -> int:
    return (offset + 3) & ~3
