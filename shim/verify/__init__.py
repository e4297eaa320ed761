"""Verify: from a `Candidate` to `Verified`, by the policy. Nothing else makes a `Verified`.

Every piece that a kernel would see is judged for its role: the kernel or UKI, each initrd, the command line, the
device tree. A UKI's signature covers its own parts; what comes beside it (an initrd, another command line) needs a
rule of its own. What lies beside a UKI for its stub to pick up is not part of what was asked for: a file of these that
no rule takes is left out, and the rest is booted.
"""

from __future__ import annotations

from shim.errors import VerifyError
from shim.formats.digests import SHA256, digest_of
from shim.model import Role, Verified
from shim.verify.kinds import KINDS
from shim.verify.piece import Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.digests import NewHash
    from shim.model import Artifact, Candidate, Verdict
    from shim.verify.policy import Policy

__all__ = ["judge_piece", "verify"]
PROGRAMS = (Role.KERNEL, Role.UKI, Role.ADDON)


def verify(candidate: Candidate, policy: Policy, new_hash: NewHash) -> Verified:
    """Judge every piece of a candidate; return the proof when all are accepted, of its extras those that are.

    `new_hash` starts a SHA-256. Raises VerifyError with the first refusal; its `verdicts` are all that were made.
    """
    verdicts = tuple(judge_piece(piece, policy) for piece in _pieces(candidate, new_hash))
    for verdict in verdicts:
        if not verdict.accepted:
            refusal = VerifyError(f"the {verdict.role.value} is not trusted: {verdict.reason}", file=verdict.name)
            refusal.verdicts = verdicts
            raise refusal
    judged = [(extra, judge_piece(_piece(extra.artifact, new_hash), policy)) for extra in candidate.extras]
    taken = tuple(extra for extra, verdict in judged if verdict.accepted)
    if len(taken) < len(candidate.extras):
        candidate = candidate.replace(extras=taken)
    return Verified(candidate=candidate, verdicts=(*verdicts, *(verdict for _, verdict in judged)))


def judge_piece(piece: Piece, policy: Policy) -> Verdict:
    """Return the verdict on one piece: that of the first kind which accepts it, else all reasons against it."""
    required = policy.required(piece.role)
    if not required:
        return piece.refused("none", f"the policy has no rule that would take a {piece.role.value}")
    problems: list[str] = []
    try:
        _check_not_revoked(piece, policy)
        for name in required:
            try:
                return KINDS[name].judge(piece, policy)
            except VerifyError as problem:
                problems.append(str(problem))
    except VerifyError as problem:
        return piece.refused("dbx", str(problem))
    return piece.refused(" or ".join(required), "; ".join(problems))


def _pieces(candidate: Candidate, new_hash: NewHash) -> Iterator[Piece]:
    yield _piece(candidate.kernel, new_hash)
    if candidate.cmdline is not None:
        yield _cmdline_piece(candidate.cmdline, new_hash)
    elif candidate.kernel.role is not Role.UKI:
        raise VerifyError("a kernel that is no UKI has no command line of its own", file=candidate.kernel.name)
    for initrd in candidate.initrds:
        yield _piece(initrd, new_hash)
    if candidate.devicetree is not None:
        yield _piece(candidate.devicetree, new_hash)


def _piece(artifact: Artifact, new_hash: NewHash) -> Piece:
    return Piece(artifact.role, artifact.name, artifact.blob.view(), artifact.sha256, new_hash)


def _cmdline_piece(cmdline: str, new_hash: NewHash) -> Piece:
    try:
        line = cmdline.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise VerifyError("the command line is not UTF-8", at=problem.start) from problem
    if b"\0" in line:
        raise VerifyError("the command line has a NUL inside", at=line.index(b"\0"))
    return Piece(Role.CMDLINE, "the command line", line, digest_of(SHA256, line, new_hash), new_hash)


def _check_not_revoked(piece: Piece, policy: Policy) -> None:
    """Raise VerifyError for bytes that the policy's dbx names, whatever else would speak for them."""
    revoked = policy.revoked
    if revoked.has_image(SHA256, piece.sha256):
        raise VerifyError("its SHA-256 is revoked", sha256=piece.sha256)
    if piece.role not in PROGRAMS or bytes(piece.data[:2]) != b"MZ":
        return
    try:
        image = piece.image
    except VerifyError:
        return  # no image digest is defined for it; only kinds that judge all its bytes can still accept it
    for name in revoked.image_digests:
        for digest in {image.digest(name), image.padded_digest(name)}:
            if revoked.has_image(name, digest):
                raise VerifyError("its image digest is revoked", digest=name, found=digest)
