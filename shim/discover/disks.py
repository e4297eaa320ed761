"""The block devices that the kernel lists. Spec: Linux Documentation/ABI/stable/sysfs-block."""

from __future__ import annotations

from shim.errors import FetchError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Files

CLASS = "/sys/class/block"
ATTRIBUTE_SIZE_MAX = 4096
SECTOR = 512  # the unit of `size` and `start` in sysfs, whatever the disk's own sectors are
MEMORY_DEVICES = ("ram", "zram", "nbd", "fd", "mtdblock")
DEVICES_MAX = 4096


class Block(Value):
    """A block device: `disk` is its own name, or that of the disk it is a part of. Bytes; `number` 0 for a disk."""

    name: str
    disk: str
    number: int
    start: int
    size: int
    removable: bool


def read_blocks(facts: Files) -> tuple[Block, ...]:
    """Return the block devices that have a size, disks before their partitions, partitions by number."""
    names = (facts.names(CLASS) or ())[:DEVICES_MAX]
    found = []
    for name in names:
        if name.rstrip("0123456789") in MEMORY_DEVICES:
            continue
        block = _read_block(facts, name, names)
        if block is not None:
            found.append(block)
    return tuple(sorted(found, key=lambda block: (block.disk, block.number)))


def _read_block(facts: Files, name: str, names: tuple[str, ...]) -> Block | None:
    number = _number(facts, f"{CLASS}/{name}/partition")
    disk = _disk_of(name, number, names) if number else name
    size = _number(facts, f"{CLASS}/{name}/size")
    if not size or disk is None:
        return None
    return Block(
        name=name,
        disk=disk,
        number=number or 0,
        start=(_number(facts, f"{CLASS}/{name}/start") or 0) * SECTOR,
        size=size * SECTOR,
        removable=bool(_number(facts, f"{CLASS}/{disk}/removable")),
    )


def _disk_of(name: str, number: int, names: tuple[str, ...]) -> str | None:
    """Return the disk of a partition: the kernel appends the number, after a p where the disk ends in a digit."""
    stem = name.removesuffix(str(number))
    for disk in (stem, stem.removesuffix("p")):
        if disk in names and disk != name:
            return disk
    return None


def _number(facts: Files, path: str) -> int | None:
    try:
        text = facts.read(path, ATTRIBUTE_SIZE_MAX).decode("ascii", "replace").strip()
    except FetchError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None
