"""How the tests of the verify stage ask for a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.piece import Piece
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from tests.builders.signing import Identity


def policy(
    anchors: Sequence[bytes | Identity] = (), *, dbx: Sequence[bytes] = (), **roles: Mapping[str, object]
) -> Policy:
    """Return a policy; without roles, kernels must be signed."""
    files = {f"anchor{i}": one.der if isinstance(one, Identity) else one for i, one in enumerate(anchors)}
    files |= {f"dbx{i}": one for i, one in enumerate(dbx)}
    table: dict[str, object] = dict(roles) or {"kernel": {"require": ["authenticode"]}}
    table["anchors"] = [name for name in files if name.startswith("anchor")]
    table["dbx"] = [name for name in files if name.startswith("dbx")]
    return parse_policy(table, files.__getitem__)


def judge(data: bytes, rules: Policy, role: Role = Role.KERNEL) -> Verdict:
    """Return the verdict on some bytes."""
    return judge_piece(Piece(role, "file", data, hashlib.sha256(data).digest(), hashlib.sha256), rules)


def accepts(data: bytes, *anchors: bytes | Identity) -> Verdict:
    """Check that a signed kernel is accepted."""
    verdict = judge(data, policy(anchors))
    assert verdict.accepted, verdict.reason
    return verdict


def reason_against(data: bytes, *anchors: bytes | Identity) -> str:
    """Check that a kernel is refused; return why."""
    verdict = judge(data, policy(anchors))
    assert not verdict.accepted, verdict.reason
    return verdict.reason
