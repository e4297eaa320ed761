"""One table over every kind of judgement: what is presented, under which policy, and what comes of it.

A kind has a maker, which gives its rows: a `Trial` for what can be tried, an `Absent` with the reason for what cannot.
The artefacts are made by the tools that people use. `python -m tests.builders.judgements` writes the verdicts to
tests/golden/judgements/table.txt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from shim.errors import ConfigError, VerifyError
from shim.model import Artifact, Candidate, Entry, Role, Verdict
from shim.system.blobs import MemoryBlob
from shim.verify import verify
from shim.verify.policy_file import parse_policy
from tests.builders.debian import package

GOLDEN = Path(__file__).parents[2] / "golden" / "judgements" / "table.txt"
CASES = (
    "good", "tampered", "wrong key", "expired", "revoked", "downgraded hash", "truncated", "duplicated",
    "another role", "replayed",
)  # fmt: skip
MODES = ("enforce", "audit")
LINE = "root=/dev/vda2 ro"
VOLUME = "vda1"
PATHS = {Role.KERNEL: "/vmlinuz", Role.UKI: "/linux.efi", Role.INITRD: "/initrd.img", Role.MANIFEST: "/manifest.toml",
         Role.OSPKG: "/ospkg/os.zip"}
STARTED = (Role.KERNEL, Role.UKI, Role.OSPKG)
WITH_LINE = (Role.UKI, Role.OSPKG)
NOTHING: Mapping[str, bytes] = MappingProxyType({})


class File(NamedTuple):
    """A file, and what lies beside it, by suffix; for a command line, signatures of root hashes by their volumes."""

    data: bytes
    beside: Mapping[str, bytes] = NOTHING

    def cut(self, size: int = 1) -> File:
        return File(self.data[:-size], self.beside)

    def spoiled(self) -> File:
        """Return the file with one bit of its middle turned over."""
        at = len(self.data) // 2
        return File(self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1 :], self.beside)

    def changed(self, **beside: bytes) -> File:
        """Return it with other files beside it."""
        return File(self.data, {f".{suffix}": data for suffix, data in beside.items()})


class Trial(NamedTuple):
    """One presentation: a file in a role under a policy (`table`, which names `files`). `proof` is the
    manifest of its volume.
    """

    kind: str
    case: str
    what: str
    role: Role
    file: File
    table: Mapping[str, object]
    files: Mapping[str, bytes]
    proof: File | None = None
    path: str | None = None


class Absent(NamedTuple):
    """A case that a kind does not have, and why."""

    kind: str
    case: str
    why: str


Row = Trial | Absent


class Outcome(NamedTuple):
    """What came of a trial in a mode: whether it passes, the verdict on the file, and the sentence that stops the boot.

    Without a verdict there was no policy to judge by: it was refused when it was read.
    """

    passes: bool
    verdict: Verdict | None
    sentence: str


class Bench:
    """Where the rows of a kind are made. `top` are the keys of its policy outside of the role's table."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.names: dict[str, str] = {}
        self.top: dict[str, object] = {}
        self.files: dict[str, bytes] = {}

    def named(self, text: str, name: str) -> str:
        """Let a text that differs from run to run be shown by a name."""
        self.names[text] = name
        return text

    def trial(
        self, case: str, what: str, file: File, role: Role = Role.KERNEL, *, rule: Mapping[str, object] = NOTHING,
        proof: File | None = None, path: str | None = None, files: Mapping[str, bytes] = NOTHING, **top: object,
    ) -> Trial:  # fmt: skip
        table = {**self.top, **top, role.value: {"require": [self.kind], **rule}}
        return Trial(self.kind, case, what, role, file, table, {**self.files, **files}, proof, path)

    def absent(self, case: str, why: str) -> Absent:
        return Absent(self.kind, case, why)

    def needs_two(self, file: File, what: str, role: Role = Role.KERNEL) -> Trial:
        """Return the trial of a file that is approved twice by one, where two are needed."""
        return self.trial("duplicated", f"{what}, where two signers are needed", file, role, rule={"threshold": 2})


