"""GUID partition table. Spec: UEFI 2.10, 5.3.2 (header) and 5.3.3 (entry array)."""

from __future__ import annotations

import binascii

from shim.errors import FormatError
from shim.formats.guid import guid_text
from shim.formats.record import Record
from shim.formats.text import utf16_text
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIGNATURE = b"EFI PART"
REVISION = 0x00010000
HEADER = Record("GPT header", 92, """
    0x00  8s   signature
    0x08  I    revision
    0x0c  I    header_size               # bytes, 92 up to one sector
    0x10  I    header_crc32              # of header_size bytes, this field as 0
    0x18  Q    my_lba
    0x20  Q    alternate_lba
    0x28  Q    first_usable_lba
    0x30  Q    last_usable_lba           # inclusive
    0x38  16s  disk_guid
    0x48  Q    partition_entry_lba
    0x50  I    number_of_partition_entries
    0x54  I    size_of_partition_entry   # bytes, 128 << n
    0x58  I    partition_entry_array_crc32
""")
ENTRY = Record("GPT entry", 128, """
    0x00  16s  partition_type_guid
    0x10  16s  unique_partition_guid
    0x20  Q    starting_lba
    0x28  Q    ending_lba                # inclusive
    0x30  Q    attributes
    0x38  72s  partition_name            # UTF-16LE, NUL-terminated where shorter
""")
ARRAY_SIZE_MAX = 4 << 20
ENTRY_SIZE_MAX = 4096


class Partition(Value):
    """One partition: `number` from 1, `start` and `size` in bytes, GUIDs as text in lower case."""

    number: int
    start: int
    size: int
    parttype: str
    partuuid: str
    name: str
    attributes: int = 0


class Table(Value):
    """The partitions of a disk. `problem` says why the primary header was passed over, None when it was not."""

    partitions: tuple[Partition, ...]
    disk_guid: str
    problem: str | None = None


def parse_gpt(read: Callable[[int, int], bytes], disk_size: int, sector_size: int) -> Table | None:
    """Return the table that the primary header describes, else the backup header in the last sector.

    `read(offset, size)` reads the disk; sizes in bytes. None when neither header carries the signature. Raises
    FormatError when there is a signature and no header whose checksums hold.
    """
    last = disk_size // sector_size - 1
    problems: list[FormatError] = []
    for lba in (1, last):
        if lba <= 0 or lba > last:
            continue
        try:
            table = _parse_at(read, lba, last, sector_size)
        except FormatError as problem:
            problems.append(problem)
            continue
        if table is not None:
            return table.replace(problem=str(problems[0]) if problems else _missing(lba, last))
    if problems:
        raise problems[0]
    return None


def _missing(lba: int, last: int) -> str | None:
    return "the primary GPT header is not there: the backup is used" if lba == last else None


def _parse_at(read: Callable[[int, int], bytes], lba: int, last: int, sector_size: int) -> Table | None:
    sector = read(lba * sector_size, sector_size)
    if not sector.startswith(SIGNATURE):
        return None
    header = _check_header(sector, lba, last)
    entry_size, count = header["size_of_partition_entry"], header["number_of_partition_entries"]
    array_size = entry_size * count
    sectors = -(-array_size // sector_size)
    start = header["partition_entry_lba"]
    if array_size > ARRAY_SIZE_MAX or start < 2 - (lba != 1) or start + sectors - 1 > last:
        raise FormatError("GPT entry array lies nowhere", partition_entry_lba=start, size=array_size, last_lba=last)
    array = read(start * sector_size, array_size) if array_size else b""
    found = binascii.crc32(array)
    if found != header["partition_entry_array_crc32"]:
        raise FormatError("GPT entry array has a wrong checksum", at=start * sector_size,
                          expected=header["partition_entry_array_crc32"], found=found)
    partitions = (_parse_entry(array, number, entry_size, last, sector_size) for number in range(count))
    return Table(
        partitions=tuple(partition for partition in partitions if partition is not None),
        disk_guid=guid_text(header["disk_guid"]) or "",
    )


def _check_header(sector: bytes, lba: int, last: int) -> dict[str, Any]:
    header = HEADER.parse(sector)
    size = header["header_size"]
    if not HEADER.size <= size <= len(sector):
        raise FormatError("GPT header has no sensible size", lba=lba, expected=HEADER.size, found=size)
    at = HEADER.offsets["header_crc32"]
    found = binascii.crc32(sector[:at] + bytes(4) + sector[at + 4 : size])
    if found != header["header_crc32"]:
        raise FormatError("GPT header has a wrong checksum", lba=lba, expected=header["header_crc32"], found=found)
    if header["my_lba"] != lba:
        raise FormatError("GPT header is not where it says", lba=lba, my_lba=header["my_lba"])
    entry_size = header["size_of_partition_entry"]
    if not ENTRY.size <= entry_size <= ENTRY_SIZE_MAX or entry_size & (entry_size - 1):
        raise FormatError("GPT entries have no sensible size", size_of_partition_entry=entry_size)
    if header["first_usable_lba"] > header["last_usable_lba"] or header["last_usable_lba"] > last:
        raise FormatError("GPT usable range is outside the disk", first_usable_lba=header["first_usable_lba"],
                          last_usable_lba=header["last_usable_lba"], last_lba=last)
    return header


def _parse_entry(array: bytes, number: int, entry_size: int, last: int, sector_size: int) -> Partition | None:
    entry = ENTRY.parse(array, number * entry_size)
    parttype = guid_text(entry["partition_type_guid"])
    start, end = entry["starting_lba"], entry["ending_lba"]
    if parttype is None or start > end or end > last or not start:
        return None
    return Partition(
        number=number + 1,
        start=start * sector_size,
        size=(end - start + 1) * sector_size,
        parttype=parttype,
        partuuid=guid_text(entry["unique_partition_guid"]) or "",
        name=utf16_text(entry["partition_name"]) or "",
        attributes=entry["attributes"],
    )
