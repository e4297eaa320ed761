"""OpenPGP certificates (transferable public keys) and fingerprints. Spec: RFC 9580, 10.1, 5.2.4 and 5.5.4.

Nothing is judged here: what a certificate says of itself counts only where its signatures are checked.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.banks import SHA1_BANK, SHA256_BANK, bank_digest
from shim.formats.openpgp import (
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SECRET_KEY,
    SECRET_SUBKEY,
    SIGNATURE,
    USER_ATTRIBUTE,
    USER_ID,
    Key,
    Signature,
    parse_key,
    parse_packets,
    parse_signature,
)
from shim.formats.openpgp_armor import unarmored
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.digests import NewHash

DIRECT = 0x1F
CERTIFICATIONS = (0x10, 0x11, 0x12, 0x13, DIRECT)
BINDING, KEY_REVOCATION, SUBKEY_REVOCATION = 0x18, 0x20, 0x28


class Bound(Value):
    """A subkey, what says that it belongs to the primary key, and what takes that back."""

    key: Key
    bindings: tuple[Signature, ...]
    revocations: tuple[Signature, ...]


class Certificate(Value):
    """A primary key with everything that is said of it. `selfs` go with what they cover; `name` is for people."""

    primary: Key
    name: str
    selfs: tuple[tuple[bytes, Signature], ...]
    revocations: tuple[Signature, ...]
    subkeys: tuple[Bound, ...]

    def joined(self, other: Certificate) -> Certificate:
        """Return what two copies of one certificate say."""
        return self.replace(
            selfs=(*self.selfs, *other.selfs), revocations=(*self.revocations, *other.revocations),
            subkeys=_joined_subkeys((*self.subkeys, *other.subkeys)),
        )  # fmt: skip


def _joined_subkeys(subkeys: tuple[Bound, ...]) -> tuple[Bound, ...]:
    found: dict[bytes, Bound] = {}
    for one in subkeys:
        old = found.get(one.key.body, one.replace(bindings=(), revocations=()))
        found[one.key.body] = old.replace(
            bindings=(*old.bindings, *one.bindings), revocations=(*old.revocations, *one.revocations)
        )
    return tuple(found.values())


def parse_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a keyring, armored or not. Raises FormatError, also for one with secret keys."""
    makers: list[_Maker] = []
    for kind, body in parse_packets(unarmored(data, "PUBLIC KEY BLOCK")):
        if kind in (SECRET_KEY, SECRET_SUBKEY):
            raise FormatError("this holds a secret key: export the public ones")
        if kind == PUBLIC_KEY:
            makers.append(_Maker(parse_key(body)))
        elif not makers:
            raise FormatError("keyring does not begin with a public key", found=kind)
        else:
            makers[-1].take(kind, body)
    if not makers:
        raise FormatError("there is no public key in it")
    return tuple(maker.certificate() for maker in makers)


class _Maker:
    """Put one certificate together, packet by packet."""

    def __init__(self, primary: Key) -> None:
        self.primary, self.name, self.target = primary, "", primary.hashed
        self.selfs: list[tuple[bytes, Signature]] = []
        self.revocations: list[Signature] = []
        self.subkeys: list[tuple[Key, list[Signature], list[Signature]]] = []

    def certificate(self) -> Certificate:
        subkeys = tuple(Bound(key=key, bindings=tuple(old), revocations=tuple(off)) for key, old, off in self.subkeys)
        return Certificate(
            primary=self.primary, name=self.name, selfs=tuple(self.selfs), revocations=tuple(self.revocations),
            subkeys=_joined_subkeys(subkeys),
        )  # fmt: skip

    def take(self, kind: int, body: bytes) -> None:
        if kind == SIGNATURE:
            signature = _readable(body)
            if signature is not None:
                self._take_signature(signature)
        elif kind == PUBLIC_SUBKEY:
            self.subkeys.append((parse_key(body), [], []))
        elif kind in (USER_ID, USER_ATTRIBUTE):
            if kind == USER_ID and not self.name:
                self.name = body.decode("utf-8", "replace")
            prefix = b"\xb4" if kind == USER_ID else b"\xd1"
            self.target = self.primary.hashed + prefix + len(body).to_bytes(4, "big") + body
        else:
            raise FormatError("keyring holds what is no part of a public key", found=kind)

    def _take_signature(self, signature: Signature) -> None:
        if signature.kind == KEY_REVOCATION:
            self.revocations.append(signature)
        elif self.subkeys and signature.kind in (BINDING, SUBKEY_REVOCATION):
            _, bindings, revocations = self.subkeys[-1]
            (bindings if signature.kind == BINDING else revocations).append(signature)
        elif not self.subkeys and signature.kind in CERTIFICATIONS:
            target = self.primary.hashed if signature.kind == DIRECT else self.target
            self.selfs.append((target, signature))


def _readable(body: bytes) -> Signature | None:
    """Return a signature; None for one that is not understood and that nothing depends on."""
    try:
        return parse_signature(body)
    except FormatError as problem:
        kind = body[2:3] if body[:1] < b"\x04" else body[1:2]
        if kind in (b"\x20", b"\x28"):
            raise FormatError(f"keyring has a revocation that is not understood: {problem}") from problem
        return None


def fingerprint(key: Key, new_hash: NewHash) -> bytes:
    """Return the name of a key. Spec: RFC 9580, 5.5.4."""
    # SHA-1 for names alone: no trust rests on it.
    return bank_digest(SHA1_BANK if key.version == 4 else SHA256_BANK, key.hashed, new_hash)


def key_id(key: Key, name: bytes) -> bytes:
    """Return the short name of a key with this fingerprint."""
    return name[-8:] if key.version == 4 else name[:8]
