"""ext2, ext3 and ext4 in an image. A journal is never replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shim.errors import FetchError, FormatError
from shim.formats import ext
from shim.formats.ext_inode import (
    FLAG_COMPRESSED,
    FLAG_ENCRYPTED,
    FLAG_EXTENTS,
    FLAG_INLINE_DATA,
    GROUP,
    GROUP_HIGH,
    INODE,
    TYPE_DIRECTORY,
    TYPE_FILE,
    TYPE_LINK,
    TYPE_MASK,
    block_map,
    extents,
    inline_places,
    parse_dirents,
)
from shim.formats.superblock import power_of_two
from shim.images.tree import PATH_SIZE_MAX, Directory, Kind, Node, ReadAt, Run, gather, make_directory
from shim.values import Value

KINDS = {TYPE_DIRECTORY: Kind.DIRECTORY, TYPE_FILE: Kind.FILE, TYPE_LINK: Kind.LINK}
ROOT_INODE = 2
INLINE_SIZE = 60
FAST_LINK_SIZE = 59
DIRECTORY_SIZE_MAX = 16 << 20
BLOCKS_KEPT = 64
# Incompatible features that change nothing of what is read here, or that are followed.
KNOWN = {
    "filetype": 0x2, "recover": 0x4, "meta_bg": 0x10, "extents": 0x40, "64bit": 0x80, "mmp": 0x100, "flex_bg": 0x200,
    "ea_inode": 0x400, "csum_seed": 0x2000, "largedir": 0x4000, "inline_data": 0x8000, "encrypt": 0x10000,
    "casefold": 0x20000,
}  # fmt: skip
SPARSE_SUPER2 = 0x200
NOT_REPLAYED = "it was not unmounted, and its journal is not replayed: what was written last may be missing"
NOT_UNMOUNTED = "it was not unmounted: what was written last may be missing or damaged"


class Inode(Value):
    """An inode's bytes and where they lie on the volume."""

    start: int
    raw: bytes


