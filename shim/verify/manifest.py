"""The kind "manifest": what stands in the volume's manifest, which some other kind has to trust first.

The manifest speaks for a boot as a whole: kernel, initrds, device tree and command line come out of one and the same.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role
from shim.verify.piece import Proof

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.manifest import Manifest
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "manifest"
ROLES: tuple[Role, ...] = tuple(role for role in Role if role is not Role.MANIFEST)
SUFFIXES: tuple[str, ...] = ()


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: they stand in the manifest."""
    raise ConfigError("what a manifest lists stands in it, not here", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> tuple[Verdict, ...]:
    """Accept what the manifest lists. Raises VerifyError for all else."""
    manifest, proof = piece.proof.manifest, piece.proof.verdict
    if manifest is None:
        raise VerifyError(piece.proof.problem)
    if piece.role is Role.CMDLINE:
        if bytes(piece.data) not in [line.encode("utf-8") for line in manifest.cmdlines]:
            raise VerifyError("it is none of the manifest's command lines")
    else:
        _check_file(piece, manifest)
    signer, keys = (proof.signer, proof.keys) if proof else (None, ())
    reason = f"it stands in the manifest, version {manifest.version}"
    sentence = f"{reason}, {signer}" if signer else reason
    return (piece.accepted(NAME, sentence, signer=signer, covered="all bytes", keys=keys),)


def read_manifest(piece: Piece, verdict: Verdict, policy: Policy) -> Proof:
    """Return what a manifest says once it is trusted. `piece` is the manifest itself."""
    from shim.formats.manifest import parse_manifest
    from shim.verify.openpgp import is_cleartext

    if not verdict.accepted:
        return Proof(problem=f"the manifest is not trusted: {verdict.reason}")
    try:
        data = bytes(piece.data)
        if is_cleartext(data):
            from shim.formats.openpgp_armor import parse_cleartext

            data = parse_cleartext(data).text
        manifest = parse_manifest(data)
    except FormatError as problem:
        return Proof(problem=f"the manifest cannot be used: {problem}")
    if policy.manifest_problem is not None:
        return Proof(problem=f"no manifest is taken: {policy.manifest_problem}")
    if manifest.version < policy.manifest_minimum:
        return Proof(problem=f"the manifest is too old: version {manifest.version}, at least "
                             f"{policy.manifest_minimum} is needed")
    return Proof(manifest=manifest, verdict=verdict)


def _check_file(piece: Piece, manifest: Manifest) -> None:
    path = piece.name.partition(":")[2]
    row = manifest.find(path)
    if row is None:
        raise VerifyError("the manifest does not name it", path=path)
    if (row.size, row.sha256) != (len(piece.data), piece.sha256):
        raise VerifyError("it is not what the manifest lists", path=path, expected=row.sha256, found=piece.sha256)
