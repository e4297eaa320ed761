"""The kind "cms": a detached CMS signature beside a file, FILE.p7s, FILE.p7 or FILE.sig. Spec: RFC 5652, 5.

Each of these files holds one signature in DER, or in PEM any number (RFC 7468, 8 and 9). As for Authenticode one good
signer is enough, and one revoked certificate above any signer refuses the file.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.verify.piece import FILE_ROLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.pkcs7 import SignedData, Signer
    from shim.model import Role, Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy
    from shim.verify.signers import Claim

NAME = "cms"
ROLES: tuple[Role, ...] = FILE_ROLES
SUFFIXES: tuple[str, ...] = (".p7s", ".p7", ".sig")
USES_ANCHORS = True
PEM_LABELS = ("CMS", "PKCS7")
SIGNATURE_SIZE_MAX = 1 << 18
SIGNATURES_MAX = 16


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are the anchors of the policy."""
    raise ConfigError("anchors stand in policy.anchors, not here", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signer whose chain leads to an anchor. Raises VerifyError when there is none."""
    from shim.verify.signers import judge_claims

    problems: list[str] = []
    claims = list(_claims(piece, problems))
    if not claims and not problems:
        raise VerifyError(f"no signature lies beside it ({', '.join(SUFFIXES)})")
    return judge_claims(NAME, piece, policy, claims, problems)


def _claims(piece: Piece, problems: list[str]) -> Iterator[Claim]:
    """Yield a claim for every signer of every readable signature; tell of the unreadable ones."""
    from shim.formats.pkcs7 import parse_signed_data

    for place, data in _signatures(piece, problems):
        try:
            yield from detached_claims(place, parse_signed_data(data), piece, "all bytes")
        except FormatError as problem:
            problems.append(f"{place}: {problem}")


def _signatures(piece: Piece, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    left = SIGNATURES_MAX
    for suffix in SUFFIXES:
        if suffix not in piece.beside:
            continue
        try:
            blocks = _blocks(piece.beside[suffix])
        except FormatError as problem:
            problems.append(f"its {suffix}: {problem}")
            continue
        left -= len(blocks)
        if left < 0:
            raise VerifyError("too many signatures lie beside it", expected=SIGNATURES_MAX)
        for number, block in enumerate(blocks, 1):
            yield f"its {suffix}" if number == 1 else f"its {suffix}, signature {number}", block


def _blocks(data: bytes) -> tuple[bytes, ...]:
    """Return the signatures in a file. Raises FormatError for text that holds none."""
    from shim.formats.pem import PEM_BEGIN, parse_pem

    if len(data) > SIGNATURE_SIZE_MAX:
        raise FormatError("signature is too long", expected=SIGNATURE_SIZE_MAX, found=len(data))
    if not data.startswith(PEM_BEGIN) and b"\n" + PEM_BEGIN not in data:
        return (data,)
    labels = [label for label in PEM_LABELS if f"{PEM_BEGIN.decode()}{label}-----".encode() in data]
    blocks = tuple(block for label in labels for block in parse_pem(data, label))
    if not blocks:
        raise FormatError("PEM has no signature", expected=" ".join(PEM_LABELS))
    return blocks


def detached_claims(place: str, signed: SignedData, content: Piece, covered: str) -> Iterator[Claim]:
    """Yield a claim for every signer of a signature over all bytes of `content`.

    Raises FormatError for a signature over something else than a file beside it.
    """
    from shim.formats.pkcs7 import DATA
    from shim.verify.signers import claims_of

    if signed.content_type != DATA:
        raise FormatError("signature is not one over plain data", found=signed.content_type)
    if signed.content is not None:
        raise FormatError("signature is not detached: it has content of its own", at=signed.content.at)
    yield from claims_of(
        place, signed, lambda signer: _content_digest(content, signed, signer),
        mismatch="the file is not what was signed", covered=covered,
    )  # fmt: skip


def _content_digest(content: Piece, signed: SignedData, signer: Signer) -> tuple[str, bytes]:
    from shim.formats.digests import digest_name

    name = digest_name(signer.digest_algorithm)
    if signer.digest_algorithm not in signed.digest_algorithms:
        raise VerifyError("signature does not list the signer's hash function", found=name)
    if signer.signed is None and _could_be_attributes(content):
        raise VerifyError("the file could be the signed attributes of another signature")
    return name, content.digest(name)


def _could_be_attributes(content: Piece) -> bool:
    """Say whether a file is the encoding of a SET.

    A signature over signed attributes is, with these taken away, one over their encoding as a file: nobody has signed
    such a file on purpose.
    """
    from shim.formats.der import SET, SIZE_MAX, parse_der

    if bytes(content.data[:1]) != bytes([SET]) or len(content.data) > SIZE_MAX:
        return False
    try:
        parse_der(bytes(content.data), "attributes", SET)
    except FormatError:
        return False
    return True
