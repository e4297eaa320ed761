"""Flattened device trees, as far as a loader looks into one. Spec: Devicetree Specification 0.4, 5.2 to 5.4.

Big-endian. Only the root's own properties are read: they stand before its children.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

HEADER = Record("device tree", 40, """
    0x00  I   magic
    0x04  I   totalsize                 # bytes, of everything
    0x08  I   off_dt_struct
    0x0c  I   off_dt_strings
    0x14  I   version
    0x18  I   last_comp_version
    0x20  I   size_dt_strings
    0x24  I   size_dt_struct
""", order=">")
TOKEN = Record("device tree token", 4, "0x00  I  token", order=">")
PROPERTY = Record("device tree property", 12, """
    0x00  I   token
    0x04  I   length                    # bytes of the value behind it
    0x08  I   name_offset               # into the strings
""", order=">")

MAGIC = 0xD00DFEED
VERSION = 17
BEGIN_NODE, PROP, NOP = 0x1, 0x3, 0x4
TOKENS_MAX = 4096
TEXT_SIZE_MAX = 1024


def root_compatible(data: Buffer) -> str | None:
    """Return the first text of the root's `compatible`, None where it has no such property."""
    head = HEADER.parse(data)
    if head["magic"] != MAGIC:
        raise FormatError("no device tree: wrong magic", expected=f"{MAGIC:#x}", found=f"{head['magic']:#x}")
    if head["last_comp_version"] > VERSION:
        raise FormatError("device tree of a version that is not known", expected=VERSION,
                          found=head["last_comp_version"])
    whole = memoryview(data)[: head["totalsize"]]
    if len(whole) < head["totalsize"]:
        raise FormatError("device tree is cut short", expected=head["totalsize"], found=len(data))
    tree = _block(whole, head["off_dt_struct"], head["size_dt_struct"], "structure")
    strings = _block(whole, head["off_dt_strings"], head["size_dt_strings"], "strings")
    at, is_inside = 0, False
    for _ in range(TOKENS_MAX):
        token = TOKEN.parse(tree, at)["token"]
        if token == NOP:
            at += TOKEN.size
        elif token == BEGIN_NODE and not is_inside:
            is_inside = True
            at = _aligned(at + TOKEN.size + len(_text(tree, at + TOKEN.size)) + 1)
        elif token == PROP and is_inside:
            head = PROPERTY.parse(tree, at)
            start, at = at + PROPERTY.size, _aligned(at + PROPERTY.size + head["length"])
            if _text(strings, head["name_offset"]) == b"compatible":
                return _text(_block(tree, start, head["length"], "property"), 0).decode("ascii", "replace")
        else:
            return None
    raise FormatError("device tree has too many properties at its root", limit=TOKENS_MAX)


def _block(data: memoryview, start: int, size: int, what: str) -> memoryview:
    if start + size > len(data):
        raise FormatError(f"device tree's {what} lie outside of it", at=start, expected=start + size, found=len(data))
    return data[start : start + size]


def _text(data: memoryview, at: int) -> bytes:
    raw = bytes(data[at : at + TEXT_SIZE_MAX])
    text, nul, _ = raw.partition(b"\0")
    if not nul:
        raise FormatError("text in a device tree has no end", at=at, limit=TEXT_SIZE_MAX)
    return text


def _aligned(at: int) -> int:
    return (at + 3) & ~3
