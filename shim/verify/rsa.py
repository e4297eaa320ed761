"""RSA signatures, RSASSA-PKCS1-v1_5, checking only. Spec: RFC 8017, 8.2.2 and 9.2.

The whole encoded message is built and compared: there is no padding to parse, so none to forge. Moduli from 2048 to
4096 bits; exponents as FIPS 186-5 has them (odd, above 65536), of 32 bits at most so that a check stays quick.
"""

from __future__ import annotations

from shim.errors import VerifyError
from shim.formats.digests import SHA256, SHA384, SHA512

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.spki import RsaKey

MODULUS_BITS = range(2048, 4096 + 1)
EXPONENTS = range(65537, 1 << 32, 2)
DIGEST_INFOS = {
    SHA256: bytes.fromhex("3031300d060960864801650304020105000420"),
    SHA384: bytes.fromhex("3041300d060960864801650304020205000430"),
    SHA512: bytes.fromhex("3051300d060960864801650304020305000440"),
}


def check_rsa(key: RsaKey, algorithm: str, digest: bytes, signature: bytes) -> None:
    """Raise VerifyError unless the key signed this digest."""
    bits = key.modulus.bit_length()
    if bits not in MODULUS_BITS or not key.modulus & 1:
        raise VerifyError("RSA key is too short or too long", expected="2048..4096 bits", found=bits)
    if key.exponent not in EXPONENTS:
        raise VerifyError("RSA key has an unusual exponent", expected="65537..2**32, odd", found=key.exponent)
    size = (bits + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key.modulus:
        raise VerifyError("RSA signature has a wrong size", expected=size, found=len(signature))
    told = pow(number, key.exponent, key.modulus).to_bytes(size, "big")
    tail = b"\0" + DIGEST_INFOS[algorithm] + digest
    if told != b"\0\1" + b"\xff" * (size - 2 - len(tail)) + tail:
        raise VerifyError("RSA signature does not fit", key=key.text, digest=algorithm)
