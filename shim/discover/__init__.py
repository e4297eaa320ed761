"""Discover: from /sys and the disks to `Volume`s.

The kernel says which block devices there are; what a partition is for, and what file system is on it, is read from
the disk itself by the parsers of `shim.formats`. Nothing is mounted here and nothing is written.
"""

from __future__ import annotations

from shim.discover.disks import Block, read_blocks
from shim.discover.superblocks import find_superblock
from shim.discover.tables import read_table
from shim.errors import ShimError
from shim.model import PartitionKind, Problem, Volume
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.discover.tables import DiskTable
    from shim.ports import Machine

__all__ = ["Discovery", "discover_volumes"]


class Discovery(Value):
    """What was found: volumes in the order of the kernel's names, and what was passed over."""

    volumes: tuple[Volume, ...]
    problems: tuple[Problem, ...]


def discover_volumes(machine: Machine) -> Discovery:
    """Return every partition and every disk without partitions, with the file system on it.

    May be called again when devices came or went. A disk that cannot be read is a problem, and the rest goes on.
    """
    problems: list[Problem] = []
    volumes: list[Volume] = []
    blocks = read_blocks(machine.facts)
    for disk in (block for block in blocks if block.disk == block.name):
        parts = tuple(block for block in blocks if block.disk == disk.name and block.name != disk.name)
        volumes += _volumes_of(machine, disk, parts, problems)
    return Discovery(volumes=tuple(volumes), problems=tuple(problems))


def _volumes_of(
    machine: Machine, disk: Block, parts: tuple[Block, ...], problems: list[Problem]
) -> list[Volume]:
    if not parts:
        return [_volume(machine, disk, None, problems)]
    table: DiskTable | None = None
    try:
        table = read_table(machine.devices, disk.name)
    except ShimError as problem:
        problems.append(Problem(source=disk.name, error=str(problem)))
    if table is not None and table.problem:
        problems.append(Problem(source=disk.name, error=table.problem))
    return [_volume(machine, part, table, problems) for part in parts]


def _volume(machine: Machine, block: Block, table: DiskTable | None, problems: list[Problem]) -> Volume:
    row = table.at(block.start) if table is not None and block.number else None
    volume = Volume(
        name=block.name,
        disk=block.disk,
        device=f"/dev/{block.name.replace('!', '/')}",
        number=block.number,
        start=block.start,
        size=block.size,
        removable=block.removable,
        table=table.kind if row is not None and table is not None else None,
        parttype=row.parttype if row else None,
        partuuid=row.partuuid if row else None,
        partlabel=row.name if row else None,
        kind=PartitionKind(row.kind) if row else PartitionKind.OTHER,
    )
    try:
        device = machine.devices.open(block.name)
        try:
            found = find_superblock(device)
        finally:
            device.close()
    except ShimError as problem:
        problems.append(Problem(source=block.name, error=str(problem)))
        return volume
    return volume if found is None else volume.replace(fstype=found.fstype, label=found.label, uuid=found.uuid)
