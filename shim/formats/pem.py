"""Textual encoding of certificates (PEM). Spec: RFC 7468, 2 and 3; RFC 4648, 4 (base64)."""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

from shim.errors import FormatError

PEM_BEGIN = b"-----BEGIN "
SIZE_MAX = 1 << 18


def parse_pem(data: bytes, label: str) -> tuple[bytes, ...]:
    """Return the contents of all blocks with this label; text around them and other blocks are passed over.

    Raises FormatError when there is none, or one is not base64 or lacks its end.
    """
    if len(data) > SIZE_MAX:
        raise FormatError("PEM is too long", expected=SIZE_MAX, found=len(data))
    begin, end = (f"-----{word} {label}-----".encode("ascii") for word in ("BEGIN", "END"))
    found: list[bytes] = []
    at = data.find(begin)
    while at >= 0:
        stop = data.find(end, at)
        if stop < 0:
            raise FormatError("PEM block has no end", at=at, label=label)
        try:
            found.append(parse_base64(b"".join(data[at + len(begin) : stop].split())))
        except FormatError as problem:
            raise problem.about(at=at, label=label) from None
        at = data.find(begin, stop)
    if not found:
        raise FormatError("PEM has no such block", label=label)
    return tuple(found)


def parse_base64(text: bytes) -> bytes:
    """Return what base64 without blanks stands for. Raises FormatError, also where it could be written otherwise."""
    try:
        decoded = a2b_base64(text, strict_mode=True)
    except Error as problem:
        raise FormatError("not base64") from problem
    if b2a_base64(decoded, newline=False) != text:
        raise FormatError("base64 has bits left over" if len(text) % 4 == 0 else "not base64")
    return decoded
