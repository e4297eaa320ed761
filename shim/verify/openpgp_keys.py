"""Which keys of an OpenPGP certificate may sign, and whether one did. Spec: RFC 9580, 5.2.4, 10.1 and 9.

What a key says of itself counts only when it is signed with SHA-256, SHA-384 or SHA-512. The clock is not looked at:
a signature is held to the times of its key by the time that it gives itself.
"""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.formats.digests import new_digest
from shim.formats.openpgp import (
    EMBEDDED,
    EXPIRES,
    FLAGS,
    HASHES,
    ISSUER,
    ISSUER_PRINT,
    KEY_EXPIRES,
    Key,
    Reader,
    Signature,
    parse_signature,
)
from shim.formats.openpgp_keys import DIRECT, Bound, Certificate, fingerprint, key_id
from shim.formats.spki import COORDINATE_SIZES, EcKey, RsaKey
from shim.verify.ecdsa import check_ecdsa
from shim.verify.ed25519 import check_ed25519
from shim.verify.rsa import check_rsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.formats.digests import NewHash
    from shim.formats.record import Buffer

CHECKS_MAX = 64
MAY_SIGN = 0x02
PRIMARY_BINDING = 0x19
RSA, ECDSA, EDDSA, ED25519 = (1, 3), 19, 22, 27
CURVES = {bytes.fromhex("2a8648ce3d030107"): "P-256", bytes.fromhex("2b81040022"): "P-384"}
ED25519_OID = bytes.fromhex("2b06010401da470f01")


class Checker:
    """Check signatures, CHECKS_MAX of them at most: that bounds what a hostile file can cost."""

    def __init__(self, new_hash: NewHash) -> None:
        self.new_hash, self.checks_left = new_hash, CHECKS_MAX
        self._names: dict[bytes, bytes] = {}

    def check(self, key: Key, signature: Signature, pieces: Sequence[Buffer]) -> None:
        """Raise VerifyError or FormatError unless the key signed the pieces, one behind the other."""
        if self.checks_left == 0:
            raise VerifyError("too many signatures to check", expected=CHECKS_MAX)
        self.checks_left -= 1
        if (signature.version, signature.algorithm) != (key.version, key.algorithm):
            raise VerifyError("signature does not go with the key", expected=key.algorithm, found=signature.algorithm)
        running = new_digest(signature.hash_name, self.new_hash)
        for piece in (signature.salt, *pieces, signature.trailer):
            running.update(memoryview(piece))
        digest = running.digest()
        if digest[:2] != signature.beginning:
            raise VerifyError("the file is not what was signed", digest=signature.hash_name)
        _check_numbers(key, signature, digest)

    def is_good(self, key: Key, signature: Signature, pieces: Sequence[Buffer]) -> bool:
        """Say whether the key signed the pieces."""
        try:
            self.check(key, signature, pieces)
        except (FormatError, VerifyError):
            if self.checks_left == 0:
                raise
            return False
        return True

    def is_named(self, key: Key, signature: Signature) -> bool:
        """Say whether a signature claims to be of a key; one that names nobody is of none, as gpgv has it."""
        if key.body not in self._names:
            self._names[key.body] = fingerprint(key, self.new_hash)
        name = self._names[key.body]
        prints, ids = signature.values(ISSUER_PRINT), signature.values(ISSUER)
        if prints:
            return any(one == bytes((key.version,)) + name for one in prints)
        return key_id(key, name) in ids

    def check_signer(self, certificate: Certificate, bound: Bound | None, signature: Signature) -> None:
        """Raise VerifyError unless the certificate lets its key, or the subkey, make this signature."""
        primary, made = certificate.primary, signature.created
        if self._is_revoked(primary, certificate.revocations, (primary.hashed,)):
            raise VerifyError("the key is revoked")
        words = self._own_words(certificate, made)
        if not words:
            raise VerifyError("the key has no self-signature that counts: SHA-256, -384 or -512")
        for own in words:
            _check_times("key", primary, own, made)
        if bound is None:
            if not all(_may_sign(own) for own in words if own.value(FLAGS) is not None):
                raise VerifyError("the key is not for signing")
            return
        self._check_bound(primary, bound, made)

    def _own_words(self, certificate: Certificate, made: int) -> list[Signature]:
        """Return the newest that a key says of itself, directly and with a user ID: both hold it."""
        rows: dict[bool, list[tuple[Signature, Sequence[Buffer]]]] = {True: [], False: []}
        for target, one in certificate.selfs:
            rows[one.kind == DIRECT].append((one, (target,)))
        found = [self._newest(certificate.primary, some, made) for some in rows.values()]
        return [one for one in found if one is not None]

    def _check_bound(self, primary: Key, bound: Bound, made: int) -> None:
        """Raise VerifyError unless the primary key lets the subkey sign, and the subkey agrees."""
        covered = (primary.hashed, bound.key.hashed)
        if self._is_revoked(primary, bound.revocations, covered):
            raise VerifyError("the subkey is revoked")
        binding = self._newest(primary, [(one, covered) for one in bound.bindings], made)
        if binding is None:
            raise VerifyError("the subkey is not bound to its key by a signature that counts: SHA-256, -384 or -512")
        _check_times("subkey", bound.key, binding, made)
        if not _may_sign(binding):
            raise VerifyError("the subkey is not for signing")
        if not any(self._is_consent(bound.key, body, covered) for body in binding.values(EMBEDDED)[:4]):
            raise VerifyError("the subkey has not signed that it belongs to its key")

    def _is_consent(self, subkey: Key, body: bytes, covered: Sequence[Buffer]) -> bool:
        try:
            back = parse_signature(body)
        except FormatError:
            return False
        return back.kind == PRIMARY_BINDING and self.is_good(subkey, back, covered)

    def _is_revoked(self, primary: Key, revocations: Iterable[Signature], covered: Sequence[Buffer]) -> bool:
        """Say whether the primary key revoked what is covered; a hash too weak to tell is taken at its word."""
        own = [one for one in revocations if self.is_named(primary, one)]
        return any(one.hash_number not in HASHES or self.is_good(primary, one, covered) for one in own)

    def _newest(
        self, primary: Key, found: Iterable[tuple[Signature, Sequence[Buffer]]], made: int
    ) -> Signature | None:
        """Return the newest signature by the primary key that is good, and was not over when `made`."""
        for one, covered in sorted(found, key=lambda row: row[0].created, reverse=True):
            if one.hash_number not in HASHES or not self.is_named(primary, one):
                continue
            if not _is_over(one.created, one.number(EXPIRES), made) and self.is_good(primary, one, covered):
                return one
        return None


