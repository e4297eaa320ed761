"""The hash functions of signatures, by name and by object identifier. Spec: FIPS 180-4; RFC 5754, 2.

SHA-256 comes from the caller, at the speed of the machine. SHA-384 and SHA-512 are rare enough for CPython's own
`_sha2`, which the frozen runtime has built in; before CPython 3.12 only hashlib has them. SHA-1 and MD5 are not
here on purpose.
"""

from __future__ import annotations

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.formats.record import Buffer
    from shim.ports import Hash

    NewHash = Callable[[], Hash]

SHA256, SHA384, SHA512 = "SHA-256", "SHA-384", "SHA-512"
SIZES = {SHA256: 32, SHA384: 48, SHA512: 64}
OIDS = {
    "2.16.840.1.101.3.4.2.1": SHA256,
    "2.16.840.1.101.3.4.2.2": SHA384,
    "2.16.840.1.101.3.4.2.3": SHA512,
}
REFUSED_OIDS = {"1.3.14.3.2.26": "SHA-1", "1.2.840.113549.2.5": "MD5", "2.16.840.1.101.3.4.2.4": "SHA-224"}


def digest_name(oid: str) -> str:
    """Return the name of a hash function. Raises FormatError for one that is too weak or unknown."""
    if oid not in OIDS:
        raise FormatError("hash function is too weak or unknown", found=REFUSED_OIDS.get(oid, oid))
    return OIDS[oid]


def new_digest(name: str, new_hash: NewHash) -> Hash:
    """Start a digest; `new_hash` makes those of SHA-256."""
    return new_hash() if name == SHA256 else new_large_digest(name)


def new_large_digest(name: str) -> Hash:
    """Start a digest by SHA-384 or SHA-512."""
    try:
        from _sha2 import sha384, sha512  # type: ignore[import-not-found]  # CPython 3.12 and newer
    except ImportError:
        from hashlib import sha384, sha512
    started: Hash = sha384() if name == SHA384 else sha512()
    return started


def new_blake2b() -> Hash:
    """Start a BLAKE2b of 64 bytes. Spec: RFC 7693."""
    try:
        from _blake2 import blake2b  # what CPython calls its own module
    except ImportError:
        from hashlib import blake2b
    started: Hash = blake2b()
    return started


def digest_of(name: str, data: Buffer, new_hash: NewHash) -> bytes:
    """Return the digest of some bytes."""
    running = new_digest(name, new_hash)
    running.update(memoryview(data))
    return running.digest()
