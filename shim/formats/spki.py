"""Public keys: SubjectPublicKeyInfo.

Spec: RFC 5280, 4.1.2.7; RFC 8017, A.1.1 (RSA); RFC 5480, 2 (curves); RFC 8410, 4 (Ed25519).
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.der import INTEGER, NULL, OID, SEQUENCE, parse_bits, parse_der, parse_integer, parse_oid
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.der import Der

RSA_OID = "1.2.840.113549.1.1.1"
EC_OID = "1.2.840.10045.2.1"
ED25519_OID = "1.3.101.112"
ED25519_SIZE = 32
CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384"}
COORDINATE_SIZES = {"P-256": 32, "P-384": 48}
POINT_UNCOMPRESSED = 0x04


class RsaKey(Value):
    """An RSA public key as it was written; whether it is strong enough is judged where it is used."""

    modulus: int
    exponent: int

    @property
    def text(self) -> str:
        return f"RSA-{self.modulus.bit_length()}"


class EcKey(Value):
    """A point that claims to be on a named curve."""

    curve: str
    x: int
    y: int

    @property
    def text(self) -> str:
        return f"ECDSA {self.curve}"


class Ed25519Key(Value):
    """The encoding of a point, which is decoded where it is used."""

    key: bytes

    @property
    def text(self) -> str:
        return "Ed25519"


def parse_public_key(data: bytes) -> RsaKey | EcKey | Ed25519Key:
    """Return the key of a SubjectPublicKeyInfo. Raises FormatError for kinds of keys that are not known here."""
    fields = parse_der(data, "public key").fields()
    algorithm = fields.take(SEQUENCE, "key algorithm").fields()
    kind = parse_oid(algorithm.take(OID, "key algorithm"))
    bits, unused = parse_bits(fields.any("key"))
    fields.finish("public key")
    if unused:
        raise FormatError("public key has loose bits", found=unused)
    if kind == RSA_OID:
        algorithm.take(NULL, "RSA parameters")
        algorithm.finish("key algorithm")
        return _parse_rsa(bits)
    if kind == EC_OID:
        curve = parse_oid(algorithm.take(OID, "named curve"))
        algorithm.finish("key algorithm")
        if curve not in CURVES:
            raise FormatError("elliptic curve is unknown", found=curve)
        return parse_point(CURVES[curve], bits)
    if kind == ED25519_OID:
        algorithm.finish("key algorithm")
        if len(bits) != ED25519_SIZE:
            raise FormatError("Ed25519 key has a wrong size", expected=ED25519_SIZE, found=len(bits))
        return Ed25519Key(key=bits)
    raise FormatError("public key is of an unknown kind", found=kind)


def _parse_rsa(bits: bytes) -> RsaKey:
    numbers = parse_der(bits, "RSA public key").fields()
    modulus, exponent = (_positive(numbers.take(INTEGER, name)) for name in ("modulus", "exponent"))
    numbers.finish("RSA public key")
    return RsaKey(modulus=modulus, exponent=exponent)


def _positive(der: Der) -> int:
    value = parse_integer(der)
    if value <= 0:
        raise FormatError("RSA public key has a number that is not positive", at=der.at)
    return value


def parse_point(curve: str, bits: bytes) -> EcKey:
    """Return an uncompressed point of a curve that is known by its name. Spec: SEC 1 v2.0, 2.3.4."""
    size = COORDINATE_SIZES[curve]
    if len(bits) != 1 + 2 * size or bits[0] != POINT_UNCOMPRESSED:
        raise FormatError("curve point is not of the uncompressed form", expected=1 + 2 * size, found=len(bits))
    x, y = int.from_bytes(bits[1 : 1 + size], "big"), int.from_bytes(bits[1 + size :], "big")
    return EcKey(curve=curve, x=x, y=y)
