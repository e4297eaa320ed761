"""UUIDs as bytes and as text. Spec: RFC 9562, 4 (text form); UEFI 2.10, appendix A (EFI_GUID byte order)."""

from __future__ import annotations

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

SIZE = 16


def uuid_text(data: Buffer) -> str | None:
    """Return 16 bytes in the order of the RFC as lower-case text; None when they are all zero (no UUID)."""
    raw = bytes(data)
    if len(raw) != SIZE:
        raise FormatError("UUID has the wrong size", expected=SIZE, found=len(raw))
    if not any(raw):
        return None
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def guid_text(data: Buffer) -> str | None:
    """Return an EFI_GUID, whose first three fields are little-endian, as `uuid_text` does."""
    raw = bytes(data)
    return uuid_text(raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:])


def guid_bytes(text: str) -> bytes:
    """Return the EFI_GUID bytes of a textual UUID. Raises FormatError when it is none."""
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError as problem:
        raise FormatError("not a UUID", found=text) from problem
    if len(raw) != SIZE or [len(part) for part in text.split("-")] != [8, 4, 4, 4, 12]:
        raise FormatError("not a UUID", found=text)
    return raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
