"""ISO 9660 volume descriptors. Spec: ECMA-119, 4th edition, 8.1 (descriptor), 8.4 (primary), 8.4.26.1 (dates)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.formats.superblock import Superblock, power_of_two
from shim.formats.text import label_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.superblock import Read

OFFSET = 16 * 2048
SECTOR_SIZE = 2048
IDENTIFIER = b"CD001"
DESCRIPTOR = Record("ISO 9660 primary volume descriptor", 2048, """
    0x000  B    type
    0x001  5s   standard_identifier
    0x006  B    version
    0x028  32s  volume_identifier
    0x050  I    volume_space_size        # logical blocks; the little-endian half of a both-endian number
    0x058  32s  escape_sequences         # of a supplementary descriptor: which characters its names have
    0x080  H    logical_block_size
    0x09c  34s  root_directory_record
    0x32d  16s  creation_date            # YYYYMMDDhhmmsscc in digits, without its zone byte
    0x33e  16s  modification_date
""")
PRIMARY, SUPPLEMENTARY, TERMINATOR = 1, 2, 255
DESCRIPTORS_MAX = 16


def probe(read: Read) -> Superblock | None:
    """Return the ISO 9660 of a volume. Its UUID is the date of its last change, else of its creation, as blkid's."""
    for index in range(DESCRIPTORS_MAX):
        block = DESCRIPTOR.parse(read(OFFSET + index * SECTOR_SIZE, SECTOR_SIZE))
        if block["standard_identifier"] != IDENTIFIER:
            break
        if block["type"] == PRIMARY:
            block_size = power_of_two("ISO 9660 block size", block["logical_block_size"], 512, 2048)
            return Superblock(
                fstype="iso9660",
                label=label_text(block["volume_identifier"]),
                uuid=_date_text(block["modification_date"]) or _date_text(block["creation_date"]),
                size=block["volume_space_size"] * block_size,
            )
        if block["type"] == TERMINATOR:
            break
    else:
        raise FormatError("ISO 9660 has too many volume descriptors", limit=DESCRIPTORS_MAX)
    if index:
        raise FormatError("ISO 9660 has no primary volume descriptor")
    return None


def _date_text(digits: bytes) -> str | None:
    text = digits.decode("ascii", "replace")
    if not (text.isascii() and text.isdigit()) or text == "0" * 16:
        return None
    return "-".join((text[:4], *(text[at : at + 2] for at in range(4, 16, 2))))
