"""Candidates that count as verified. Only tests may skip the policy: what it says is tested elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from shim.model import Artifact, Candidate, Entry, Role, Verified
from shim.system.blobs import MemoryBlob


def artifact(role: Role, data: bytes) -> Artifact:
    return Artifact(role=role, name=role.value, size=len(data), sha256=hashlib.sha256(data).digest(),
                    blob=MemoryBlob(data))


def verified(kernel: bytes, initrds: Sequence[bytes], cmdline: str | None) -> Verified:
    entry = Entry(id="test", dialect="bls1", volume="v", source="/x:1")
    candidate = Candidate(entry=entry, kernel=artifact(Role.KERNEL, kernel), cmdline=cmdline,
                          initrds=tuple(artifact(Role.INITRD, initrd) for initrd in initrds))
    return Verified(candidate=candidate, verdicts=())
