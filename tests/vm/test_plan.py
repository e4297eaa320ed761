"""What `bootshim plan` says on the host is what the machine loads: piece by piece, by the report of the boot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shim.cli import main as bootshim
from tests.vm.scene import IDS, Scene, make_scene, overrides
from tests.vm.shimmed import boot

pytestmark = [pytest.mark.vm]
# What a boot brings along by itself: its report, and what points at it or at random bytes.
OF_THE_MACHINE = ("report", "boot_params", "purgatory")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("plan"))


def pieces(segments: list[dict[str, Any]]) -> dict[str, str]:
    return {row["name"]: row["sha256"] for row in segments if row["name"] not in OF_THE_MACHINE}


@pytest.mark.parametrize("entry", ["bls", "uki", "vmlinux"])
def test_the_plan_of_the_host_is_the_load_of_the_machine(
    scene: Scene, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shim = scene.shim()
    config = shim.initramfs.parent / "config.toml"
    capsys.readouterr()
    assert bootshim(["plan", str(scene.disk), "--policy", str(config), "--entry", IDS[entry], "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    outcome = boot(shim, scene.attached(), cmdline=overrides({"boot.entry": IDS[entry]}))
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens[entry]
    assert outcome.report is not None
    ran, said = outcome.report["attempts"][-1], planned["attempts"][-1]
    assert pieces(planned["loaded"]["segments"]) == pieces(ran["segments"])
    assert len(pieces(ran["segments"])) >= 2
    kernels = [[(row["start"], row["end"]) for row in segments if row["name"].startswith("kernel")]
               for segments in (planned["loaded"]["segments"], ran["segments"])]
    assert kernels[0] == kernels[1]
    assert (said["engine"], said["cmdline"]) == (ran["engine"], ran["cmdline"])
    assert [row["sha256"] for row in said["artifacts"]] == [row["sha256"] for row in ran["artifacts"]]
    assert [(row["role"], row["accepted"], row["reason"]) for row in said["verdicts"]] == [
        (row["role"], row["accepted"], row["reason"].replace("vda", "sda")) for row in ran["verdicts"]]
