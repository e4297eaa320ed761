"""Verify: from a `Candidate` to `Verified`, by the policy. Nothing else makes a `Verified`.

Every piece that a kernel would see is judged for its role: the kernel or UKI, each initrd, the command line, the
device tree. A UKI's signature covers its own parts, and that of an OS package its own; what comes beside it (an initrd,
another command line) needs a rule of its own. The boot configuration that an entry was read from is judged where the
policy has a rule for it. An OS package is unpacked once it is accepted, and not before. What lies beside a UKI for its
stub to pick up is not part of what was asked for: a file of these that no rule takes is left out, and the rest is
booted.
"""

from __future__ import annotations

from itertools import islice
from types import MappingProxyType

from shim.errors import FormatError, VerifyError
from shim.formats.digests import SHA256, digest_of
from shim.model import Role, Verified
from shim.verify.age import check_age
from shim.verify.kinds import KINDS
from shim.verify.origin import origin_of
from shim.verify.piece import NO_PROOF, Piece, Proof
from shim.verify.revoked import check_not_revoked
from shim.verify.sbat import check_sbat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from shim.formats.digests import NewHash
    from shim.model import Artifact, Candidate, Verdict, Volume
    from shim.verify.policy import Policy

__all__ = ["judge_piece", "verify"]
WITH_CMDLINE = (Role.UKI, Role.OSPKG)  # bring a command line of their own


def verify(
    candidate: Candidate, policy: Policy, new_hash: NewHash, volumes: Mapping[str, Volume] = MappingProxyType({})
) -> Verified:
    """Judge every piece of a candidate; return the proof when all are accepted, of its extras those that are.

    `new_hash` starts a SHA-256; `volumes` are those that the pieces come from, by name. Raises VerifyError with the
    first refusal; its `verdicts` are all that were made. A policy that only audits refuses nothing: its refusals stand
    among the verdicts of the proof.
    """
    def policy_for(piece: Piece) -> Policy:
        name = f"{candidate.entry.volume}:{candidate.entry.source}" if piece.role is Role.CMDLINE else piece.name
        return policy.on(origin_of(name, volumes))

    proof = _read_proof(candidate, policy_for, new_hash)
    verdicts = tuple(judge_piece(piece, policy_for(piece)) for piece in _pieces(candidate, new_hash, proof))
    configuration = ((piece, policy_for(piece)) for piece in _configuration(candidate, new_hash, proof))
    verdicts += tuple(judge_piece(piece, rules) for piece, rules in configuration if rules.judges(Role.ENTRY))
    if proof.verdict is not None:
        verdicts = (proof.verdict, *verdicts)
    try:
        _demand(verdicts, policy)
        if candidate.kernel.role is Role.OSPKG:
            candidate = _unpack(candidate)
    except VerifyError as refusal:
        refusal.verdicts = verdicts
        raise
    judged = [(extra, judge_piece(piece, policy_for(piece)))
              for extra in candidate.extras for piece in (_piece(extra.artifact, new_hash, proof),)]
    taken = tuple(extra for extra, verdict in judged if verdict.accepted or policy.audit)
    if len(taken) < len(candidate.extras):
        candidate = candidate.replace(extras=taken)
    return Verified(candidate=candidate, verdicts=(*verdicts, *(verdict for _, verdict in judged)))


def _demand(verdicts: Iterable[Verdict], policy: Policy) -> None:
    """Raise VerifyError with the first refusal, where the policy does more than audit."""
    for verdict in verdicts:
        if not verdict.accepted and not policy.audit:
            raise VerifyError(f"the {verdict.role.value} is not trusted: {verdict.reason}", file=verdict.name)


def _unpack(candidate: Candidate) -> Candidate:
    """Return a candidate with its OS package unpacked. Raises VerifyError for one that makes no sense."""
    from shim.formats.ospkg import unpack_package

    try:
        package = unpack_package(candidate.kernel.blob.view(), candidate.room)
    except FormatError as problem:
        raise VerifyError(f"the OS package cannot be used: {problem}", file=candidate.kernel.name) from problem
    return candidate.replace(package=package)


