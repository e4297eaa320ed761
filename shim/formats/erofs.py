"""EROFS superblock. Spec: Linux fs/erofs/erofs_fs.h (struct erofs_super_block)."""

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
MAGIC = 0xE0F5E1E2
SUPERBLOCK = Record("EROFS superblock", 128, """
    0x00  I    magic
    0x0c  B    blkszbits
    0x24  I    blocks
    0x30  16s  uuid
    0x40  16s  volume_name
""")
BLKSZBITS_MIN, BLKSZBITS_MAX = 9, 16


def probe(read: Read) -> Superblock | None:
    """Return the EROFS of a volume."""
    block = SUPERBLOCK.parse(read(OFFSET, SUPERBLOCK.size))
    if block["magic"] != MAGIC:
        return None
    if not BLKSZBITS_MIN <= block["blkszbits"] <= BLKSZBITS_MAX:
        raise FormatError("EROFS block size is out of range", blkszbits=block["blkszbits"])
    return Superblock(
        fstype="erofs",
        label=label_text(block["volume_name"]),
        uuid=uuid_text(block["uuid"]),
        size=block["blocks"] << block["blkszbits"],
    )
