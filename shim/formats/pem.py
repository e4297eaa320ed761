"""Textual encoding of certificates (PEM). Spec: RFC 7468, 2 and 3."""

from __future__ import annotations

from shim.errors import FormatError

PEM_BEGIN = b"-----BEGIN "
SIZE_MAX = 1 << 20


def parse_pem(data: bytes, label: str) -> tuple[bytes, ...]:
    """Return the contents of all blocks with this label; text around them and other blocks are passed over.

    Raises FormatError when there is none, or one is not base64 or lacks its end.
    """
    import binascii

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
            found.append(binascii.a2b_base64(b"".join(data[at + len(begin) : stop].split()), strict_mode=True))
        except binascii.Error as problem:
            raise FormatError(f"PEM block is not base64: {problem}", at=at, label=label) from problem
        at = data.find(begin, stop)
    if not found:
        raise FormatError("PEM has no such block", label=label)
    return tuple(found)
