"""OpenPGP's ASCII armor and its cleartext signatures. Spec: RFC 9580, 6 (armor), 6.1 (CRC24), 7 (cleartext)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.pem import parse_base64
from shim.values import Value

SIZE_MAX = 1 << 20
BLOCKS_MAX = 64
DASHES = b"-----"
BEGIN, END = b"-----BEGIN PGP ", b"-----END PGP "
SIGNED_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"
SIGNATURE_LINE = b"-----BEGIN PGP SIGNATURE-----"
BLANKS = b" \t\r\n"
CRC_INIT, CRC_POLYNOMIAL, CRC_SIZE = 0xB704CE, 0x1864CFB, 5


class Cleartext(Value):
    """A text and the armored signatures behind it; its lines are as signed: no blanks at their ends."""

    lines: tuple[bytes, ...]
    signatures: bytes

    @property
    def signed(self) -> bytes:
        """What the signatures cover. Spec: RFC 9580, 7.2."""
        return b"\r\n".join(self.lines)

    @property
    def text(self) -> bytes:
        return b"".join(line + b"\n" for line in self.lines)


def unarmored(data: bytes, label: str) -> bytes:
    """Return what all the armored blocks of this label hold, or the data itself where it is not armored.

    Text around the blocks is passed over. Raises FormatError for other blocks, and for none.
    """
    if len(data) > SIZE_MAX:
        raise FormatError("OpenPGP data is too long", expected=SIZE_MAX, found=len(data))
    if not data or data[0] & 0x80:
        return data
    lines, found, at = data.split(b"\n"), list[bytes](), 0
    begin = b"%b%b%b" % (BEGIN, label.encode("ascii"), DASHES)
    while at < len(lines):
        if lines[at].startswith(BEGIN):
            if lines[at].rstrip(BLANKS) != begin or len(found) == BLOCKS_MAX:
                raise FormatError("armor is of another kind, or there is too much", line=at + 1, expected=label)
            end = _find_end(lines, at, label)
            found.append(_parse_block([line.strip(BLANKS) for line in lines[at + 1 : end]], at))
            at = end
        at += 1
    if not found:
        raise FormatError("armor has no such block", label=label)
    return b"".join(found)


def parse_cleartext(data: bytes) -> Cleartext:
    """Part a cleartext signed message; nothing may stand before it. Spec: RFC 9580, 7.1 and 7.2."""
    if len(data) > SIZE_MAX:
        raise FormatError("cleartext is too long", expected=SIZE_MAX, found=len(data))
    lines = data.split(b"\n")
    if lines[0].rstrip(BLANKS) != SIGNED_MESSAGE:
        raise FormatError("cleartext does not begin with its header", expected=SIGNED_MESSAGE.decode("ascii"))
    at = 1
    while at < len(lines) and lines[at].rstrip(BLANKS):
        if not lines[at].startswith(b"Hash: "):
            raise FormatError("cleartext has a header that is not Hash", line=at + 1)
        at += 1
    text, at = list[bytes](), at + 1
    while at < len(lines) and lines[at].rstrip(BLANKS) != SIGNATURE_LINE:
        text.append(_unescaped(lines[at], at))
        at += 1
    behind = [line.rstrip(BLANKS) for line in lines[at:]]
    end = END + b"SIGNATURE" + DASHES
    if not behind or end not in behind or any(behind[behind.index(end) + 1 :]):
        raise FormatError("cleartext has no signature, or something behind it", line=at + 1)
    return Cleartext(lines=tuple(text), signatures=b"\n".join(lines[at:]))


def _unescaped(line: bytes, at: int) -> bytes:
    if line.startswith(b"- "):
        line = line[2:]
    elif line.startswith(b"-"):
        raise FormatError("cleartext has a dash that is not escaped", line=at + 1)
    return line.rstrip(BLANKS)


def _find_end(lines: list[bytes], at: int, label: str) -> int:
    end = END + label.encode("ascii") + DASHES
    for number in range(at + 1, len(lines)):
        if lines[number].rstrip(BLANKS) == end:
            return number
        if lines[number].startswith(DASHES):
            break
    raise FormatError("armor has no end", line=at + 1, label=label)


def _parse_block(lines: list[bytes], at: int) -> bytes:
    """Decode the lines between two armor lines: headers, an empty line, base64, perhaps a checksum."""
    if b"" not in lines or not all(b": " in line or line.endswith(b":") for line in lines[: lines.index(b"")]):
        raise FormatError("armor has no empty line behind its headers", line=at + 1)
    body = [line for line in lines[lines.index(b"") + 1 :] if line]
    checksum = b""
    if body and len(body[-1]) == CRC_SIZE and body[-1].startswith(b"="):
        checksum = parse_base64(body.pop()[1:])
    found = parse_base64(b"".join(body))
    if checksum and crc24(found) != int.from_bytes(checksum, "big"):
        raise FormatError("armor does not fit its checksum", line=at + 1, expected=checksum)
    return found


def crc24(data: bytes) -> int:
    """Return the checksum of armored bytes. Spec: RFC 9580, 6.1.1."""
    table, crc = [_shifted(byte << 16) for byte in range(256)], CRC_INIT
    for byte in data:
        crc = (crc << 8 & 0xFFFFFF) ^ table[crc >> 16 ^ byte]
    return crc


def _shifted(value: int) -> int:
    for _ in range(8):
        value <<= 1
        if value & 0x1000000:
            value ^= CRC_POLYNOMIAL
    return value
