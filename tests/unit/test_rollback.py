"""The TPM's counter says from which version on manifests are taken; one that says nothing takes none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shim.errors import ConfigError, FormatError, MeasureError
from shim.formats.tpm2_nv import (
    INDEX_LAST,
    NvPublic,
    build_nv_read_counter,
    build_nv_read_public,
    parse_counter,
    parse_nv_public,
)
from shim.model import Role
from shim.system.clock import LinuxClock
from shim.system.recording import RecordingClock
from shim.system.recording_tpm import RecordingTpm
from shim.tpm import Dialogue
from shim.verify.manifest import read_manifest
from shim.verify.piece import Piece
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from shim.verify.rollback import remembered
from tests.builders.swtpm import TpmSocket, provision
from tests.unit.hostile import cuts, survives
from tests.unit.test_manifest import manifest

INDEX = 0x01800010
DEFINE = f"tpm2_nvdefine {INDEX:#x} -C o -a 'ownerwrite|authread|no_da|nt=counter'"
COUNT = f"tpm2_nvincrement {INDEX:#x} -C o"
READ = f"tpm2_nvread {INDEX:#x} | od -An -tx1"
GONE = f"tpm2_nvundefine {INDEX:#x} -C o"
PUBLIC = bytes.fromhex("000e 01800010 000b 22040012 0000 0008 0022") + b"\0" * 34
VALUE = bytes.fromhex("0000000a 0008 0000000000000007 0000 01 0000")


def policy(base: object = 0, counter: object = INDEX, minimum: int = 0) -> Policy:
    return parse_policy({
        "kernel": {"require": ["manifest"]},
        "manifest": {"require": ["sha256"], "path": "/m", "counter": counter, "counter_base": base,
                     "minimum_version": minimum},
    }, dict[str, bytes]().__getitem__)  # fmt: skip


def asked(state: Path, rules: Policy) -> Policy:
    with TpmSocket(state) as tpm:
        return remembered(rules, tpm, LinuxClock())


@pytest.mark.tools
def test_a_counter_made_by_tpm2_tools_is_the_least_version(tmp_path: Path) -> None:
    state = tmp_path / "state"
    told = provision(state, DEFINE, COUNT, READ)
    base = int(told.split(":")[1].replace(" ", "")[-16:], 16)
    assert asked(state, policy(base)).manifest_minimum == 0
    provision(state, COUNT, COUNT)
    assert asked(state, policy(base)).manifest_minimum == 2
    assert asked(state, policy(base, minimum=7)).manifest_minimum == 7
    assert asked(state, policy(base)).manifest_problem is None


@pytest.mark.tools
@pytest.mark.parametrize(("commands", "base", "sentence"), [
    ([], 0, "has no such index: it was never made, or was lost"),
    ([DEFINE], 0, "never counted up since it was made"),
    ([DEFINE, COUNT, GONE], 0, "has no such index"),
    ([DEFINE, COUNT], 9, "below its base: it is another TPM's (expected=9, found=1)"),
    ([DEFINE, COUNT, "tpm2_clear -c p"], 0, "has no such index"),
    ([f"tpm2_nvdefine {INDEX:#x} -s 8 -C o -a 'ownerwrite|authread|no_da'",
      f"printf 00000000 | tpm2_nvwrite {INDEX:#x} -C o -i -"], 0, "the index is no counter: it could be set back"),
    ([DEFINE.replace("authread", "ownerread"), COUNT], 0, "cannot be read without a password"),
    ([f"{DEFINE} -p secret", COUNT], 0, "TPM_RC_AUTH_FAIL|TPM_RC_BAD_AUTH"),
])  # fmt: skip
def test_a_counter_that_says_nothing_takes_no_manifest(
    commands: list[str], base: int, sentence: str, tmp_path: Path
) -> None:
    provision(tmp_path / "state", *commands)
    problem = asked(tmp_path / "state", policy(base)).manifest_problem
    assert problem is not None
    assert problem.startswith("the rollback counter 0x1800010 says nothing: ")
    assert any(part in problem for part in sentence.split("|")), problem


@pytest.mark.tools
def test_a_counter_made_again_is_above_all_that_was(tmp_path: Path) -> None:
    """What the fail-closed promise rests on: nobody sets it back, not by another index nor by clearing the TPM."""
    state = tmp_path / "state"
    provision(state, DEFINE, *[COUNT] * 3)
    for loss in (GONE, "tpm2_clear -c p"):
        before = asked(state, policy()).manifest_minimum
        provision(state, loss, DEFINE, COUNT)
        assert asked(state, policy()).manifest_minimum > before


def test_without_a_tpm_no_manifest_is_taken() -> None:
    found = remembered(policy(), RecordingTpm(), RecordingClock(0.0))
    assert "has no TPM 2.0" in (found.manifest_problem or "")
    piece = Piece(Role.MANIFEST, "vda1:/m", manifest(), b"", hashlib.sha256)
    listed = read_manifest(piece, piece.accepted("sha256", "it is listed"), found)
    assert (listed.manifest, listed.problem) == (None, f"no manifest is taken: {found.manifest_problem}")


def test_a_policy_without_a_counter_asks_nobody() -> None:
    tpm = RecordingTpm(["sha256"])
    rules = parse_policy({"kernel": {"require": ["unsigned"]}}, dict[str, bytes]().__getitem__)
    assert remembered(rules, tpm, RecordingClock(0.0)) is rules
    assert tpm.commands == []


@pytest.mark.parametrize(("counter", "base", "key"), [
    (1, 0, "counter"), ("0x01800010", 0, "counter"), (True, 0, "counter"), (None, 0, "counter"),
    (INDEX_LAST + 1, 0, "counter"), (INDEX, None, "counter_base"), (INDEX, -1, "counter_base"),
    (INDEX, True, "counter_base"), (INDEX, 1 << 64, "counter_base"),
])  # fmt: skip
def test_a_counter_that_makes_no_sense_is_refused(counter: object, base: object, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"key=policy\.manifest\.{key}[,)]"):
        policy(base, counter)


def test_answers_are_read_as_they_are_written() -> None:
    assert parse_nv_public(PUBLIC, INDEX) == NvPublic(nv_index=INDEX, attributes=0x22040012, data_size=8)
    assert parse_counter(VALUE) == 7
    assert build_nv_read_public(INDEX).hex() == "8001" "0000000e" "00000169" "01800010"
    assert build_nv_read_counter(INDEX).hex() == (
        "8002" "00000023" "0000014e" "01800010" "01800010" "00000009" "40000009" "0000" "00" "0000" "0008" "0000")


@pytest.mark.parametrize("answer", [PUBLIC, VALUE])
def test_answers_that_lie_are_errors(answer: bytes) -> None:
    parse = parse_counter if answer is VALUE else lambda body: parse_nv_public(body, INDEX)
    needed = 14 if answer is VALUE else 16
    for cut in cuts(answer):
        if len(cut) < needed:
            with pytest.raises(FormatError):
                parse(cut)
    for at in range(needed):
        for value in (0, 0xFF, answer[at] ^ 1):
            changed = answer[:at] + bytes([value]) + answer[at + 1 :]
            survives(parse, changed)


def test_answers_for_another_index_are_errors() -> None:
    with pytest.raises(FormatError, match="another NV index"):
        parse_nv_public(PUBLIC, INDEX + 1)
    with pytest.raises(FormatError, match="no handle of an NV index"):
        build_nv_read_public(INDEX_LAST + 1)


def test_a_tpm_that_answers_nonsense_takes_no_manifest() -> None:
    tpm = RecordingTpm(["sha256"])
    tpm.answers = [0x922] * 8
    assert "TPM_RC_RETRY" in (remembered(policy(), tpm, RecordingClock(0.0)).manifest_problem or "")
    tpm.answers = [bytes.fromhex("8001 0000000c 00000000 0000")]
    assert "makes no sense" in (remembered(policy(), tpm, RecordingClock(0.0)).manifest_problem or "")
    tpm.answers = [MeasureError("the TPM does not answer", seconds=20)]
    assert "does not answer" in (remembered(policy(), tpm, RecordingClock(0.0)).manifest_problem or "")
    with pytest.raises(MeasureError):
        Dialogue(tpm, RecordingClock(0.0)).ask("TPM2_NV_ReadPublic", build_nv_read_public(INDEX), bytes)
