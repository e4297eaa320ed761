"""Which signature algorithms are known: one line each, by object identifier."""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.formats.digests import SHA256, SHA384, SHA512, digest_of
from shim.formats.spki import EC_OID, RSA_OID, RsaKey, parse_public_key
from shim.verify.ecdsa import check_ecdsa
from shim.verify.rsa import check_rsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.digests import NewHash

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


def check_signature(
    spki: bytes, algorithm: str, data: bytes, signature: bytes, *, new_hash: NewHash, digest: str | None = None
) -> None:
    """Raise VerifyError unless the key of `spki` signed `data`.

    `algorithm` is an object identifier. `digest` names the hash function that the algorithm must go with; it may
    be left out where the algorithm itself names one.
    """
    if algorithm not in SIGNATURES:
        raise VerifyError("signature algorithm is too weak or unknown", found=REFUSED.get(algorithm, algorithm))
    kind, own = SIGNATURES[algorithm]
    name = own or digest
    if name is None or (digest is not None and digest != name):
        raise VerifyError("signature names two hash functions, or none", expected=digest, found=own)
    try:
        key = parse_public_key(spki)
    except FormatError as problem:
        raise VerifyError(f"public key is not usable: {problem}") from problem
    if (kind == "RSA") != isinstance(key, RsaKey):
        raise VerifyError("signature algorithm does not go with the key", expected=key.text, found=kind)
    told = digest_of(name, data, new_hash)
    if isinstance(key, RsaKey):
        check_rsa(key, name, told, signature)
    else:
        check_ecdsa(key, name, told, signature)
