"""SquashFS superblock. Spec: Linux fs/squashfs/squashfs_fs.h (struct squashfs_super_block), version 4.0."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.formats.superblock import Superblock, power_of_two

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

MAGIC = b"hsqs"
SUPERBLOCK = Record("squashfs superblock", 96, """
    0x00  4s  s_magic
    0x0c  I   block_size
    0x16  H   block_log
    0x1c  H   s_major
    0x1e  H   s_minor
    0x28  Q   bytes_used
""")
MAJOR = 4


def probe(read: Read) -> Superblock | None:
    """Return the squashfs of a volume; it has neither label nor UUID."""
    block = SUPERBLOCK.parse(read(0, SUPERBLOCK.size))
    if block["s_magic"] != MAGIC:
        return None
    if block["s_major"] != MAJOR:
        raise FormatError("squashfs version is not supported", expected=MAJOR, found=block["s_major"])
    if power_of_two("squashfs block size", block["block_size"], 4096, 1 << 20) != 1 << block["block_log"]:
        raise FormatError("squashfs block sizes differ", block_size=block["block_size"], log=block["block_log"])
    return Superblock(
        fstype="squashfs", version=f"{block['s_major']}.{block['s_minor']}", size=block["bytes_used"]
    )
