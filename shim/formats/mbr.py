"""Master boot record with logical partitions. Spec: UEFI 2.10, 5.2 (MBR); the chain of extended boot records as
Linux block/partitions/msdos.c follows it.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNATURE = 0xAA55
MBR = Record("MBR", 512, """
    0x1b8  I    unique_mbr_disk_signature
    0x1be  64s  partition_record          # four of them
    0x1fe  H    signature
""")
PARTITION = Record("MBR partition record", 16, """
    0x00  B   boot_indicator
    0x04  B   os_type
    0x08  I   starting_lba               # of the disk; in an extended boot record, of its base
    0x0c  I   size_in_lba
""")
XBOOTLDR, GPT_PROTECTIVE, ESP = 0xEA, 0xEE, 0xEF
EXTENDED = (0x05, 0x0F, 0x85)
LOGICAL_FIRST = 5
LOGICAL_MAX = 256
BOOT_INDICATORS = (0x00, 0x80)


class Partition(Value):
    """One partition: `number` as Linux counts it (logical ones from 5), `start` and `size` in bytes."""

    number: int
    start: int
    size: int
    os_type: int
    partuuid: str


class Table(Value):
    """The partitions of a disk; `protective` where the MBR only guards a GPT. `problem`: what was passed over."""

    partitions: tuple[Partition, ...]
    protective: bool = False
    problem: str | None = None


class _Disk(Value):
    """What the partitions are counted in, and how the disk is read."""

    read: Callable[[int, int], bytes]
    size: int
    sector_size: int
    signature: int

    def partition(self, number: int, base: int, record: dict[str, int]) -> Partition:
        made = Partition(
            number=number,
            start=(base + record["starting_lba"]) * self.sector_size,
            size=record["size_in_lba"] * self.sector_size,
            os_type=record["os_type"],
            partuuid=f"{self.signature:08x}-{number:02x}",
        )
        if made.start + made.size > self.size and made.os_type != GPT_PROTECTIVE:
            raise FormatError("MBR partition ends outside the disk", number=number, end=made.start + made.size,
                              disk_size=self.size)
        return made

    def logical(self, base: int, size: int) -> Iterator[Partition]:
        """Follow the chain of extended boot records; each names one partition and the next record."""
        at, number = base, LOGICAL_FIRST
        seen: set[int] = set()
        while True:
            if at in seen or len(seen) >= LOGICAL_MAX:
                raise FormatError("the chain of logical partitions does not end", lba=at, limit=LOGICAL_MAX)
            seen.add(at)
            if not base <= at < base + size or (at + 1) * self.sector_size > self.size:
                raise FormatError("an extended boot record lies outside its partition", lba=at, start=base,
                                  size=size)
            ebr = MBR.parse(self.read(at * self.sector_size, MBR.size))
            if ebr["signature"] != SIGNATURE:
                raise FormatError("no extended boot record", lba=at, expected=SIGNATURE, found=ebr["signature"])
            first, following = list(_records(ebr["partition_record"]))[:2]
            if first["os_type"] and first["size_in_lba"] and first["os_type"] not in EXTENDED:
                yield self.partition(number, at, first)
                number += 1
            if following["os_type"] not in EXTENDED or not following["size_in_lba"]:
                return
            at = base + following["starting_lba"]


def parse_mbr(read: Callable[[int, int], bytes], disk_size: int, sector_size: int) -> Table | None:
    """Return the partitions of an MBR, None when the sector is none (a file system's boot sector, say).

    `read(offset, size)` reads the disk; sizes in bytes. A partition outside the disk or a broken chain of logical
    ones ends in `problem`, with the partitions that make sense.
    """
    if disk_size < max(sector_size, MBR.size):
        return None
    mbr = MBR.parse(read(0, MBR.size))
    records = list(_records(mbr["partition_record"]))
    if mbr["signature"] != SIGNATURE or any(record["boot_indicator"] not in BOOT_INDICATORS for record in records):
        return None  # code or text in the table's place, as in a FAT boot sector
    disk = _Disk(read=read, size=disk_size, sector_size=sector_size, signature=mbr["unique_mbr_disk_signature"])
    partitions: list[Partition] = []
    problem = None
    for number, record in enumerate(records, 1):
        if not record["os_type"] or not record["size_in_lba"]:
            continue
        try:
            if record["os_type"] in EXTENDED:
                for logical in disk.logical(record["starting_lba"], record["size_in_lba"]):
                    partitions.append(logical)  # those before a broken link are kept
            else:
                partitions.append(disk.partition(number, 0, record))
        except FormatError as error:
            problem = str(error)
    protective = any(record["os_type"] == GPT_PROTECTIVE for record in records)
    ordered = tuple(sorted(partitions, key=lambda part: part.number))
    return Table(partitions=ordered, protective=protective, problem=problem)


def _records(table: bytes) -> Iterator[dict[str, int]]:
    for at in range(0, 64, PARTITION.size):
        yield PARTITION.parse(table, at)