def judge_piece(piece: Piece, policy: Policy) -> Verdict:
    """Return the verdict on one piece: of the first kinds and signers that are enough, else all reasons against it."""
    required = policy.required(piece.role)
    if not required:
        return piece.refused("none", f"the policy has no rule that would take a {piece.role.value}")
    for name, check in (("dbx", check_not_revoked), ("sbat", check_sbat), ("minimum_version", check_age)):
        try:
            check(piece, policy)
        except VerifyError as problem:
            return piece.refused(name, str(problem))
    threshold, problems = policy.threshold(piece.role), list[str]()
    approvals = list(islice(_approvals(piece, policy, required, problems), threshold))
    if len(approvals) == threshold:
        return _joined(piece, approvals)
    if threshold > 1:
        names = [approval.reason for approval in approvals]
        problems.insert(0, f"{len(approvals)} of {threshold} approvals: {', '.join(names) or 'none'}")
    return piece.refused(" or ".join(required), "; ".join(problems))


def _approvals(
    piece: Piece, policy: Policy, required: tuple[str, ...], problems: list[str]
) -> Iterator[Verdict]:
    """Give the verdict of every kind and signer that speaks for a piece; keep the reasons of those that do not.

    A key that signed in several ways speaks once: who stands behind an approval stands behind no other one.
    """
    keys: set[Hashable] = set()
    for name in required:
        try:
            for verdict in KINDS[name].judge(piece, policy):
                if keys.isdisjoint(verdict.keys):
                    keys.update(verdict.keys)
                    yield verdict
                elif (again := f"{verdict.signer} has approved already") not in problems:
                    problems.append(again)
        except VerifyError as problem:
            problems.append(str(problem))


def _joined(piece: Piece, approvals: list[Verdict]) -> Verdict:
    """Return one verdict that says what several say."""
    if len(approvals) == 1:
        return approvals[0]
    return piece.accepted(
        " and ".join(dict.fromkeys(approval.rule for approval in approvals)),
        "; ".join(approval.reason for approval in approvals),
        signer=", ".join(approval.signer or approval.rule for approval in approvals),
        covered="; ".join(dict.fromkeys(approval.covered or "" for approval in approvals)),
        keys=tuple(key for approval in approvals for key in approval.keys),
    )


def _read_proof(candidate: Candidate, policy_for: Callable[[Piece], Policy], new_hash: NewHash) -> Proof:
    """Return what the manifest of the kernel's volume says; one that is not trusted says nothing, and harms nobody."""
    if candidate.manifest is None:
        return NO_PROOF
    from shim.verify.manifest import read_manifest

    piece = _piece(candidate.manifest, new_hash)
    policy = policy_for(piece)
    return read_manifest(piece, judge_piece(piece, policy), policy)


def _pieces(candidate: Candidate, new_hash: NewHash, proof: Proof) -> Iterator[Piece]:
    yield _piece(candidate.kernel, new_hash, proof)
    if candidate.cmdline is not None:
        yield _cmdline_piece(candidate, candidate.cmdline, new_hash, proof)
    elif candidate.kernel.role not in WITH_CMDLINE:
        raise VerifyError("a kernel alone has no command line of its own", file=candidate.kernel.name)
    for initrd in candidate.initrds:
        yield _piece(initrd, new_hash, proof)
    if candidate.devicetree is not None:
        yield _piece(candidate.devicetree, new_hash, proof)


def _configuration(candidate: Candidate, new_hash: NewHash, proof: Proof) -> Iterator[Piece]:
    return (_piece(artifact, new_hash, proof) for artifact in candidate.configuration)


def _piece(artifact: Artifact, new_hash: NewHash, proof: Proof = NO_PROOF) -> Piece:
    view = artifact.blob.view()
    return Piece(artifact.role, artifact.name, view, artifact.sha256, new_hash, dict(artifact.beside), proof)


def _cmdline_piece(candidate: Candidate, cmdline: str, new_hash: NewHash, proof: Proof) -> Piece:
    try:
        line = cmdline.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise VerifyError("the command line is not UTF-8", at=problem.start) from problem
    if b"\0" in line:
        raise VerifyError("the command line has a NUL inside", at=line.index(b"\0"))
    beside = dict(candidate.root_hashes)
    return Piece(Role.CMDLINE, "the command line", line, digest_of(SHA256, line, new_hash), new_hash, beside, proof)