def judge(trial: Trial, mode: str) -> Outcome:
    """Judge a whole boot in which only the file on trial could be refused."""
    try:
        policy = parse_policy({**_others(trial.role), **trial.table, "mode": mode}, trial.files.__getitem__)
    except ConfigError as problem:
        return Outcome(False, None, str(problem))
    try:
        verdicts = verify(_candidate(trial), policy, hashlib.sha256).verdicts
    except VerifyError as problem:
        verdict = next(one for one in problem.verdicts if one.role is trial.role)
        return Outcome(False, verdict, str(problem))
    return Outcome(True, next(one for one in verdicts if one.role is trial.role), "")


def _others(role: Role) -> dict[str, object]:
    rules: dict[str, object] = {Role.CMDLINE.value: {"require": ["exact"], "exact": [LINE]}}
    if role not in STARTED:
        rules[Role.KERNEL.value] = {"require": ["sha256"], "sha256": [hashlib.sha256(real_kernel()).hexdigest()]}
    return rules


def _candidate(trial: Trial) -> Candidate:
    entry, role = Entry(id="entry", dialect="bls1", volume=VOLUME, source="/entry.conf:1"), trial.role
    mine = _artifact(role, trial.file, trial.path)
    kernel = mine if role in STARTED else _artifact(Role.KERNEL, File(real_kernel()))
    return Candidate(
        entry=entry, kernel=kernel, initrds=(mine,) if role is Role.INITRD else (),
        cmdline=trial.file.data.decode() if role is Role.CMDLINE else None if role in WITH_LINE else LINE,
        manifest=trial.proof and _artifact(Role.MANIFEST, trial.proof),
        root_hashes=tuple(trial.file.beside.items()) if role is Role.CMDLINE else (),
    )


def _artifact(role: Role, file: File, path: str | None = None) -> Artifact:
    return Artifact(
        role=role, name=f"{VOLUME}:{path or PATHS.get(role, '')}", size=len(file.data), blob=MemoryBlob(file.data),
        sha256=hashlib.sha256(file.data).digest(), beside=tuple(file.beside.items()),
    )


def real_kernel() -> bytes:
    """Return a small kernel that is real: Debian's memtest86+, a bzImage."""
    return (package("memtest86+") / "boot/memtest86+x64.bin").read_bytes()


def previous_kernel() -> bytes:
    """Return another one, for the version before."""
    return (package("memtest86+") / "boot/memtest86+ia32.bin").read_bytes()


def write_rows(rows: Iterable[Row], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the table for the rows of one kind."""
    case = ""
    for row in rows:
        if row.case != case:
            case = row.case
            yield f"\n{case}"
        if isinstance(row, Absent):
            yield f"  - {row.why}"
            continue
        yield f"  {row.what}"
        for mode in MODES:
            yield shown(f"    {mode:<8} {_told(judge(row, mode))}", names)


def shown(line: str, names: Mapping[str, str]) -> str:
    """Return a line with names in place of what differs from run to run. Raises ValueError for what has no name."""
    for text in sorted(names, key=len, reverse=True):
        line = line.replace(text, names[text])
    nameless = re.search(r"[0-9A-Fa-f]{16,}", line)
    if nameless:
        raise ValueError(f"no name for {nameless[0]}: {line}")
    return line


def _told(outcome: Outcome) -> str:
    verdict = outcome.verdict
    if verdict is None:
        return f"no policy: {outcome.sentence}"
    if not outcome.passes:
        return f"stopped: {outcome.sentence}"
    if not verdict.accepted:
        return f"passes all the same: refused by {verdict.rule}: {verdict.reason}"
    return f"passes: taken by {verdict.rule}, signer {verdict.signer or '-'}: {verdict.reason}"
