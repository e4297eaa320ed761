"""F2FS superblock. Spec: Linux include/linux/f2fs_fs.h (struct f2fs_super_block)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import uuid_text
from shim.formats.record import Record
from shim.formats.superblock import Superblock
from shim.formats.text import utf16_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

OFFSET = 1024
MAGIC = 0xF2F52010
SUPERBLOCK = Record("F2FS superblock", 1148, """
    0x00  I      magic
    0x04  H      major_ver
    0x06  H      minor_ver
    0x10  I      log_blocksize
    0x24  Q      block_count
    0x6c  16s    uuid
    0x7c  1024s  volume_name          # UTF-16LE
""")
LOG_BLOCK_SIZE_MIN, LOG_BLOCK_SIZE_MAX = 12, 16


def probe(read: Read) -> Superblock | None:
    """Return the F2FS of a volume."""
    block = SUPERBLOCK.parse(read(OFFSET, SUPERBLOCK.size))
    if block["magic"] != MAGIC:
        return None
    if not LOG_BLOCK_SIZE_MIN <= block["log_blocksize"] <= LOG_BLOCK_SIZE_MAX:
        raise FormatError("F2FS block size is out of range", log_blocksize=block["log_blocksize"])
    return Superblock(
        fstype="f2fs",
        label=utf16_text(block["volume_name"]),
        uuid=uuid_text(block["uuid"]),
        version=f"{block['major_ver']}.{block['minor_ver']}",
        size=block["block_count"] << block["log_blocksize"],
    )
