"""Who signed, by X.509: for every kind whose signatures are PKCS #7 or CMS. Spec: RFC 5652, 5.4 and 5.6.

A kind brings its claims, one for each signer that it found, and what each of them must have signed. Here each claim
is led to an anchor of the policy, or refused. One good claim is enough; but one revoked certificate above any of them
refuses them all, as UEFI 2.10, 32.5.3.3 has it.
"""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.formats.der import parse_octets, parse_oid
from shim.formats.digests import digest_of
from shim.formats.pkcs7 import CONTENT_TYPE, MESSAGE_DIGEST
from shim.formats.spki import parse_public_key
from shim.values import Value
from shim.verify.chain import ChainBuilder, named_above
from shim.verify.keys import SignatureChecker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shim.formats.pkcs7 import SignedData, Signer
    from shim.formats.x509 import Certificate
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy


class Claim(Value):
    """One signer of one signature. `place` says where it stands, `covered` what it would vouch for.

    `content_digest` returns the name of the hash function and the digest of the signed content, or raises where the
    content is not that of the piece. `mismatch` is the sentence for attributes that speak of another digest.
    """

    place: str
    signed: SignedData
    signer: Signer
    content_digest: Callable[[], tuple[str, bytes]]
    mismatch: str
    covered: str


def claims_of(
    place: str, signed: SignedData, content_digest: Callable[[Signer], tuple[str, bytes]], *, mismatch: str,
    covered: str,
) -> Iterator[Claim]:  # fmt: skip
    """Give a claim for each signer of a signature, with the words for its place."""
    for number, signer in enumerate(signed.signers, 1):
        yield Claim(
            place=place if number == 1 else f"{place}, signer {number}", signed=signed, signer=signer,
            content_digest=lambda signer=signer: content_digest(signer),  # type: ignore[misc]  # a bound default
            mismatch=mismatch, covered=covered,
        )  # fmt: skip


def judge_claims(
    kind: str, piece: Piece, policy: Policy, claims: Sequence[Claim], problems: list[str]
) -> Iterator[Verdict]:
    """Give a verdict for each signer whose chain leads to an anchor.

    Raises VerifyError at the end with the reasons against the others, or when there is none. `problems` are reasons
    that the kind has already.
    """
    checker, accepted = SignatureChecker(piece.new_hash), False
    for claim in claims:
        _check_revoked(policy, claim, checker)
    for claim in claims:
        try:
            chain = _check_claim(policy, claim, checker)
        except (FormatError, VerifyError) as problem:
            problems.append(f"{claim.place}: {problem}")
            continue
        accepted = True
        yield _accept(kind, piece, claim, chain)
    if problems or not accepted:
        raise VerifyError("; ".join(problems) or "it carries no signature")


def _check_claim(policy: Policy, claim: Claim, checker: SignatureChecker) -> tuple[Certificate, ...]:
    """Return the chain from the signer to an anchor. Raises VerifyError or FormatError when there is none."""
    name, content = claim.content_digest()
    told, signer, carried = _signed_digest(claim, name, content, checker), claim.signer, claim.signed.certificates
    problem = VerifyError("the signer's certificate is neither carried nor an anchor", serial=signer.name)
    for certificate in _certificates_of(signer, (*carried, *policy.anchors)):
        try:
            chain = ChainBuilder(carried, policy.anchors, checker).build(certificate)
            checker.check_digest(certificate.spki, signer.signature_algorithm, told, signer.signature, name)
            return chain
        except VerifyError as found:
            problem = found
    raise problem


def _signed_digest(claim: Claim, name: str, content: bytes, checker: SignatureChecker) -> bytes:
    """Return the digest that was signed: of the content, or of attributes that lead to it. Spec: RFC 5652, 5.4, 11."""
    signer = claim.signer
    if signer.signed is None:
        return content
    if parse_oid(signer.attribute(CONTENT_TYPE)) != claim.signed.content_type:
        raise VerifyError("signed attributes name another content type")
    if parse_octets(signer.attribute(MESSAGE_DIGEST)) != content:
        raise VerifyError(claim.mismatch)
    return digest_of(name, signer.signed, checker.new_hash)


def _certificates_of(signer: Signer, pool: tuple[Certificate, ...]) -> list[Certificate]:
    """Return the certificates that a signer names; hostile ones may share a name and a serial number."""
    return [one for one in dict.fromkeys(pool) if signer.names(one)]


def _check_revoked(policy: Policy, claim: Claim, checker: SignatureChecker) -> None:
    pool = (*claim.signed.certificates, *policy.anchors)
    chain = dict.fromkeys(above for one in _certificates_of(claim.signer, pool) for above in named_above(one, pool))
    for certificate in chain:
        if policy.revoked.has_certificate(certificate, checker.new_hash):
            raise VerifyError(f"the certificate of {certificate.subject_text} is revoked")
    for certificate in chain:
        issuer = policy.revoked.issuer_of(certificate, checker)
        if issuer is not None:
            name = certificate.subject_text
            raise VerifyError(f"the certificate of {issuer.subject_text}, which issued that of {name}, is revoked")


def _accept(kind: str, piece: Piece, claim: Claim, chain: tuple[Certificate, ...]) -> Verdict:
    signer, anchor = chain[0].subject_text, chain[-1].subject_text
    under = f"under {anchor}" if len(chain) > 1 else "which is an anchor itself"
    name, _ = claim.content_digest()
    return piece.accepted(kind, f"signed by {signer}, {under} ({name})", signer=signer, covered=claim.covered,
                          keys=(parse_public_key(chain[0].spki),))
