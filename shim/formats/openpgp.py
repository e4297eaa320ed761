"""OpenPGP packets: public keys and signatures, versions 4 and 6. Spec: RFC 9580, 4.2, 5.2, 5.5 and 9.

Only framing: nothing is judged here. What is older, partial or of unknown importance is refused.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.digests import SHA256, SHA384, SHA512
from shim.formats.openpgp_armor import SIZE_MAX, unarmored
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY, MARKER, TRUST, USER_ID = 2, 5, 6, 7, 10, 12, 13
PUBLIC_SUBKEY, USER_ATTRIBUTE, PADDING = 14, 17, 21
PASSED_OVER = (MARKER, TRUST, PADDING)
NOT_CRITICAL = 40  # packet types from here on may be passed over: RFC 9580, 4.3
PACKETS_MAX, SUBPACKETS_MAX = 4096, 64
DETACHED_SIZE_MAX = 1 << 16  # bytes of a file of signatures, far more than sixteen need
HASHES = {8: SHA256, 9: SHA384, 10: SHA512}
REFUSED_HASHES = {1: "MD5", 2: "SHA-1", 3: "RIPEMD-160", 11: "SHA-224", 12: "SHA3-256", 14: "SHA3-512"}
SALT_SIZES = {SHA256: 16, SHA384: 24, SHA512: 32}
# Subpackets, RFC 9580, 5.2.3.7.
CREATED, EXPIRES, KEY_EXPIRES, ISSUER, NOTATION, FLAGS, EMBEDDED, ISSUER_PRINT = 2, 3, 9, 16, 20, 27, 32, 33
KNOWN = frozenset((
    CREATED, EXPIRES, 4, 5, 7, KEY_EXPIRES, 11, 12, ISSUER, 21, 22, 23, 24, 25, 26, FLAGS, 28, 29, 30, 31, EMBEDDED,
    ISSUER_PRINT, 34, 35, 39,
))  # fmt: skip
SUBPACKET_SIZES = {CREATED: 4, EXPIRES: 4, KEY_EXPIRES: 4, ISSUER: 8}


class Key(Value):
    """A public key or subkey. `body` is what fingerprints and signatures cover; `material` are its numbers."""

    version: int
    created: int
    algorithm: int
    material: bytes
    body: bytes

    @property
    def hashed(self) -> bytes:
        """How signatures cover the key. Spec: RFC 9580, 5.2.4."""
        if self.version == 4:
            return b"\x99" + len(self.body).to_bytes(2, "big") + self.body
        return b"\x9b" + len(self.body).to_bytes(4, "big") + self.body


class Signature(Value):
    """A signature. `head` is what it covers of itself; `beginning` are the first two bytes of the digest."""

    version: int
    kind: int
    algorithm: int
    hash_number: int
    head: bytes
    hashed: tuple[tuple[int, bytes], ...]
    unhashed: tuple[tuple[int, bytes], ...]
    beginning: bytes
    salt: bytes
    material: bytes

    @property
    def hash_name(self) -> str:
        """The hash function. Raises FormatError for one that is too weak or unknown."""
        if self.hash_number not in HASHES:
            found = REFUSED_HASHES.get(self.hash_number, self.hash_number)
            raise FormatError("hash function is too weak or unknown", found=found)
        return HASHES[self.hash_number]

    @property
    def trailer(self) -> bytes:
        """What is hashed behind everything else. Spec: RFC 9580, 5.2.4."""
        return self.head + bytes((self.version, 0xFF)) + (len(self.head) & 0xFFFFFFFF).to_bytes(4, "big")

    @property
    def created(self) -> int:
        """When it was made, by its own word, in seconds of the UNIX era."""
        return self.number(CREATED) or 0

    def number(self, kind: int) -> int | None:
        """Return a number that the signature covers, None when it is not there."""
        value = self.value(kind)
        return None if value is None else int.from_bytes(value, "big")

    def value(self, kind: int) -> bytes | None:
        """Return the value of a subpacket that the signature covers."""
        return next((value for found, value in self.hashed if found == kind), None)

    def values(self, kind: int) -> list[bytes]:
        """Return the values of a kind of subpackets, covered or not: hints, and what is signed by itself."""
        return [value for found, value in (*self.hashed, *self.unhashed) if found == kind]


class Reader:
    """Bytes taken in order; every taking is bounded by what is there."""

    __slots__ = ("at", "data", "what")

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what, self.at = data, what, 0

    def take(self, size: int) -> bytes:
        left = len(self.data) - self.at
        if size > left:
            raise FormatError(f"{self.what} is cut short", at=self.at, expected=size, found=left)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def mpi(self) -> int:
        """Take a multiprecision integer. Spec: RFC 9580, 3.2."""
        bits = self.number(2)
        found = self.number((bits + 7) // 8)
        if found.bit_length() != bits:
            raise FormatError(f"{self.what} has an integer of another length than it says", at=self.at, expected=bits,
                              found=found.bit_length())
        return found

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def finish(self) -> None:
        if self.more:
            raise FormatError(f"{self.what} holds more than it may", at=self.at, found=len(self.data) - self.at)


def parse_packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the body of each packet, without those that mean nothing. Spec: RFC 9580, 4.2 and 4.3."""
    if len(data) > SIZE_MAX:
        raise FormatError("OpenPGP data is too long", expected=SIZE_MAX, found=len(data))
    reader = Reader(data, "OpenPGP packet")
    for _ in range(PACKETS_MAX):
        if not reader.more:
            return
        kind, size = _parse_header(reader)
        body = reader.take(size)
        if kind not in PASSED_OVER and kind < NOT_CRITICAL:
            yield kind, body
    if reader.more:
        raise FormatError("OpenPGP data has too many packets", expected=PACKETS_MAX)