class ExtReader:
    """Implements `shim.images.tree.Reader`. Spec: Linux Documentation/filesystems/ext4, "Layout", "Block Groups"."""

    def __init__(self, read_at: ReadAt) -> None:
        superblock = ext.probe(read_at)
        if superblock is None:
            raise FormatError("no ext file system")
        self._read_at, self._size = read_at, superblock.size or 0
        self._block = block = ext.SUPERBLOCK.parse(read_at(ext.OFFSET, ext.SUPERBLOCK.size))
        unknown = block["feature_incompat"] & ~sum(KNOWN.values())
        if unknown:
            raise FormatError("ext file system has features that are not known", incompat=f"{unknown:#x}")
        if not block["inodes_per_group"] or not block["inodes_count"]:
            raise FormatError("ext superblock has no inodes")
        journal = block["feature_incompat"] & KNOWN["recover"]
        said = NOT_REPLAYED if journal else NOT_UNMOUNTED
        self.notes: tuple[str, ...] = (said,) if superblock.dirty else ()
        self._block_size: int = 1024 << block["log_block_size"]
        self._blocks = self._size // self._block_size
        self._inode_size = 128 if not block["rev_level"] else power_of_two(
            "ext inode size", block["inode_size"], 128, self._block_size)
        self._group_size = 32
        if block["feature_incompat"] & KNOWN["64bit"]:
            self._group_size = power_of_two("ext group descriptor size", block["desc_size"], 64, 1024)
        self._kept: dict[int, bytes] = {}

    @property
    def root(self) -> Node:
        root = self.node(ROOT_INODE)
        if root.kind is not Kind.DIRECTORY:
            raise FormatError("ext root is no directory")
        return root

    def folded(self, name: str) -> str:
        return name

    def directory(self, node: Node) -> Directory:
        return make_directory(self, self._names(node))

    def node(self, found: int) -> Node:
        """Read an inode."""
        if not 0 < found <= self._block["inodes_count"]:
            raise FormatError("ext inode number lies outside the file system", inode=found)
        inode = self._inode(found)
        row = INODE.parse(inode.raw)
        kind = KINDS.get(row["mode"] & TYPE_MASK, Kind.OTHER)
        size = row["size_lo"] | (row["size_high"] << 32 if kind is Kind.FILE else 0)
        return Node(key=found, kind=kind, size=size, where=inode)

    def runs(self, node: Node) -> Iterator[Run]:
        row = self._readable(node)
        if row["flags"] & FLAG_INLINE_DATA:
            yield from ((node.where.start + offset, size) for offset, size in inline_places(node.where.raw))
            return
        count, at = -(-node.size // self._block_size), 0
        blocks = extents(row["block"], self._read_block) if row["flags"] & FLAG_EXTENTS else block_map(
            row["block"], self._read_block, self._block_size, count)
        for logical, first, number in blocks:
            if logical >= count:
                break
            if logical > at:
                yield None, (logical - at) * self._block_size
            at = min(logical + number, count)
            start = None if first is None else self._place(first, at - logical)
            yield start, (at - logical) * self._block_size
        if at < count:
            yield None, (count - at) * self._block_size

    def target(self, node: Node) -> str:
        row = self._readable(node)
        if node.size <= FAST_LINK_SIZE and not row["flags"] & FLAG_EXTENTS:  # inline data begins in the same place
            data: bytes = row["block"][: node.size]
        else:
            data = gather(self._read_at, self.runs(node), node.size, PATH_SIZE_MAX)
        return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def _names(self, node: Node) -> Iterator[tuple[str, int]]:
        for raw, inode in self._entries(node):
            name = raw.decode("utf-8", "surrogateescape")
            if name not in (".", "..") and "/" not in name and "\0" not in name:
                yield name, inode

    def _entries(self, node: Node) -> Iterator[tuple[bytes, int]]:
        data = gather(self._read_at, self.runs(node), node.size, DIRECTORY_SIZE_MAX) if node.size else b""
        if self._readable(node)["flags"] & FLAG_INLINE_DATA:
            # The first four bytes are the parent's inode; the rest lies in the inode, then in the attribute.
            yield from parse_dirents(data[4:INLINE_SIZE], whole=False)
            yield from parse_dirents(data[INLINE_SIZE:], whole=False)
            return
        for at in range(0, len(data), self._block_size):
            block = data[at : at + self._block_size]
            if any(block):  # a hole in a directory
                yield from parse_dirents(block)

    def _readable(self, node: Node) -> dict[str, Any]:
        row = INODE.parse(node.where.raw)
        for flag, word in ((FLAG_ENCRYPTED, "encrypted"), (FLAG_COMPRESSED, "compressed")):
            if row["flags"] & flag:
                raise FetchError(f"the file is {word}", inode=node.key)
        return row

    def _inode(self, number: int) -> Inode:
        group, index = divmod(number - 1, self._block["inodes_per_group"])
        raw = self._group(group)
        table = GROUP.parse(raw)["inode_table_lo"]
        if self._group_size > GROUP.size:
            table |= GROUP_HIGH.parse(raw, GROUP.size)["inode_table_hi"] << 32
        start = self._place(table, 1) + index * self._inode_size
        if start + self._inode_size > self._size:
            raise FormatError("ext inode lies outside the file system", inode=number, at=start)
        return Inode(start=start, raw=self._read_at(start, self._inode_size))

    def _group(self, group: int) -> bytes:
        each = self._block_size // self._group_size
        number, index = divmod(group, each)
        block = self._first_block + 1 + number
        if self._block["feature_incompat"] & KNOWN["meta_bg"] and number >= self._block["first_meta_bg"]:
            first = number * each
            block = self._block["first_data_block"] + first * self._block["blocks_per_group"] + self._has_super(first)
            if not first:
                block = self._first_block + 1
        return self._read_block(block)[index * self._group_size :][: self._group_size]

    @property
    def _first_block(self) -> int:
        """The block that the superblock lies in."""
        return 1 if self._block_size == 1024 else 0

    def _has_super(self, group: int) -> bool:
        """Say whether a group begins with a copy of the superblock."""
        if self._block["feature_compat"] & SPARSE_SUPER2:
            copies = self._block["backup_bgs"]
            return group in (0, int.from_bytes(copies[:4], "little"), int.from_bytes(copies[4:], "little"))
        if group < 2 or not self._block["feature_ro_compat"] & ext.RO_COMPAT_SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def _place(self, block: int, count: int) -> int:
        if block <= 0 or block + count > self._blocks:
            raise FormatError("ext block lies outside the file system", block=block, count=count, limit=self._blocks)
        return block * self._block_size

    def _read_block(self, block: int) -> bytes:
        """Read a block of pointers or descriptors; the last few are kept."""
        if block not in self._kept:
            if len(self._kept) >= BLOCKS_KEPT:
                self._kept.clear()
            self._kept[block] = self._read_at(self._place(block, 1), self._block_size)
        return self._kept[block]


def _is_power(number: int, base: int) -> bool:
    while number > 1 and number % base == 0:
        number //= base
    return number == 1
