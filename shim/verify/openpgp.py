"""The kind "openpgp": an OpenPGP signature by a key of the policy. Spec: RFC 9580, 5.2, 7.

It lies beside the file, or, for a manifest, in it: a cleartext signed message.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError, printable
from shim.model import Role
from shim.verify.piece import FILE_ROLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shim.formats.openpgp import Signature
    from shim.formats.openpgp_keys import Certificate
    from shim.formats.record import Buffer
    from shim.model import Verdict
    from shim.verify.openpgp_keys import Checker
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "openpgp"
ROLES: tuple[Role, ...] = FILE_ROLES
SUFFIXES: tuple[str, ...] = (".asc", ".sig", ".gpg")
OF_BYTES, OF_TEXT = 0x00, 0x01
KINDS = {OF_BYTES: "bytes", OF_TEXT: "text"}
SIGNATURES_MAX = 16
SIGNED_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"


def is_cleartext(data: Buffer) -> bool:
    """Say whether a file is a cleartext signed message: its content is the text inside."""
    return bytes(data[: len(SIGNED_MESSAGE)]) == SIGNED_MESSAGE


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are its keys."""
    raise ConfigError("keys stand in policy.keys.openpgp, not here", key=key, found=len(values))


def parse_keys(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a keyring. Raises FormatError."""
    from shim.formats.openpgp_keys import parse_certificates

    return parse_certificates(data)


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signature by a certificate of the policy.

    Raises VerifyError at the end with the reasons against the others, or when there is none.
    """
    from shim.verify.openpgp_keys import Checker

    problems, accepted = list[str](), False
    keys, checker = _merged(policy.keys.get(NAME, ())), Checker(piece.new_hash)
    for place, signature, kind, covered in _signatures(piece, problems):
        try:
            signer = _check(signature, kind, (covered,), keys, checker)
        except (FormatError, VerifyError) as problem:
            problems.append(f"{place}: {problem}")
            continue
        accepted = True
        yield _accept(piece, signer, signature, "its text" if kind == OF_TEXT else "all bytes")
    if problems or not accepted:
        raise VerifyError("; ".join(problems) or "no signature of OpenPGP beside it")


def _signatures(piece: Piece, problems: list[str]) -> Iterator[tuple[str, Signature, int, Buffer]]:
    """Yield the first signatures of each file beside a piece, and of a cleartext signed manifest, with their places,
    their types, and what they cover; tell of the files that cannot be read."""
    from shim.formats.openpgp import parse_signatures

    held: list[tuple[str, bytes, int, Buffer]] = [
        (suffix, piece.beside[suffix], OF_BYTES, piece.data) for suffix in SUFFIXES if suffix in piece.beside]
    if piece.role is Role.MANIFEST and is_cleartext(piece.data):
        from shim.formats.openpgp_armor import parse_cleartext

        try:
            message = parse_cleartext(bytes(piece.data))
            held.append(("in it", message.signatures, OF_TEXT, message.signed))
        except FormatError as problem:
            problems.append(str(problem))
    for place, data, kind, covered in held:
        try:
            signatures = parse_signatures(data)
        except FormatError as problem:
            problems.append(f"{place}: {problem}")
            continue
        for number, signature in enumerate(signatures[:SIGNATURES_MAX], 1):
            yield f"{place}, signature {number}", signature, kind, covered


def _merged(keys: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Join the copies of each certificate: what one of them revokes is revoked."""
    found: dict[bytes, Certificate] = {}
    for one in keys:
        body = one.primary.body
        found[body] = found[body].joined(one) if body in found else one
    return tuple(found.values())


def _check(
    signature: Signature, kind: int, pieces: Sequence[Buffer], keys: Sequence[Certificate], checker: Checker
) -> Certificate:
    """Return the certificate whose key, or subkey, made the signature."""
    if signature.kind != kind:
        found = KINDS.get(signature.kind, hex(signature.kind))
        raise VerifyError("the signature is of another type", expected=KINDS[kind], found=found)
    name = signature.hash_name
    problem = VerifyError("signed by a key that the policy does not have", key=_issuer(signature), digest=name)
    for certificate in keys:
        for bound in (None, *certificate.subkeys):
            key = certificate.primary if bound is None else bound.key
            if not checker.is_named(key, signature):
                continue
            try:
                checker.check_signer(certificate, bound, signature)
                checker.check(key, signature, pieces)
                return certificate
            except (FormatError, VerifyError) as found:
                problem = VerifyError(str(found))
    raise problem


def _issuer(signature: Signature) -> str:
    from shim.formats.openpgp import ISSUER, ISSUER_PRINT

    names = [one[1:] for one in signature.values(ISSUER_PRINT)] or signature.values(ISSUER)
    return names[0].hex().upper() if names else "not named"


def _accept(piece: Piece, signer: Certificate, signature: Signature, covered: str) -> Verdict:
    from shim.formats.openpgp_keys import fingerprint
    from shim.verify.openpgp_keys import public_keys

    name = printable(signer.name, 128)
    key = fingerprint(signer.primary, piece.new_hash).hex().upper()
    return piece.accepted(
        NAME, f"signed by {name or 'a key without a name'}, key {key} ({signature.hash_name})",
        signer=f"OpenPGP key {key}", covered=covered, keys=public_keys(signer),
    )  # fmt: skip
