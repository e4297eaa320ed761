"""The kind "appended": a CMS signature at the end of the file, as kernel modules and kernels for IEEE 1275 have it.

Only the last signature of a file is judged: it covers all that stands before it. What is revoked by its digest is
looked for without the signature, too: bytes of a signature that it does not cover itself can be changed.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.modsig import AppendedSignature
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "appended"
ROLES: tuple[Role, ...] = (Role.KERNEL, Role.INITRD, Role.DEVICETREE)
SUFFIXES: tuple[str, ...] = ()
USES_ANCHORS = True


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are the anchors of the policy."""
    raise ConfigError("anchors stand in policy.anchors, not here", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signer whose chain leads to an anchor. Raises VerifyError when there is none."""
    from shim.formats.pkcs7 import parse_signed_data
    from shim.verify.cms import detached_claims
    from shim.verify.revoked import check_not_revoked
    from shim.verify.signers import judge_claims

    found = _signature(piece)
    content = piece.before(found.content_size)
    check_not_revoked(content, policy)
    covered = f"{found.content_size} of {len(piece.data)} bytes: all before the signature"
    try:
        signed = parse_signed_data(found.signature)
        claims = list(detached_claims("appended signature", signed, content, covered))
    except FormatError as problem:
        raise VerifyError(f"appended signature: {problem}") from problem
    return judge_claims(NAME, piece, policy, claims, [])


def _signature(piece: Piece) -> AppendedSignature:
    from shim.formats.modsig import find_appended

    try:
        found = find_appended(piece.data)
    except FormatError as problem:
        raise VerifyError(str(problem)) from problem
    if found is None:
        raise VerifyError("no signature is appended to it")
    return found
