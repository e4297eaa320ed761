"""Files of coreboot's CBFS. Spec: coreboot 4.15, Documentation/lib/cbfs, and commonlib/bsd/cbfs_serialized.h."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record

MAGIC = b"LARCHIVE"
HEADER = Record("CBFS file header", 24, """
    0x00  8s  magic
    0x08  I   len                    # bytes of the content
    0x0c  I   type
    0x10  I   attributes_offset
    0x14  I   offset                 # from the header to the content
""", order=">")
ALIGNMENT = 64
NAME_MAX = 256


def find_file(data: bytes, name: str) -> bytes:
    """Return the content of a file, as it lies there. Raises FormatError when it is not there, or cut short."""
    at = data.find(MAGIC)
    while at >= 0:
        if at % ALIGNMENT == 0:
            row = HEADER.parse(data, at)
            start = at + row["offset"]
            told = data[at + HEADER.size : at + HEADER.size + NAME_MAX].split(b"\0", 1)[0]
            if told == name.encode() and row["offset"] >= HEADER.size + len(told):
                end = start + row["len"]
                if end > len(data):
                    raise FormatError("a CBFS file is cut short", file=name, expected=end, found=len(data))
                return data[start:end]
        at = data.find(MAGIC, at + len(MAGIC))
    raise FormatError("no such file in the CBFS", file=name)
