"""FAT12, FAT16 and FAT32 in an image."""

from __future__ import annotations

from collections.abc import Iterator

from shim.errors import FormatError
from shim.formats.text import ascii_lower
from shim.formats.vfat import BOOT_SECTOR, CLUSTER_FIRST, parse_boot_sector, probe
from shim.formats.vfat_directory import DIRECTORY_SIZE_MAX, DirectoryEntry, parse_directory
from shim.images.tree import Directory, Kind, Node, ReadAt, Run, gather, make_directory

BITS = {"FAT12": 12, "FAT16": 16, "FAT32": 32}
WINDOW = 64 << 10  # a multiple of 4; an entry of FAT12 may cross its end
NOT_UNMOUNTED = "it was not unmounted: what was written last may be missing or damaged"


class FatReader:
    """Implements `shim.images.tree.Reader`: names are found whatever their case, and by their short ones too."""

    def __init__(self, read_at: ReadAt) -> None:
        geometry = parse_boot_sector(read_at(0, BOOT_SECTOR.size))
        superblock = probe(read_at)
        if geometry is None or superblock is None:
            raise FormatError("no FAT file system")
        self.notes: tuple[str, ...] = (NOT_UNMOUNTED,) if superblock.dirty else ()
        self._geometry, self._read_at = geometry, read_at
        self._bits = BITS[geometry.version]
        # As Linux has it: a table that is too short for the volume shortens the volume.
        entries = min(geometry.cluster_count + CLUSTER_FIRST, geometry.fat_size * 8 // self._bits)
        self._last = entries - 1
        self._ends_at = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self._bits]
        self._window: tuple[int, bytes] = (-1, b"")

    @property
    def root(self) -> Node:
        return Node(key=0, kind=Kind.DIRECTORY, where=self._geometry.root_cluster)

    def folded(self, name: str) -> str:
        return ascii_lower(name).rstrip(".") or name

    def directory(self, node: Node) -> Directory:
        fixed = node.key == 0 and not self._geometry.root_cluster
        if fixed:
            data = self._read_at(self._geometry.root_start, self._geometry.root_size)
        else:
            data = self._whole(node.where)
        entries = list(parse_directory(data))
        made = make_directory(self, ((entry.name, entry) for entry in entries))
        aliases = {self.folded(entry.alias): entry for entry in reversed(entries)}
        return made.replace(found={**aliases, **made.found})

    def node(self, found: DirectoryEntry) -> Node:
        if found.is_directory:
            # The root's key is 0; a directory that names cluster 0 is damaged, which following its chain tells.
            return Node(key=found.cluster or -1, kind=Kind.DIRECTORY, where=found.cluster)
        if found.size > self._geometry.size:
            raise FormatError("FAT file is larger than the volume", size=found.size, limit=self._geometry.size)
        return Node(key=found.cluster, kind=Kind.FILE, size=found.size, where=found.cluster)

    def runs(self, node: Node) -> Iterator[Run]:
        return self._chain(node.where, node.size) if node.size else iter(())

    def target(self, node: Node) -> str:
        raise FormatError("FAT has no symbolic links")

    def _whole(self, cluster: int) -> bytes:
        """Return a directory that ends where its chain does."""
        pieces, size = [], 0
        for start, count in self._chain(cluster, DIRECTORY_SIZE_MAX + self._geometry.cluster_size):
            size += count
            if size > max(DIRECTORY_SIZE_MAX, self._geometry.cluster_size):
                raise FormatError("FAT directory does not end", limit=DIRECTORY_SIZE_MAX)
            pieces.append((start, count))
        return gather(self._read_at, iter(pieces), size, DIRECTORY_SIZE_MAX * 2)

    def _chain(self, cluster: int, size: int) -> Iterator[Run]:
        """Yield the clusters of a chain, up to `size` bytes, neighbours joined. A loop ends at `size`."""
        each, joined = self._geometry.cluster_size, 0
        first = cluster
        for _ in range(-(-size // each)):
            if not CLUSTER_FIRST <= cluster <= self._last:
                raise FormatError("FAT cluster lies outside the volume", cluster=cluster, first=CLUSTER_FIRST,
                                  last=self._last)
            joined += 1
            following = self._next(cluster)
            if following != cluster + 1 or joined * each >= WINDOW:
                yield self._geometry.data_start + (first - CLUSTER_FIRST) * each, joined * each
                first, joined = following, 0
            if following >= self._ends_at:
                return
            cluster = following
        if joined:
            yield self._geometry.data_start + (first - CLUSTER_FIRST) * each, joined * each

    def _next(self, cluster: int) -> int:
        at = cluster * self._bits // 8
        width = 4 if self._bits == 32 else 2
        start, window = self._window
        if not start <= at <= start + len(window) - width:
            start = at // WINDOW * WINDOW
            window = self._read_at(self._geometry.fat_start + start,
                                   min(WINDOW + 4, self._geometry.fat_size - start))
            self._window = start, window
        value = int.from_bytes(window[at - start : at - start + width], "little")
        if self._bits == 12:
            return value >> 4 if cluster & 1 else value & 0xFFF
        return value & 0x0FFFFFFF if self._bits == 32 else value