def _may_sign(signature: Signature) -> bool:
    return bool((signature.value(FLAGS) or b"\0")[:1][0] & MAY_SIGN)


def _is_over(start: int, seconds: int | None, when: int) -> bool:
    return bool(seconds) and when >= start + (seconds or 0)


def _check_times(what: str, key: Key, own: Signature, made: int) -> None:
    if made < key.created:
        raise VerifyError(f"the signature is older than the {what}", signature=_date(made), key=_date(key.created))
    seconds = own.number(KEY_EXPIRES)
    if _is_over(key.created, seconds, made):
        raise VerifyError(f"the {what} had expired when the signature was made", signature=_date(made),
                          expired=_date(key.created + (seconds or 0)))


def _date(seconds: int) -> str:
    """Return a time as people read it, in UTC. Both counts have 32 bits at most."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _check_numbers(key: Key, signature: Signature, digest: bytes) -> None:
    """Check the numbers of a signature by those of a key. Spec: RFC 9580, 5.2.3.1 and 5.5.5."""
    public, told = public_key(key), Reader(signature.material, "signature")
    if isinstance(public, RsaKey):
        size, number = (public.modulus.bit_length() + 7) // 8, told.mpi()
        if number >= public.modulus:
            raise VerifyError("RSA signature has a wrong size")
        check_rsa(public, signature.hash_name, digest, number.to_bytes(size, "big"))
    elif isinstance(public, EcKey):
        check_ecdsa(public, signature.hash_name, digest, _encode_pair(told.mpi(), told.mpi()))
    elif key.algorithm == EDDSA:
        check_ed25519(public, (digest,), _octets(told.mpi()) + _octets(told.mpi()))
    else:
        check_ed25519(public, (digest,), told.take(64))
    told.finish()


def public_keys(certificate: Certificate) -> tuple[RsaKey | EcKey | bytes, ...]:
    """Return the numbers of the primary key and of the subkeys, without those of unknown kinds."""
    found = []
    for key in (certificate.primary, *(bound.key for bound in certificate.subkeys)):
        try:
            found.append(public_key(key))
        except (FormatError, VerifyError):
            continue
    return tuple(found)


def public_key(key: Key) -> RsaKey | EcKey | bytes:
    """Return the numbers of a key. Spec: RFC 9580, 5.5.5. Raises VerifyError or FormatError."""
    numbers = Reader(key.material, "public key")
    found: RsaKey | EcKey | bytes
    if key.algorithm in RSA:
        found = RsaKey(modulus=numbers.mpi(), exponent=numbers.mpi())
    elif key.algorithm == ECDSA:
        found = _parse_point(numbers)
    elif key.algorithm == EDDSA and key.version == 4:
        found = _parse_legacy_point(numbers)
    elif key.algorithm == ED25519:
        found = numbers.take(32)
    else:
        raise VerifyError("public key is of an unknown kind", found=key.algorithm)
    numbers.finish()
    return found


def _parse_point(numbers: Reader) -> EcKey:
    curve = CURVES.get(numbers.take(numbers.number(1)))
    if curve is None:
        raise VerifyError("elliptic curve is unknown")
    size, point = COORDINATE_SIZES[curve], numbers.mpi()
    if point >> 16 * size != 4:
        raise VerifyError("curve point is not of the uncompressed form")
    return EcKey(curve=curve, x=point >> 8 * size & (1 << 8 * size) - 1, y=point & (1 << 8 * size) - 1)


def _parse_legacy_point(numbers: Reader) -> bytes:
    if numbers.take(numbers.number(1)) != ED25519_OID:
        raise VerifyError("elliptic curve is unknown")
    point = numbers.mpi()
    if point >> 256 != 0x40:
        raise VerifyError("curve point is not of the native form")
    return (point & (1 << 256) - 1).to_bytes(32, "big")


def _octets(number: int) -> bytes:
    if number >> 256:
        raise VerifyError("signature has a wrong size", expected=256, found=number.bit_length())
    return number.to_bytes(32, "big")


def _encode_pair(r: int, s: int) -> bytes:
    """Return two numbers as a DER SEQUENCE, which is what ECDSA is checked by here."""
    rows = b""
    for number in (r, s):
        raw = number.to_bytes(number.bit_length() // 8 + 1, "big")
        if len(raw) > 49:
            raise VerifyError("ECDSA signature has a number out of range")
        rows += bytes((2, len(raw))) + raw
    return bytes((0x30, len(rows))) + rows
