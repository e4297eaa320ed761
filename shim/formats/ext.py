"""ext2, ext3 and ext4 superblock. Spec: Linux Documentation/filesystems/ext4/globals.rst, "Super Block"."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import uuid_text
from shim.formats.record import Record
from shim.formats.superblock import Superblock
from shim.formats.text import label_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

OFFSET = 1024
MAGIC = 0xEF53
SUPERBLOCK = Record("ext superblock", 1024, """
    0x000  I    inodes_count
    0x004  I    blocks_count_lo
    0x014  I    first_data_block
    0x018  I    log_block_size       # block size is 1024 << this
    0x020  I    blocks_per_group
    0x028  I    inodes_per_group
    0x038  H    magic
    0x03a  H    state
    0x04c  I    rev_level
    0x058  H    inode_size           # bytes; 128 where rev_level is 0
    0x05c  I    feature_compat
    0x060  I    feature_incompat
    0x064  I    feature_ro_compat
    0x068  16s  uuid
    0x078  16s  volume_name
    0x0fe  H    desc_size            # bytes of a group descriptor, with INCOMPAT_64BIT
    0x104  I    first_meta_bg
    0x150  I    blocks_count_hi
    0x24c  8s   backup_bgs           # two groups, with COMPAT_SPARSE_SUPER2
""")
STATE_CLEAN = 0x1
COMPAT_HAS_JOURNAL = 0x4
INCOMPAT_FILETYPE, INCOMPAT_RECOVER, INCOMPAT_JOURNAL_DEV, INCOMPAT_META_BG = 0x2, 0x4, 0x8, 0x10
INCOMPAT_64BIT = 0x80
RO_COMPAT_SPARSE_SUPER, RO_COMPAT_LARGE_FILE, RO_COMPAT_BTREE_DIR = 0x1, 0x2, 0x4
# What the ext2 and ext3 drivers knew when ext4 began; anything beyond makes it an ext4.
INCOMPAT_EXT2 = INCOMPAT_FILETYPE | INCOMPAT_META_BG
INCOMPAT_EXT3 = INCOMPAT_EXT2 | INCOMPAT_RECOVER
RO_COMPAT_EXT3 = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE | RO_COMPAT_BTREE_DIR
LOG_BLOCK_SIZE_MAX = 6  # 64 KiB


def probe(read: Read) -> Superblock | None:
    """Return the ext file system of a volume. A journal kept on a device of its own is none."""
    block = SUPERBLOCK.parse(read(OFFSET, SUPERBLOCK.size))
    if block["magic"] != MAGIC or block["feature_incompat"] & INCOMPAT_JOURNAL_DEV:
        return None
    if block["log_block_size"] > LOG_BLOCK_SIZE_MAX:
        raise FormatError("ext block size is too large", log_block_size=block["log_block_size"])
    if not block["blocks_per_group"]:
        raise FormatError("ext superblock has no blocks in a group")
    blocks = block["blocks_count_lo"]
    if block["feature_incompat"] & INCOMPAT_64BIT:
        blocks |= block["blocks_count_hi"] << 32
    return Superblock(
        fstype=_fstype(block["feature_compat"], block["feature_incompat"], block["feature_ro_compat"]),
        label=label_text(block["volume_name"]),
        uuid=uuid_text(block["uuid"]),
        version=f"{block['rev_level']}",
        size=blocks << (10 + block["log_block_size"]),
        dirty=bool(block["feature_incompat"] & INCOMPAT_RECOVER) or not block["state"] & STATE_CLEAN,
    )


def _fstype(compat: int, incompat: int, ro_compat: int) -> str:
    if incompat & ~INCOMPAT_EXT3 or ro_compat & ~RO_COMPAT_EXT3:
        return "ext4"
    return "ext3" if compat & COMPAT_HAS_JOURNAL else "ext2"
