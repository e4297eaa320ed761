"""What judging costs on this machine itself, by the runtime's own code: against one SHA-256 over the same bytes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shim.model import Role
from shim.system.calls import Sha256
from shim.verify import judge_piece
from shim.verify.piece import Piece
from shim.verify.policy_file import parse_policy
from tests.builders import debian
from tests.builders.keys import make_ca, make_leaf
from tests.builders.uki import make_uki, sign_pe

SIZE = 60_000_000
LIMIT = 1.3  # the goal: a verdict costs at most so many passes of SHA-256


class Judged(NamedTuple):
    """Seconds of one pass of SHA-256 and of one verdict over a UKI of `size` bytes, taken in turn: the least of each.

    What else the machine does only adds to a time, so the least is the closest to what the work itself costs.
    """

    size: int
    sha256: float
    verdict: float

    @property
    def ratio(self) -> float:
        return self.verdict / self.sha256


def measure_verdict(directory: Path, rounds: int) -> Judged:
    """Make a signed UKI of 60 MB, and judge it as at boot."""
    kernel = debian.kernel().image
    initrd = directory / "large.initrd"
    initrd.write_bytes(secrets.token_bytes(SIZE - kernel.stat().st_size))
    authority = make_ca(directory, "bench-ca")
    unsigned = make_uki(directory / "large.unsigned", kernel, [initrd], "quiet")
    data = sign_pe(unsigned, directory / "large.efi", make_leaf(directory, "bench-signer", authority)).read_bytes()
    table = {"anchors": ["ca"], "uki": {"require": ["authenticode"]}}
    policy = parse_policy(table, {"ca": authority.der.read_bytes()}.__getitem__)
    digest = sha256(data)

    def judge() -> None:
        verdict = judge_piece(Piece(Role.UKI, "large.efi", data, digest, Sha256), policy)
        if not verdict.accepted:
            raise RuntimeError(verdict.reason)

    judge()  # what is imported on the way is imported once
    passes, verdicts = [], []
    for _ in range(rounds):
        passes.append(timed(lambda: sha256(data)))
        verdicts.append(timed(judge))
    return Judged(len(data), min(passes), min(verdicts))


def sha256(data: bytes) -> bytes:
    running = Sha256()
    running.update(data)
    return running.digest()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
