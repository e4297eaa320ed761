"""The kind "authenticode": a PE kernel, UKI or add-on with a signature that leads to an anchor.

One good signature is enough, wherever it stands: in any entry of the certificate table, by any signer of it, or
nested in another one. But one revoked certificate above any signer refuses the file, as UEFI 2.10, 32.5.3.3 has it.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.authenticode import Signature
    from shim.formats.pkcs7 import Signer
    from shim.formats.x509 import Certificate
    from shim.model import Verdict
    from shim.verify.keys import SignatureChecker
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "authenticode"
ROLES: tuple[Role, ...] = (Role.KERNEL, Role.UKI, Role.ADDON)
HOLES = "all but checksum, certificate slot and certificate table"


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are the anchors of the policy."""
    raise ConfigError("anchors stand in policy.anchors, not here", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> Verdict:
    """Return the verdict of the first signature that leads to an anchor. Raises VerifyError when there is none."""
    from shim.verify.keys import SignatureChecker

    problems: list[str] = []
    checker = SignatureChecker(piece.new_hash)
    signers = list(_signers(piece, problems))
    for _, signature, signer in signers:
        _check_revoked(policy, signature, signer, checker)
    for place, signature, signer in signers:
        try:
            _check_digest(piece, signature, signer)
            chain = _check_signer(policy, signature, signer, checker)
        except (FormatError, VerifyError) as problem:
            problems.append(f"{place}: {problem}")
            continue
        return _accept(piece, signature, chain)
    raise VerifyError("; ".join(problems) or "it carries no signature")


def _check_digest(piece: Piece, signature: Signature, signer: Signer) -> None:
    """Raise VerifyError or FormatError unless the signed attributes lead to the digest of the image.

    Spec: RFC 5652, 5.4 and 11; Authenticode (2008), SignerInfo.
    """
    from shim.formats.der import parse_octets, parse_oid
    from shim.formats.digests import digest_name, digest_of
    from shim.formats.pkcs7 import CONTENT_TYPE, MESSAGE_DIGEST

    name, signed = digest_name(signature.digest_algorithm), signature.signed
    named = {signature.digest_algorithm, signer.digest_algorithm}
    if len(named) > 1 or not named.issubset(signed.digest_algorithms):
        raise VerifyError("signature names different hash functions", image=name, signer=signer.digest_algorithm)
    if piece.image.digest(name) != signature.digest:
        raise VerifyError("the file is not what was signed", digest=name, expected=signature.digest)
    if parse_oid(signer.attribute(CONTENT_TYPE)) != signed.content_type:
        raise VerifyError("signed attributes name another content type")
    if parse_octets(signer.attribute(MESSAGE_DIGEST)) != digest_of(name, signed.content.content, piece.new_hash):
        raise VerifyError("signed attributes do not belong to the image digest")


def _check_signer(
    policy: Policy, signature: Signature, signer: Signer, checker: SignatureChecker
) -> tuple[Certificate, ...]:
    """Return the chain from the signer to an anchor. Spec: RFC 5652, 5.6. Raises VerifyError when there is none."""
    from shim.formats.digests import digest_name
    from shim.verify.chain import ChainBuilder

    name, carried = digest_name(signature.digest_algorithm), signature.signed.certificates
    problem = VerifyError("the signer's certificate is not there", serial=hex(signer.serial))
    for certificate in _certificates_of(signer, (*carried, *policy.anchors)):
        try:
            chain = ChainBuilder(carried, policy.anchors, checker).build(certificate)
            checker.check(certificate.spki, signer.signature_algorithm, signer.signed, signer.signature, name)
            return chain
        except VerifyError as found:
            problem = found
    raise problem


def _certificates_of(signer: Signer, pool: tuple[Certificate, ...]) -> list[Certificate]:
    """Return the certificates that a signer names; hostile ones may share a name and a serial number."""
    named = (signer.issuer, signer.serial)
    return [one for one in dict.fromkeys(pool) if (one.issuer, one.serial) == named]


def _signers(piece: Piece, problems: list[str]) -> Iterator[tuple[str, Signature, Signer]]:
    """Yield every signer of every readable signature with the words for its place; tell of the unreadable ones."""
    for place, signature in _signatures(piece, problems):
        for number, signer in enumerate(signature.signed.signers, 1):
            yield place if number == 1 else f"{place}, signer {number}", signature, signer


def _signatures(piece: Piece, problems: list[str]) -> Iterator[tuple[str, Signature]]:
    from shim.formats.authenticode import certificate_entries, parse_nested, parse_signature

    try:
        entries = certificate_entries(piece.data, piece.image.pe)
    except FormatError as problem:
        raise VerifyError(str(problem)) from problem
    for number, entry in enumerate(entries, 1):
        place = f"signature {number}"
        if not entry.is_signature:
            problems.append(f"{place}: not PKCS #7 (certificate type {entry.certificate_type:#x})")
            continue
        try:
            signature = parse_signature(entry.content)
        except FormatError as problem:
            problems.append(f"{place}: {problem}")
            continue
        yield place, signature
        for index, der in enumerate(signature.nested, 1):
            try:
                yield f"{place}, nested {index}", parse_nested(der)
            except FormatError as problem:
                problems.append(f"{place}, nested {index}: {problem}")


def _check_revoked(policy: Policy, signature: Signature, signer: Signer, checker: SignatureChecker) -> None:
    from shim.verify.chain import named_above

    pool = (*signature.signed.certificates, *policy.anchors)
    chain = dict.fromkeys(above for one in _certificates_of(signer, pool) for above in named_above(one, pool))
    for certificate in chain:
        if policy.revoked.has_certificate(certificate, checker.new_hash):
            raise VerifyError(f"the certificate of {certificate.subject_text} is revoked")
    for certificate in chain:
        issuer = policy.revoked.issuer_of(certificate, checker)
        if issuer is not None:
            name = certificate.subject_text
            raise VerifyError(f"the certificate of {issuer.subject_text}, which issued that of {name}, is revoked")


def _accept(piece: Piece, signature: Signature, chain: tuple[Certificate, ...]) -> Verdict:
    from shim.formats.digests import digest_name

    signer, anchor = chain[0].subject_text, chain[-1].subject_text
    under = f"under {anchor}" if len(chain) > 1 else "which is an anchor itself"
    name, size = digest_name(signature.digest_algorithm), piece.image.hashed_size
    return piece.accepted(
        NAME,
        f"signed by {signer}, {under} ({name})",
        signer=signer,
        covered=f"{size} of {len(piece.data)} bytes: {HOLES}",
    )
