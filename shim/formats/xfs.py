"""XFS superblock. Spec: XFS Algorithms & Data Structures, 3rd edition, 13.1 (struct xfs_sb). Big-endian."""

from __future__ import annotations

from shim.formats.guid import uuid_text
from shim.formats.record import Record
from shim.formats.superblock import Superblock, power_of_two
from shim.formats.text import label_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

MAGIC = b"XFSB"
SUPERBLOCK = Record("XFS superblock", 264, """
    0x00  4s   sb_magicnum
    0x04  I    sb_blocksize
    0x08  Q    sb_dblocks        # blocks in the file system
    0x20  16s  sb_uuid
    0x64  H    sb_versionnum     # the low four bits
    0x66  H    sb_sectsize
    0x6c  12s  sb_fname
""", order=">")


def probe(read: Read) -> Superblock | None:
    """Return the XFS of a volume. Whether its log is clean cannot be told from the superblock."""
    block = SUPERBLOCK.parse(read(0, SUPERBLOCK.size))
    if block["sb_magicnum"] != MAGIC:
        return None
    power_of_two("XFS sector size", block["sb_sectsize"], 512, 32768)
    return Superblock(
        fstype="xfs",
        label=label_text(block["sb_fname"]),
        uuid=uuid_text(block["sb_uuid"]),
        version=f"{block['sb_versionnum'] & 0xF}",
        size=block["sb_dblocks"] * power_of_two("XFS block size", block["sb_blocksize"], 512, 65536),
    )
