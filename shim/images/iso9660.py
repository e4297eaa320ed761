"""ISO 9660 in an image, with Rock Ridge or Joliet, chosen as Linux chooses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shim.errors import FetchError, FormatError
from shim.formats import iso9660
from shim.formats.iso9660_directory import (
    FLAG_ASSOCIATED,
    FLAG_MORE,
    JOLIET,
    PARENT,
    SELF,
    DirectoryRecord,
    RockRidge,
    joliet_name,
    parse_directory,
    parse_record,
    parse_system_use,
    plain_name,
    skipped_by,
)
from shim.formats.text import ascii_lower
from shim.images.tree import Directory, Kind, Node, ReadAt, Run, make_directory

DIRECTORY_SIZE_MAX = 16 << 20
SECTIONS_MAX = 100  # of one file, as Linux has it
KINDS = {0x4000: Kind.DIRECTORY, 0x8000: Kind.FILE, 0xA000: Kind.LINK}
TYPE_MASK = 0xF000
Item = tuple[tuple[DirectoryRecord, ...], RockRidge]


class IsoReader:
    """Implements `shim.images.tree.Reader`. Only Joliet's names are found whatever their case."""

    def __init__(self, read_at: ReadAt) -> None:
        superblock = iso9660.probe(read_at)
        if superblock is None:
            raise FormatError("no ISO 9660 file system")
        self._read_at, self._size = read_at, superblock.size or 0
        primary, joliet = self._descriptors()
        self._block_size: int = primary["logical_block_size"]
        root = parse_record(primary["root_directory_record"])
        self._skip: int | None = None
        own = parse_record(self._content(root))
        skip = skipped_by(own.system_use)
        if skip is not None and parse_system_use(own.system_use, self._area).extensions:
            self._skip = skip
        self._joliet = self._skip is None and joliet is not None
        if self._joliet and joliet is not None:
            root = parse_record(joliet["root_directory_record"])
        self._root = root
        self.notes: tuple[str, ...] = ()

    @property
    def root(self) -> Node:
        where = ((self._root,), RockRidge())
        return Node(key=self._root.extent, kind=Kind.DIRECTORY, size=self._root.size, where=where)

    def folded(self, name: str) -> str:
        return ascii_lower(name).rstrip(".") or name if self._joliet else name

    def directory(self, node: Node) -> Directory:
        return make_directory(self, self._names(node))

    def node(self, found: Item) -> Node:
        records, rock_ridge = found
        first = records[0]
        kind = Kind.DIRECTORY if first.is_directory else Kind.FILE
        if rock_ridge.mode is not None:
            kind = KINDS.get(rock_ridge.mode & TYPE_MASK, Kind.OTHER)
        if rock_ridge.child is not None:
            own = parse_record(self._read(rock_ridge.child, self._block_size))
            return Node(key=own.extent, kind=Kind.DIRECTORY, size=own.size, where=((own,), RockRidge()))
        return Node(key=first.extent, kind=kind, size=sum(record.size for record in records), where=found)

    def runs(self, node: Node) -> Iterator[Run]:
        records, rock_ridge = node.where
        if rock_ridge.packed:
            raise FetchError(f"the file is {rock_ridge.packed}")
        for record in records:
            if record.size:
                yield self._place(record.extent, record.size), record.size

    def target(self, node: Node) -> str:
        link = node.where[1].link
        if link is None:
            raise FormatError("Rock Ridge link leads nowhere")
        return str(link)

    def _descriptors(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the primary descriptor, and Joliet's."""
        primary = joliet = None
        for number in range(iso9660.DESCRIPTORS_MAX):
            data = self._read_at(iso9660.OFFSET + number * iso9660.SECTOR_SIZE, iso9660.SECTOR_SIZE)
            row = iso9660.DESCRIPTOR.parse(data)
            if row["standard_identifier"] != iso9660.IDENTIFIER or row["type"] == iso9660.TERMINATOR:
                break
            if row["type"] == iso9660.PRIMARY and primary is None:
                primary = row
            elif row["type"] == iso9660.SUPPLEMENTARY and row["escape_sequences"][:3] in JOLIET and joliet is None:
                joliet = row
        if primary is None:
            raise FormatError("ISO 9660 has no primary volume descriptor")
        return primary, joliet

    def _names(self, node: Node) -> Iterator[tuple[str, Item]]:
        sections: list[DirectoryRecord] = []
        for record in parse_directory(self._content(node.where[0][0]), self._block_size):
            if record.identifier in (SELF, PARENT) or record.flags & FLAG_ASSOCIATED:
                continue
            sections.append(record)
            if len(sections) > SECTIONS_MAX:
                raise FormatError("ISO 9660 file has too many sections", limit=SECTIONS_MAX)
            if record.flags & FLAG_MORE:
                continue
            rock_ridge = self._rock_ridge(sections[0])
            name = self._name(sections[0], rock_ridge)
            if not rock_ridge.moved and name not in ("", ".", "..") and "/" not in name and "\0" not in name:
                yield name, (tuple(sections), rock_ridge)
            sections = []

    def _name(self, record: DirectoryRecord, rock_ridge: RockRidge) -> str:
        if self._joliet:
            return joliet_name(record.identifier)
        if rock_ridge.name is not None:
            return rock_ridge.name.decode("utf-8", "surrogateescape")
        return plain_name(record.identifier)

    def _rock_ridge(self, record: DirectoryRecord) -> RockRidge:
        if self._skip is None:
            return RockRidge()
        return parse_system_use(record.system_use[self._skip :], self._area)

    def _content(self, record: DirectoryRecord) -> bytes:
        if record.size > DIRECTORY_SIZE_MAX:
            raise FormatError("ISO 9660 directory is too long", size=record.size, limit=DIRECTORY_SIZE_MAX)
        return self._read(record.extent, record.size)

    def _area(self, block: int, offset: int, size: int) -> bytes:
        return self._read(block, offset + size)[offset:]

    def _read(self, block: int, size: int) -> bytes:
        return self._read_at(self._place(block, size), size)

    def _place(self, block: int, size: int) -> int:
        """Return where a logical block lies. What a lying size of the volume hides, the device's end tells."""
        return block * self._block_size
