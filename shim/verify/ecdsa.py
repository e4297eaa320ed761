"""ECDSA over P-256 and P-384, checking only. Spec: FIPS 186-5, 6.4.2; SP 800-186, 3.2.1; SEC 1 v2.0, 4.1.4.

Only public numbers are handled, so nothing here needs to take constant time.
"""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.formats.der import INTEGER, parse_der, parse_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.spki import EcKey

    Point = tuple[int, int, int]
    """Jacobian coordinates (X, Y, Z) of the point (X / Z**2, Y / Z**3); Z = 0 is the point at infinity."""

INFINITY = (1, 1, 0)


class Curve:
    """y**2 = x**3 - 3x + b over the prime field p, with a base point of prime order n."""

    __slots__ = ("b", "base", "n", "p")

    def __init__(self, p: int, b: int, n: int, base: tuple[int, int]) -> None:
        self.p, self.b, self.n, self.base = p, b, n, base

    def holds(self, x: int, y: int) -> bool:
        """Say whether a pair of coordinates is a point of the curve."""
        return 0 <= x < self.p and 0 <= y < self.p and (y * y - (x * x * x - 3 * x + self.b)) % self.p == 0

    def double(self, point: Point) -> Point:
        """Return twice a point (dbl-2001-b of the Explicit-Formulas Database, for a = -3)."""
        x, y, z = point
        p = self.p
        delta, gamma = z * z % p, y * y % p
        beta = x * gamma % p
        alpha = 3 * (x - delta) * (x + delta) % p
        x3 = (alpha * alpha - 8 * beta) % p
        z3 = ((y + z) ** 2 - gamma - delta) % p
        return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % p, z3

    def add(self, one: Point, other: Point) -> Point:
        """Return the sum of two points, equal and opposite ones included (add-2007-bl)."""
        if not one[2] or not other[2]:
            return other if not one[2] else one
        p = self.p
        x1, y1, z1 = one
        x2, y2, z2 = other
        z1z1, z2z2 = z1 * z1 % p, z2 * z2 % p
        u1, u2 = x1 * z2z2 % p, x2 * z1z1 % p
        s1, s2 = y1 * z2 * z2z2 % p, y2 * z1 * z1z1 % p
        if u1 == u2:
            return self.double(one) if s1 == s2 else INFINITY
        h = u2 - u1
        i = 4 * h * h % p
        j, r, v = h * i % p, 2 * (s2 - s1) % p, u1 * i % p
        x3 = (r * r - j - 2 * v) % p
        return x3, (r * (v - x3) - 2 * s1 * j) % p, ((z1 + z2) ** 2 - z1z1 - z2z2) * h % p

    def combine(self, u1: int, u2: int, point: Point) -> Point:
        """Return u1 times the base point plus u2 times `point`, both walked at once."""
        base = (*self.base, 1)
        table = (INFINITY, base, point, self.add(base, point))
        total: Point = INFINITY
        for bit in range(max(u1.bit_length(), u2.bit_length()) - 1, -1, -1):
            total = self.double(total)
            which = (u1 >> bit & 1) | (u2 >> bit & 1) << 1
            if which:
                total = self.add(total, table[which])
        return total


P256 = Curve(
    p=0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    n=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    base=(
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
)
P384 = Curve(
    p=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF,
    b=0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    n=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    base=(
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
    ),
)
CURVES = {"P-256": P256, "P-384": P384}


def check_ecdsa(key: EcKey, algorithm: str, digest: bytes, signature: bytes) -> None:
    """Raise VerifyError unless the key signed this digest. `signature` is a DER SEQUENCE of r and s."""
    try:
        r, s = _parse_pair(signature)
    except FormatError as problem:
        raise VerifyError(f"ECDSA signature is malformed: {problem}") from problem
    check_ecdsa_pair(key, algorithm, digest, r, s)


def check_ecdsa_pair(key: EcKey, algorithm: str, digest: bytes, r: int, s: int) -> None:
    """Raise VerifyError unless the key signed this digest with the numbers r and s."""
    curve = CURVES[key.curve]
    if not curve.holds(key.x, key.y):
        raise VerifyError("ECDSA key is not on its curve", key=key.text)
    if not (0 < r < curve.n and 0 < s < curve.n):
        raise VerifyError("ECDSA signature has a number out of range", key=key.text)
    bits = curve.n.bit_length()
    number = int.from_bytes(digest, "big") >> max(8 * len(digest) - bits, 0)
    inverse = pow(s, -1, curve.n)
    x, _, z = curve.combine(number * inverse % curve.n, r * inverse % curve.n, (key.x, key.y, 1))
    if not z or x * pow(z, -2, curve.p) % curve.p % curve.n != r:
        raise VerifyError("ECDSA signature does not fit", key=key.text, digest=algorithm)


def _parse_pair(signature: bytes) -> tuple[int, int]:
    fields = parse_der(signature, "ECDSA signature").fields()
    r, s = (parse_integer(fields.take(INTEGER, name)) for name in ("r", "s"))
    fields.finish("ECDSA signature")
    return r, s