def _parse_header(reader: Reader) -> tuple[int, int]:
    at, first = reader.at, reader.number(1)
    if not first & 0x80:
        raise FormatError("not an OpenPGP packet", at=at, found=first)
    if first & 0x40:
        return first & 0x3F, _parse_length(reader, 224)
    if first & 3 == 3:
        raise FormatError("OpenPGP packet has no stated length", at=at)
    return first >> 2 & 0xF, reader.number(1 << (first & 3))


def _parse_length(reader: Reader, partial: int) -> int:
    """Take a length of the new format; from `partial` on the first octet means a part of a packet."""
    first = reader.number(1)
    if first < 192:
        return first
    if first < partial:
        return (first - 192 << 8) + reader.number(1) + 192
    if first == 255:
        return reader.number(4)
    raise FormatError("OpenPGP packet comes in parts: not in keys and signatures", at=reader.at)


def parse_key(body: bytes) -> Key:
    """Parse the body of a public key or subkey. Spec: RFC 9580, 5.5.2."""
    reader = Reader(body, "public key")
    version = reader.number(1)
    if version not in (4, 6):
        raise FormatError("public key is of an unknown version", expected="4 or 6", found=version)
    created, algorithm = reader.number(4), reader.number(1)
    if version == 4 and len(body) > 0xFFFF:
        raise FormatError("public key is too long", expected=0xFFFF, found=len(body))
    if version == 6 and reader.number(4) != len(body) - reader.at:
        raise FormatError("public key has a wrong size", at=6)
    return Key(version=version, created=created, algorithm=algorithm, material=reader.rest(), body=body)


def parse_signature(body: bytes) -> Signature:
    """Parse the body of a signature. Spec: RFC 9580, 5.2.3."""
    reader = Reader(body, "signature")
    version = reader.number(1)
    if version not in (4, 6):
        raise FormatError("signature is of an unknown version", expected="4 or 6", found=version)
    kind, algorithm, hash_number = reader.take(3)
    width = 2 if version == 4 else 4
    hashed = parse_subpackets(reader.take(reader.number(width)))
    head = body[: reader.at]
    unhashed = parse_subpackets(reader.take(reader.number(width)))
    if [found for found, _ in hashed].count(CREATED) != 1:
        raise FormatError("signature does not say once when it was made")
    beginning = reader.take(2)
    salt = reader.take(reader.number(1)) if version == 6 else b""
    found = Signature(
        version=version, kind=kind, algorithm=algorithm, hash_number=hash_number, head=head, hashed=hashed,
        unhashed=unhashed, beginning=beginning, salt=salt, material=reader.rest(),
    )  # fmt: skip
    if version == 6 and hash_number in HASHES and len(salt) != SALT_SIZES[found.hash_name]:
        raise FormatError("signature has a salt of a wrong size", expected=SALT_SIZES[found.hash_name], found=len(salt))
    return found


def parse_subpackets(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return types and values of subpackets; refuse one that is critical and not known. Spec: RFC 9580, 5.2.3.7."""
    reader, found = Reader(data, "subpacket"), list[tuple[int, bytes]]()
    while reader.more:
        if len(found) == SUBPACKETS_MAX:
            raise FormatError("signature has too many subpackets", expected=SUBPACKETS_MAX)
        size = _parse_length(reader, 255)
        if not size:
            raise FormatError("subpacket has no type", at=reader.at)
        kind, value = reader.number(1), reader.take(size - 1)
        critical, kind = bool(kind & 0x80), kind & 0x7F
        if critical and kind not in KNOWN:
            raise FormatError("signature demands what is not understood here", subpacket=kind)
        if len(value) != SUBPACKET_SIZES.get(kind, len(value)):
            raise FormatError("subpacket has a wrong size", subpacket=kind, expected=SUBPACKET_SIZES[kind])
        found.append((kind, value))
    return tuple(found)


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Return the signatures of a detached signature, armored or not. Raises FormatError for anything else in it."""
    if len(data) > DETACHED_SIZE_MAX:
        raise FormatError("file of signatures is too long", expected=DETACHED_SIZE_MAX, found=len(data))
    found = list[Signature]()
    for kind, body in parse_packets(unarmored(data, "SIGNATURE")):
        if kind != SIGNATURE:
            raise FormatError("not a detached signature: it holds another packet", found=kind)
        found.append(parse_signature(body))
    if not found:
        raise FormatError("there is no signature in it")
    return tuple(found)
