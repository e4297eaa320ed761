"""The partition table of a disk, of either kind, as one table of rows."""

from __future__ import annotations

from shim.formats import dps
from shim.formats.gpt import parse_gpt
from shim.formats.mbr import ESP, XBOOTLDR, parse_mbr
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Device, Devices

# UEFI 2.10, 5.2.2 (ESP); UAPI.1, "The partitions" (XBOOTLDR). The others have no type of their own in an MBR.
MBR_KINDS = {ESP: "esp", XBOOTLDR: "xbootldr"}


class Row(Value):
    """A partition as its table has it. Bytes; `number` as Linux counts it; `kind` is a value of `PartitionKind`."""

    number: int
    start: int
    size: int
    parttype: str
    partuuid: str
    name: str | None
    kind: str


class DiskTable(Value):
    """A disk's table: gpt or dos (as blkid calls them). `problem` is what had to be passed over in it."""

    kind: str
    rows: tuple[Row, ...]
    problem: str | None = None

    def at(self, start: int) -> Row | None:
        """Return the partition that starts at this byte of the disk."""
        return next((row for row in self.rows if row.start == start), None)


def read_table(devices: Devices, name: str) -> DiskTable | None:
    """Return the table of the disk `name`, None when it has none. Raises FormatError or FetchError."""
    device = devices.open(name)
    try:
        return parse_table(device)
    finally:
        device.close()


def parse_table(device: Device) -> DiskTable | None:
    """Return the table of an open disk. A GPT counts before the MBR that guards it."""
    gpt = parse_gpt(device.read_at, device.size, device.sector_size)
    if gpt is not None:
        rows = tuple(
            Row(number=part.number, start=part.start, size=part.size, parttype=part.parttype, partuuid=part.partuuid,
                name=part.name or None, kind=dps.kind_of(part.parttype))
            for part in gpt.partitions
        )
        return DiskTable(kind="gpt", rows=rows, problem=gpt.problem)
    mbr = parse_mbr(device.read_at, device.size, device.sector_size)
    if mbr is None:
        return None
    rows = tuple(
        Row(number=part.number, start=part.start, size=part.size, parttype=f"0x{part.os_type:x}",
            partuuid=part.partuuid, name=None, kind=MBR_KINDS.get(part.os_type, "other"))
        for part in mbr.partitions
    )
    return DiskTable(kind="dos", rows=rows, problem=mbr.problem)
