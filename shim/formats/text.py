"""Fixed-size text fields of binary formats: labels and names, padded with NULs or blanks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer


def label_text(field: Buffer) -> str | None:
    """Return a UTF-8 label up to its first NUL, without blanks around it; None when nothing is left.

    Bytes that are no UTF-8 become U+FFFD: such a label is shown, and cannot be asked for.
    """
    text = bytes(field).split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return text or None


def utf16_text(field: Buffer) -> str | None:
    """Return a UTF-16LE name as `label_text` does. Lone surrogates become U+FFFD."""
    raw = bytes(field)[: len(field) & ~1]
    # The byte order mark lets CPython's built-in decoder take it: no codec module to import.
    text = (b"\xff\xfe" + raw).decode("utf-16", "replace").split("\0", 1)[0].strip()
    return text or None


def ascii_lower(text: str) -> str:
    """Return text with A to Z in lower case and nothing else changed."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
