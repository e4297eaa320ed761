"""Inodes, extents, block maps, directories and inline data of ext2, ext3 and ext4. Spec: Linux
Documentation/filesystems/ext4, "Inode Structures", "Data Block Map", "Extent Tree", "Directory Entries", "Inline Data",
"Extended Attributes".

What is read here may be anything: each extent lies behind the one before, so that a tree that shares or repeats its
blocks ends in an error and not in a loop.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    ReadBlock = Callable[[int], bytes]
    Run = tuple[int, int | None, int]  # first logical block, first block on the disk (None: zeros), number of blocks

INODE = Record("ext inode", 128, """
    0x00  H    mode
    0x04  I    size_lo
    0x20  I    flags
    0x28  60s  block
    0x6c  I    size_high
""")
EXTRA_AT = 0x80  # the size of what follows the first 128 bytes, where inodes are larger
TYPE_MASK, TYPE_DIRECTORY, TYPE_FILE, TYPE_LINK = 0xF000, 0x4000, 0x8000, 0xA000
FLAG_COMPRESSED, FLAG_ENCRYPTED, FLAG_EXTENTS, FLAG_INLINE_DATA = 0x4, 0x800, 0x80000, 0x10000000
GROUP = Record("ext group descriptor", 32, """
    0x08  I    inode_table_lo
""")
GROUP_HIGH = Record("ext group descriptor, upper half", 32, """
    0x08  I    inode_table_hi
""")
EXTENT_HEADER = Record("ext4 extent header", 12, """
    0x00  H    magic
    0x02  H    entries
    0x04  H    max
    0x06  H    depth
""")
EXTENT = Record("ext4 extent", 12, """
    0x00  I    block
    0x04  H    len             # above 32768: not written yet, so many less
    0x06  H    start_hi
    0x08  I    start_lo
""")
INDEX = Record("ext4 extent index", 12, """
    0x00  I    block
    0x04  I    leaf_lo
    0x08  H    leaf_hi
""")
EXTENT_MAGIC, DEPTH_MAX, UNWRITTEN = 0xF30A, 5, 32768
DIRENT = Record("ext directory entry", 8, """
    0x00  I    inode           # 0: no entry
    0x04  H    rec_len         # to the next one
    0x06  B    name_len
    0x07  B    file_type
""")
REC_LEN_WHOLE = 65535  # stands for 65536, a whole block
XATTR = Record("ext extended attribute", 16, """
    0x00  B    name_len
    0x01  B    name_index
    0x02  H    value_offs      # from the first entry
    0x04  I    value_inum
    0x08  I    value_size
""")
XATTR_MAGIC, XATTR_SYSTEM = 0xEA020000, 7
DIRECT_BLOCKS = 12


def extents(root: bytes, read_block: ReadBlock) -> Iterator[Run]:
    """Yield the extents of a file in order; `root` is the inode's own 60 bytes. Raises FormatError."""
    depth = _header(root)["depth"]
    stack: list[Iterator[dict[str, Any]]] = [_nodes(root, depth)]
    depths, reached = [depth], 0
    while stack:
        row = next(stack[-1], None)
        if row is None:
            stack.pop()
            depths.pop()
            continue
        if row["block"] < reached:
            raise FormatError("ext4 extents are not in order", block=row["block"], expected=reached)
        if depths[-1]:
            reached = row["block"]
            data = read_block(row["leaf_hi"] << 32 | row["leaf_lo"])
            below = _header(data)
            if below["depth"] != depths[-1] - 1 or not below["entries"]:
                raise FormatError("ext4 extent tree is damaged", depth=below["depth"], expected=depths[-1] - 1,
                                  entries=below["entries"])
            stack.append(_nodes(data, below["depth"]))
            depths.append(below["depth"])
            continue
        unwritten = row["len"] > UNWRITTEN
        count = row["len"] - UNWRITTEN if unwritten else row["len"]
        if not count:
            raise FormatError("ext4 extent without a block", block=row["block"])
        reached = row["block"] + count
        yield row["block"], None if unwritten else row["start_hi"] << 32 | row["start_lo"], count


def _header(node: bytes) -> dict[str, Any]:
    header = EXTENT_HEADER.parse(node)
    room = len(node) // EXTENT.size - 1
    if header["magic"] != EXTENT_MAGIC or header["depth"] > DEPTH_MAX or header["entries"] > room:
        raise FormatError("no ext4 extent tree", magic=header["magic"], depth=header["depth"],
                          entries=header["entries"], limit=room)
    return header


