"""The kind "authenticode": a PE kernel, UKI or add-on with a signature that leads to an anchor.

One good signature is enough, wherever it stands: in any entry of the certificate table, by any signer of it, or
nested in another one. But one revoked certificate above any signer refuses the file.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.authenticode import Signature
    from shim.formats.pkcs7 import Signer
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy
    from shim.verify.signers import Claim

NAME = "authenticode"
ROLES: tuple[Role, ...] = (Role.KERNEL, Role.UKI, Role.ADDON)
SUFFIXES: tuple[str, ...] = ()
USES_ANCHORS = True
HOLES = "all but checksum, certificate slot and certificate table"


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are the anchors of the policy."""
    raise ConfigError("anchors stand in policy.anchors, not here", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signer whose chain leads to an anchor. Raises VerifyError when there is none."""
    from shim.verify.signers import judge_claims

    problems: list[str] = []
    claims = list(_claims(piece, problems))
    return judge_claims(NAME, piece, policy, claims, problems)


def _claims(piece: Piece, problems: list[str]) -> Iterator[Claim]:
    """Yield a claim for every signer of every readable signature; tell of the unreadable ones."""
    for place, signature in _signatures(piece, problems):
        yield from _signature_claims(piece, place, signature)


def _signature_claims(piece: Piece, place: str, signature: Signature) -> Iterator[Claim]:
    from shim.verify.signers import claims_of

    return claims_of(
        place, signature.signed, lambda signer: _content_digest(piece, signature, signer),
        mismatch="signed attributes do not belong to the image digest",
        covered=f"{piece.image.hashed_size} of {len(piece.data)} bytes: {HOLES}",
    )  # fmt: skip


def _content_digest(piece: Piece, signature: Signature, signer: Signer) -> tuple[str, bytes]:
    """Return the digest of the signed content, which must hold the digest of the image.

    Spec: Authenticode (2008), SignerInfo. Raises VerifyError or FormatError.
    """
    from shim.formats.digests import digest_name, digest_of

    name, signed = digest_name(signature.digest_algorithm), signature.signed
    named = {signature.digest_algorithm, signer.digest_algorithm}
    if len(named) > 1 or not named.issubset(signed.digest_algorithms):
        raise VerifyError("signature names different hash functions", image=name, signer=signer.digest_algorithm)
    if piece.image.digest(name) != signature.digest:
        raise VerifyError("the file is not what was signed", digest=name, expected=signature.digest)
    if signer.signed is None or signer.key_id is not None:
        raise VerifyError("signature has no signed attributes, or names its signer by a key")
    return name, digest_of(name, signature.content, piece.new_hash)


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
