"""The kind "ospkg": an OS package whose descriptor holds signatures by certificates that the policy's roots issued.

Spec: stboot, ospkg/ospkg.go, Verify; ospkg/signature.go, ED25519Signer. What is signed is the SHA-256 of the archive,
by Ed25519 and nothing else; each certificate is a root of the policy or issued by one directly, because a descriptor
carries no intermediates. A key counts once, whatever certificates there are for it. As in all of the policy, time does
not end a signature, and one revoked certificate refuses the package.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.formats.spki import Ed25519Key
    from shim.formats.x509 import Certificate
    from shim.model import Verdict
    from shim.verify.keys import SignatureChecker
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "ospkg"
ROLES: tuple[Role, ...] = (Role.OSPKG,)
SUFFIXES: tuple[str, ...] = (".zip/.json",)
SHOWN_KEY_SIZE = 8


class Claim(Value):
    """One pair of a descriptor that could be read."""

    place: str
    certificate: Certificate
    signature: bytes


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are its roots."""
    raise ConfigError("roots stand in policy.keys.ospkg, not here", key=key, found=len(values))


def parse_keys(data: bytes) -> tuple[Certificate, ...]:
    """Return the root certificates of a file: one in DER, or any number in PEM. Raises FormatError."""
    from shim.formats.pem import PEM_BEGIN, parse_pem
    from shim.formats.spki import parse_public_key
    from shim.formats.x509 import parse_certificate

    blocks = parse_pem(data, "CERTIFICATE") if PEM_BEGIN in data else (data,)
    roots = tuple(parse_certificate(block) for block in blocks)
    for root in roots:
        parse_public_key(root.spki)
    return roots


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each key that signed the package under a root, then raise VerifyError for the other pairs."""
    from shim.verify.keys import Ed25519Checker

    problems: list[str] = []
    claims = list(_claims(piece, problems))
    checker, counted = Ed25519Checker(piece.new_hash), set[bytes]()
    _check_revoked([claim.certificate for claim in claims], policy, checker)
    for claim in claims:
        if claim.certificate.spki in counted:
            continue
        try:
            key, root = _check(claim, piece, policy, checker)
        except (FormatError, VerifyError) as problem:
            problems.append(f"{claim.place}: {problem}")
            continue
        counted.add(claim.certificate.spki)
        yield _accept(piece, claim.certificate, key, root)
    if problems or not counted:  # also where some are good: they may be too few, and then people want to know why
        raise VerifyError("; ".join(problems) or "its descriptor holds no signature")


def _claims(piece: Piece, problems: list[str]) -> Iterator[Claim]:
    from shim.formats.ospkg import parse_descriptor
    from shim.formats.x509 import parse_certificate

    data = piece.beside.get(SUFFIXES[0])
    if data is None:
        raise VerifyError("no descriptor lies beside it (.json)")
    try:
        pairs = parse_descriptor(data).pairs
    except FormatError as problem:
        raise VerifyError(str(problem)) from problem
    for number, pair in enumerate(pairs, 1):
        place = f"signature {number}"
        try:
            certificate = parse_certificate(pair.certificate)
        except FormatError as problem:
            problems.append(f"{place}: {problem}")
            continue
        yield Claim(place=place, certificate=certificate, signature=pair.signature)


def _check(claim: Claim, piece: Piece, policy: Policy, checker: SignatureChecker) -> tuple[Ed25519Key, Certificate]:
    """Return the key of a claim, and the root that it leads to. Raises VerifyError or FormatError."""
    from shim.formats.spki import Ed25519Key, parse_public_key
    from shim.verify.chain import ChainBuilder
    from shim.verify.ed25519 import check_ed25519

    chain = ChainBuilder((), policy.keys.get(NAME, ()), checker).build(claim.certificate)
    key = parse_public_key(claim.certificate.spki)
    if not isinstance(key, Ed25519Key):
        raise VerifyError("OS packages are signed by Ed25519 keys only", found=key.text)
    check_ed25519(key.key, (piece.sha256,), claim.signature)
    return key, chain[-1]


def _check_revoked(certificates: Sequence[Certificate], policy: Policy, checker: SignatureChecker) -> None:
    """Raise VerifyError when one of the certificates, or one that could stand above it by its name, is revoked."""
    from shim.verify.chain import named_above

    roots = policy.keys.get(NAME, ())
    for above in dict.fromkeys(above for one in certificates for above in named_above(one, roots)):
        if policy.revoked.has_certificate(above, checker.new_hash):
            raise VerifyError(f"the certificate of {above.subject_text} is revoked")
        issuer = policy.revoked.issuer_of(above, checker)
        if issuer is not None:
            name = above.subject_text
            raise VerifyError(f"the certificate of {issuer.subject_text}, which issued that of {name}, is revoked")


def _accept(piece: Piece, certificate: Certificate, key: Ed25519Key, root: Certificate) -> Verdict:
    """Return the verdict. stmgr's certificates have no names: the key says who it is."""
    from shim.formats.digests import SHA256, digest_of

    digest = digest_of(SHA256, certificate.spki, piece.new_hash)[:SHOWN_KEY_SIZE].hex()
    signer = f"{certificate.subject_text}, key {digest}"
    under = "which is a root itself" if certificate.encoded == root.encoded else f"under {root.subject_text}"
    return piece.accepted(NAME, f"signed by {signer}, {under} (Ed25519)", signer=signer, covered="all bytes",
                          keys=(key.key,))