def _nodes(node: bytes, depth: int) -> Iterator[dict[str, Any]]:
    record = INDEX if depth else EXTENT
    for number in range(EXTENT_HEADER.parse(node)["entries"]):
        yield record.parse(node, EXTENT_HEADER.size + number * record.size)


def block_map(root: bytes, read_block: ReadBlock, block_size: int, count: int) -> Iterator[Run]:
    """Yield the blocks of the first `count` of a file that has a block map; holes are left out. Raises FormatError.

    A block of pointers that comes twice is an error: a small image could hold a file without an end.
    """
    slots, seen = block_size // 4, set[int]()

    def read_table(pointer: int) -> bytes:
        if pointer in seen:
            raise FormatError("ext block of pointers comes twice", block=pointer)
        seen.add(pointer)
        return read_block(pointer)

    for number in range(min(count, DIRECT_BLOCKS)):
        if pointer := _pointer(root, number):
            yield number, pointer, 1
    at = DIRECT_BLOCKS
    for level in (1, 2, 3):
        if at < count and (pointer := _pointer(root, DIRECT_BLOCKS - 1 + level)):
            yield from _indirect(read_table(pointer), level, at, count, read_table, slots)
        at += slots**level


def _indirect(table: bytes, level: int, first: int, count: int, read_table: ReadBlock, slots: int) -> Iterator[Run]:
    """Walk one tree of pointers. The stack holds (table, level, next slot, first logical block)."""
    stack = [(table, level, 0, first)]
    while stack:
        table, level, slot, first = stack.pop()
        span = slots ** (level - 1)
        while slot < slots and first + slot * span < count:
            found, at = _pointer(table, slot), first + slot * span
            slot += 1
            if not found:
                continue
            if level == 1:
                yield at, found, 1
                continue
            stack.append((table, level, slot, first))
            stack.append((read_table(found), level - 1, 0, at))
            break


def _pointer(table: bytes, number: int) -> int:
    return int.from_bytes(table[4 * number : 4 * number + 4], "little")


def parse_dirents(block: bytes, whole: bool = True) -> Iterator[tuple[bytes, int]]:
    """Yield (name, inode number) of one block of a directory, . and .. included. Raises FormatError.

    The inner blocks of a hashed directory look like one empty entry each. `whole` is False for inline data, where
    the last bytes may be too few for an entry.
    """
    at = 0
    while len(block) - at >= DIRENT.size:
        row = DIRENT.parse(block, at)
        length = row["rec_len"] if row["rec_len"] != REC_LEN_WHOLE else REC_LEN_WHOLE + 1
        if not whole and not length:
            return
        if length < DIRENT.size or length % 4 or at + length > len(block):
            raise FormatError("ext directory entry has a wrong length", at=at, rec_len=length, limit=len(block) - at)
        if row["inode"]:
            if row["name_len"] > length - DIRENT.size or not row["name_len"]:
                raise FormatError("ext directory entry has a wrong name", at=at, name_len=row["name_len"])
            yield block[at + DIRENT.size : at + DIRENT.size + row["name_len"]], row["inode"]
        at += length


def inline_places(inode: bytes) -> Iterator[tuple[int, int]]:
    """Yield where inline data lies in an inode, as (offset, size): its 60 bytes, then the attribute system.data.

    Raises FormatError for an attribute that lies outside.
    """
    yield INODE.offsets["block"], INODE.widths["block"]
    if len(inode) <= EXTRA_AT + 2:
        return
    start = EXTRA_AT + int.from_bytes(inode[EXTRA_AT : EXTRA_AT + 2], "little")
    if int.from_bytes(inode[start : start + 4], "little") != XATTR_MAGIC:
        return
    first = at = start + 4
    while len(inode) - at >= XATTR.size and any(inode[at : at + 4]):
        row = XATTR.parse(inode, at)
        name = inode[at + XATTR.size : at + XATTR.size + row["name_len"]]
        if row["name_index"] == XATTR_SYSTEM and name == b"data":
            place, size = first + row["value_offs"], row["value_size"]
            if row["value_inum"] or place + size > len(inode):
                raise FormatError("ext4 inline data lies outside the inode", at=place, size=size)
            if size:
                yield place, size
            return
        at += XATTR.size + (row["name_len"] + 3 & ~3)
