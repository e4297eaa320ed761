"""Distinguished Encoding Rules, reading only. Spec: ITU-T X.690 (02/2021), 8 and 10.

What BER allows and DER does not (indefinite lengths, lengths with leading zeros, padded integers) is refused, so
that a value has one encoding. The order inside SET OF is not checked: signing tools do not keep it.
"""

from __future__ import annotations

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
SIZE_MAX = 1 << 20
DEPTH_MAX = 24
INTEGER_SIZE_MAX = 1024
OID_SIZE_MAX = 64
CHILDREN_MAX = 128


def context(number: int, *, constructed: bool = True) -> int:
    """Return the tag of the context-specific class with this number."""
    return 0x80 | (0x20 if constructed else 0) | number


class Der:
    """One element: `encoded` is all of it, `content` what is inside. `at` is its offset in the whole input."""

    __slots__ = ("at", "body", "data", "depth", "end", "tag")

    def __init__(self, data: bytes, at: int, limit: int, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise FormatError("DER is nested too deeply", at=at, expected=DEPTH_MAX)
        if limit - at < 2:
            raise FormatError("DER is cut short", at=at, expected=2, found=limit - at)
        self.data, self.at, self.depth, self.tag = data, at, depth, data[at]
        if self.tag & 0x1F == 0x1F:
            raise FormatError("DER tag numbers above 30 are not used here", at=at, found=self.tag)
        size, self.body = _parse_length(data, at + 1, limit)
        self.end = self.body + size
        if self.end > limit:
            left = limit - self.body
            raise FormatError("DER element is longer than what holds it", at=at, expected=left, found=size)

    @property
    def content(self) -> bytes:
        return self.data[self.body : self.end]

    @property
    def encoded(self) -> bytes:
        return self.data[self.at : self.end]

    def fields(self) -> Fields:
        """Return a reader of the elements inside."""
        if not self.tag & 0x20:
            raise FormatError("DER element holds no others", at=self.at, found=self.tag)
        return Fields(self.data, self.body, self.end, self.depth + 1)

    def children(self) -> tuple[Der, ...]:
        """Return all elements inside."""
        return tuple(self.fields().rest())


class Fields:
    """The elements of one SEQUENCE or SET, taken in order. Whoever reads them says so with `finish`."""

    __slots__ = ("at", "data", "depth", "end")

    def __init__(self, data: bytes, at: int, end: int, depth: int) -> None:
        self.data, self.at, self.end, self.depth = data, at, end, depth

    def any(self, what: str) -> Der:
        """Take the next element, whatever its tag."""
        if self.at >= self.end:
            raise FormatError(f"DER: {what} is missing", at=self.at)
        found = Der(self.data, self.at, self.end, self.depth)
        self.at = found.end
        return found

    def take(self, tag: int, what: str) -> Der:
        """Take the next element, which must have this tag."""
        found = self.any(what)
        if found.tag != tag:
            raise FormatError(f"DER: {what} has another tag", at=found.at, expected=hex(tag), found=hex(found.tag))
        return found

    def maybe(self, tag: int) -> Der | None:
        """Take the next element if it has this tag."""
        if self.at < self.end and self.data[self.at] == tag:
            return self.any("an optional field")
        return None

    def rest(self) -> Iterator[Der]:
        """Take all elements that are left."""
        for _ in range(CHILDREN_MAX):
            if self.at >= self.end:
                return
            yield self.any("an element")
        raise FormatError("DER element holds too many others", at=self.at, expected=CHILDREN_MAX)

    def finish(self, what: str) -> None:
        """Refuse what nobody asked for."""
        if self.at < self.end:
            raise FormatError(f"DER: {what} holds more than it may", at=self.at, found=self.end - self.at)


def parse_der(data: bytes, what: str, tag: int = SEQUENCE) -> Der:
    """Return the one element that the bytes are. Raises FormatError when anything follows it."""
    if len(data) > SIZE_MAX:
        raise FormatError(f"{what} is too long", expected=SIZE_MAX, found=len(data))
    outer = Fields(data, 0, len(data), 0)
    found = outer.take(tag, what)
    outer.finish(what)
    return found


def parse_integer(der: Der) -> int:
    """Return an INTEGER. Spec: X.690, 8.3."""
    raw = _expect(der, INTEGER, "INTEGER").content
    if not 1 <= len(raw) <= INTEGER_SIZE_MAX:
        raise FormatError("DER INTEGER has a wrong size", at=der.at, expected=INTEGER_SIZE_MAX, found=len(raw))
    if len(raw) > 1 and ((raw[0] == 0 and raw[1] < 0x80) or (raw[0] == 0xFF and raw[1] >= 0x80)):
        raise FormatError("DER INTEGER is padded", at=der.at)
    return int.from_bytes(raw, "big", signed=True)


def parse_boolean(der: Der) -> bool:
    """Return a BOOLEAN. Spec: X.690, 11.1."""
    raw = _expect(der, BOOLEAN, "BOOLEAN").content
    if raw not in (b"\x00", b"\xff"):
        raise FormatError("DER BOOLEAN is neither true nor false", at=der.at, found=raw)
    return raw == b"\xff"


def parse_bits(der: Der) -> tuple[bytes, int]:
    """Return the bytes of a BIT STRING and the count of unused bits in the last. Spec: X.690, 8.6 and 11.2."""
    raw = _expect(der, BIT_STRING, "BIT STRING").content
    unused = raw[0] if raw else 8
    if unused > 7 or (unused and (len(raw) == 1 or raw[-1] & ((1 << unused) - 1))):
        raise FormatError("DER BIT STRING has a wrong count of unused bits", at=der.at, found=unused)
    return raw[1:], unused


def parse_octets(der: Der) -> bytes:
    """Return an OCTET STRING."""
    return _expect(der, OCTET_STRING, "OCTET STRING").content


def parse_oid(der: Der) -> str:
    """Return an OBJECT IDENTIFIER in dotted form. Spec: X.690, 8.19."""
    raw = _expect(der, OID, "OBJECT IDENTIFIER").content
    if not 1 <= len(raw) <= OID_SIZE_MAX or raw[-1] & 0x80:
        raise FormatError("DER OBJECT IDENTIFIER is malformed", at=der.at, found=raw)
    arcs: list[int] = []
    value, fresh = 0, True
    for byte in raw:
        if fresh and byte == 0x80:
            raise FormatError("DER OBJECT IDENTIFIER is padded", at=der.at, found=raw)
        value, fresh = value << 7 | byte & 0x7F, byte < 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _expect(der: Der, tag: int, what: str) -> Der:
    if der.tag != tag:
        raise FormatError(f"DER: {what} expected", at=der.at, found=hex(der.tag))
    return der


def _parse_length(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Return the length that stands at `at` and where the content begins. Spec: X.690, 8.1.3 and 10.1."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= 4 or at + 1 + count > limit:
        raise FormatError("DER length is indefinite, too long or cut short", at=at, found=hex(first))
    raw = data[at + 1 : at + 1 + count]
    size = int.from_bytes(raw, "big")
    if raw[0] == 0 or size < 0x80:
        raise FormatError("DER length is longer than it must be", at=at, found=raw)
    return size, at + 1 + count
