"""Which signature algorithms are known: one line each, by object identifier."""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.formats.digests import SHA256, SHA384, SHA512, digest_of
from shim.formats.spki import EC_OID, ED25519_OID, RSA_OID, EcKey, Ed25519Key, RsaKey, parse_public_key
from shim.verify.ecdsa import check_ecdsa
from shim.verify.rsa import check_rsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.digests import NewHash
    from shim.formats.x509 import Certificate

CHECKS_MAX = 32

# (kind of key, hash function); None: whatever the signer says elsewhere, as PKCS #7 does.
SIGNATURES = {
    RSA_OID: ("RSA", None),
    "1.2.840.113549.1.1.11": ("RSA", SHA256),
    "1.2.840.113549.1.1.12": ("RSA", SHA384),
    "1.2.840.113549.1.1.13": ("RSA", SHA512),
    EC_OID: ("ECDSA", None),
    "1.2.840.10045.4.3.2": ("ECDSA", SHA256),
    "1.2.840.10045.4.3.3": ("ECDSA", SHA384),
    "1.2.840.10045.4.3.4": ("ECDSA", SHA512),
}
REFUSED = {
    "1.2.840.113549.1.1.4": "MD5 with RSA",
    "1.2.840.113549.1.1.5": "SHA-1 with RSA",
    "1.2.840.10045.4.1": "SHA-1 with ECDSA",
    "1.3.14.3.2.29": "SHA-1 with RSA",
    "1.2.840.113549.1.1.10 with parameters": "RSASSA-PSS",
}


class SignatureChecker:
    """Check signatures, CHECKS_MAX of them at most: that bounds what a hostile file can cost."""

    checks_max = CHECKS_MAX

    def __init__(self, new_hash: NewHash) -> None:
        self.new_hash = new_hash
        self.checks_left = self.checks_max

    def check(self, spki: bytes, algorithm: str, data: bytes, signature: bytes, digest: str | None = None) -> None:
        """Raise VerifyError unless the key of `spki` signed `data`.

        `algorithm` is an object identifier. `digest` names the hash function that the algorithm must go with; it
        may be left out where the algorithm itself names one.
        """
        self._spend()
        kind, name = _named_algorithm(algorithm, digest)
        _check_key(spki, kind, name, digest_of(name, data, self.new_hash), signature)

    def check_digest(self, spki: bytes, algorithm: str, told: bytes, signature: bytes, digest: str) -> None:
        """Raise VerifyError unless the key of `spki` signed data whose digest, by the function `digest`, is `told`."""
        self._spend()
        kind, name = _named_algorithm(algorithm, digest)
        _check_key(spki, kind, name, told, signature)

    def _spend(self) -> None:
        if self.checks_left == 0:
            raise VerifyError("too many signatures to check", expected=self.checks_max)
        self.checks_left -= 1

    def is_issued_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Say whether one certificate carries the name and the signature of the other."""
        if certificate.issuer != issuer.subject:
            return False
        try:
            self.check(issuer.spki, certificate.signature_algorithm, certificate.tbs, certificate.signature)
        except VerifyError:
            if self.checks_left == 0:
                raise
            return False
        return True


class Ed25519Checker(SignatureChecker):
    """Take Ed25519 as well, which UEFI and PKCS #7 do not have. Spec: RFC 8410, 3 and 6.

    There are more checks: certificates without names could each have been issued by any that is revoked.
    """

    checks_max = 4 * CHECKS_MAX

    def check(self, spki: bytes, algorithm: str, data: bytes, signature: bytes, digest: str | None = None) -> None:
        if algorithm != ED25519_OID:
            return super().check(spki, algorithm, data, signature, digest)
        from shim.verify.ed25519 import check_ed25519

        self._spend()
        key = _parse_key(spki)
        if not isinstance(key, Ed25519Key):
            raise VerifyError("signature algorithm does not go with the key", expected=key.text, found="Ed25519")
        return check_ed25519(key.key, (data,), signature)


def _parse_key(spki: bytes) -> RsaKey | EcKey | Ed25519Key:
    try:
        return parse_public_key(spki)
    except FormatError as problem:
        raise VerifyError(f"public key is not usable: {problem}") from problem


def _check_key(spki: bytes, kind: str, name: str, told: bytes, signature: bytes) -> None:
    key = _parse_key(spki)
    if isinstance(key, Ed25519Key) or (kind == "RSA") != isinstance(key, RsaKey):
        raise VerifyError("signature algorithm does not go with the key", expected=key.text, found=kind)
    if isinstance(key, RsaKey):
        check_rsa(key, name, told, signature)
    else:
        check_ecdsa(key, name, told, signature)


def _named_algorithm(algorithm: str, digest: str | None) -> tuple[str, str]:
    if algorithm not in SIGNATURES:
        raise VerifyError("signature algorithm is too weak or unknown", found=REFUSED.get(algorithm, algorithm))
    kind, own = SIGNATURES[algorithm]
    name = own or digest
    if name is None or (digest is not None and digest != name):
        raise VerifyError("signature names two hash functions, or none", expected=digest, found=own)
    return kind, name
