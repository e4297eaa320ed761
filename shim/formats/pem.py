"""Textual encoding of certificates (PEM). Spec: RFC 7468, 2 and 3; RFC 4648, 4 (base64)."""

from __future__ import annotations

from shim.errors import FormatError

PEM_BEGIN = b"-----BEGIN "
SIZE_MAX = 1 << 18
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
VALUES = bytes.maketrans(ALPHABET, bytes(range(64)))


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
    """Return what base64 without blanks stands for. (binascii is not in the frozen runtime.)"""
    digits = text[:-2] + text[-2:].rstrip(b"=")
    if len(text) % 4 or digits.translate(None, ALPHABET):
        raise FormatError("not base64")
    values = digits.translate(VALUES) + bytes(len(text) - len(digits))
    decoded = b"".join(
        (values[at] << 18 | values[at + 1] << 12 | values[at + 2] << 6 | values[at + 3]).to_bytes(3, "big")
        for at in range(0, len(values), 4)
    )
    kept = len(decoded) - (len(text) - len(digits))
    if any(decoded[kept:]):
        raise FormatError("base64 has bits left over")
    return decoded[:kept]
