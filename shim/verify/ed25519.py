"""Ed25519 signatures, checking only. Spec: RFC 8032, 5.1.

Nothing here is secret, so nothing has to take the same time. The equation without the cofactor is checked, by encoding
the point and comparing the bytes, and keys of small order are refused: a signature that fits only with the cofactor is
none here. A key of mixed order is taken: only its holder can make signatures that fit it, and a policy names it.
"""

from __future__ import annotations

from shim.errors import VerifyError
from shim.formats.digests import SHA512, new_large_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.formats.record import Buffer

    Point = tuple[int, int, int, int]

KEY_SIZE, SIGNATURE_SIZE = 32, 64
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
BASE_Y = 4 * pow(5, -1, P) % P
NEUTRAL = (0, 1, 1, 0)


def check_ed25519(public_key: Buffer, message_pieces: Sequence[Buffer], signature: Buffer) -> None:
    """Raise VerifyError unless the key signed the pieces, one behind the other. Spec: RFC 8032, 5.1.7."""
    key, told = bytes(public_key), bytes(signature)
    if len(key) != KEY_SIZE or len(told) != SIGNATURE_SIZE:
        raise VerifyError("an Ed25519 key or signature has a wrong size", key=len(key), signature=len(told))
    point = decode_point(key)
    number = int.from_bytes(told[32:], "little")
    if point is None or decode_point(told[:32]) is None or number >= L:
        raise VerifyError("an Ed25519 key or signature is no valid encoding")
    if _is_small(point):
        raise VerifyError("the Ed25519 key is of small order: anything would fit it")
    hashed = new_large_digest(SHA512)
    for piece in (told[:32], key, *message_pieces):
        hashed.update(memoryview(piece))
    challenge = int.from_bytes(hashed.digest(), "little") % L
    x, y, z, t = point
    found = _add(_multiply(number, _base()), _multiply(challenge, (P - x, y, z, P - t)))
    if encode_point(found) != told[:32]:
        raise VerifyError("the Ed25519 signature does not fit")


def decode_point(encoded: bytes) -> Point | None:
    """Return the point, None for bytes that encode none, or not in the one right way. Spec: RFC 8032, 5.1.3."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def encode_point(point: Point) -> bytes:
    """Return the 32 bytes of a point. Spec: RFC 8032, 5.1.2."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _recover_x(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_MINUS_1 % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _add(one: Point, other: Point) -> Point:
    """Add two points in extended coordinates. Spec: RFC 8032, 5.1.4."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(factor: int, point: Point) -> Point:
    found: Point = NEUTRAL
    while factor:
        if factor & 1:
            found = _add(found, point)
        point = _add(point, point)
        factor >>= 1
    return found


def _is_small(point: Point) -> bool:
    """Say whether eight times the point is the neutral one."""
    x, y, z, _ = _multiply(8, point)
    return x % P == 0 and (y - z) % P == 0


def _base() -> Point:
    x = _recover_x(BASE_Y, 0) or 0
    return x, BASE_Y, 1, x * BASE_Y % P
