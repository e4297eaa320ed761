"""Btrfs superblock. Spec: Btrfs documentation, "On-disk format", Superblock (struct btrfs_super_block)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import uuid_text
from shim.formats.record import Record
from shim.formats.superblock import Superblock, power_of_two
from shim.formats.text import label_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

OFFSET = 0x10000
MAGIC = b"_BHRfS_M"
SUPERBLOCK = Record("btrfs superblock", 4096, """
    0x020  16s   fsid
    0x030  Q     bytenr            # where this copy lies
    0x040  8s    magic
    0x060  Q     log_root          # not 0: a log tree waits for its replay
    0x070  Q     total_bytes       # over all devices
    0x088  Q     num_devices
    0x090  I     sectorsize
    0x12b  256s  label
""")


def probe(read: Read) -> Superblock | None:
    """Return the btrfs that this volume is a device of. `size` is known only where it is the only device."""
    block = SUPERBLOCK.parse(read(OFFSET, SUPERBLOCK.size))
    if block["magic"] != MAGIC:
        return None
    if block["bytenr"] != OFFSET:
        raise FormatError("btrfs superblock belongs elsewhere", expected=OFFSET, found=block["bytenr"])
    power_of_two("btrfs sector size", block["sectorsize"], 4096, 65536)
    return Superblock(
        fstype="btrfs",
        label=label_text(block["label"]),
        uuid=uuid_text(block["fsid"]),
        size=block["total_bytes"] if block["num_devices"] == 1 else None,
        dirty=block["log_root"] != 0,
    )
