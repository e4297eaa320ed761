"""Both engines with every format, on small and large machines. A token that only the second kernel knows tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.scene import IDS, Scene, make_scene, overrides
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, Shim, boot

pytestmark = [pytest.mark.vm]
ENGINES = {"load": "kexec_load", "file": "kexec_file_load"}
GIB = 1 << 30


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def shim(scene: Scene) -> Shim:
    return scene.shim()


def start(scene: Scene, shim: Shim, engine: str, entry: str, **more: object) -> Outcome:
    cmdline = overrides({"load.engine": engine, "boot.entry": IDS[entry]})
    return boot(shim, scene.attached(), cmdline=cmdline, **more)  # type: ignore[arg-type]  # passed through


def check_target(outcome: Outcome, scene: Scene, engine: str, entry: str) -> None:
    """The second kernel printed the entry's token, was loaded by the engine, and found the report of it."""
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens[entry]
    assert outcome.facts.lines["cmdline"] == TARGET_CMDLINE
    assert outcome.ended == "off"
    for report in (outcome.facts.report, outcome.report):
        assert report is not None
        attempt, = report["attempts"]
        assert (attempt["entry"], attempt["engine"], attempt["error"]) == (IDS[entry], ENGINES[engine], None)
        assert all(verdict["accepted"] for verdict in attempt["verdicts"])


@pytest.mark.parametrize("entry", ["bls", "uki", "vmlinux"])
def test_own_segments_start_every_format(scene: Scene, shim: Shim, entry: str) -> None:
    outcome = start(scene, shim, "load", entry)
    check_target(outcome, scene, "load", entry)
    assert outcome.report is not None
    names = {segment["name"] for segment in outcome.report["attempts"][0]["segments"]}
    assert {"boot_params", "initrd.0", "report"} < names


@pytest.mark.parametrize("entry", ["bls", "uki"])
def test_kexec_file_load_starts_what_the_kernel_can_judge(scene: Scene, shim: Shim, entry: str) -> None:
    check_target(start(scene, shim, "file", entry), scene, "file", entry)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_initrds_are_joined_in_order(scene: Scene, shim: Shim, engine: str) -> None:
    outcome = start(scene, shim, engine, "bls", memory=6 * 1024)
    check_target(outcome, scene, engine, "bls")
    assert outcome.facts is not None
    assert outcome.facts.lines["second_initrd"] == scene.second
    assert outcome.facts.number("system_ram") > 5.9 * GIB
    if engine == "load":  # the highest free place there is; the kernel's own loader stays lower
        assert outcome.facts.number("initrd_start") >= 4 * GIB


def test_a_kernel_that_cannot_be_moved_is_started_at_its_address(scene: Scene, shim: Shim) -> None:
    outcome = start(scene, shim, "load", "memtest", until=r"bootshim-report-end[\s\S]*Memtest86\+ v[\s\S]*Pattern")
    assert "Memtest86+" in outcome.serial.partition("bootshim-report-end")[2]
    assert outcome.report is not None
    attempt = outcome.report["attempts"][0]
    kernel, = (segment for segment in attempt["segments"] if segment["name"] == "kernel")
    assert (attempt["entry"], kernel["start"]) == ("memtest.conf", 0x100000)


@pytest.mark.parametrize("entry", ["vmlinux", "memtest"])
def test_kexec_file_load_says_what_it_cannot_take(scene: Scene, shim: Shim, entry: str) -> None:
    """The next entry boots instead."""
    outcome = start(scene, shim, "file", entry)
    assert outcome.facts is not None
    assert outcome.facts.token in scene.tokens.values()
    assert "kexec_file_load cannot take this kernel" in outcome.errors()[IDS[entry]]


def test_auto_says_why_it_takes_its_engine(scene: Scene, shim: Shim) -> None:
    outcome = start(scene, shim, "auto", "bls")
    check_target(outcome, scene, "load", "bls")
    assert outcome.report is not None
    assert outcome.report["attempts"][0]["why"].startswith("no lockdown: own segments")


def test_a_small_machine_boots_what_a_large_initrd_leaves_room_for(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, filling=64 << 20)
    outcome = start(scene, scene.shim(), "load", "bls", memory=768)
    check_target(outcome, scene, "load", "bls")
    assert outcome.facts is not None
    assert outcome.facts.number("initrd_size") > 64 << 20
