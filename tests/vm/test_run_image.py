"""`bootshim run IMAGE`: its exit status tells how a run ended, and what it leaves behind says why."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from shim.cli import main as bootshim
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import TIMEOUT

pytestmark = pytest.mark.vm
NEVER = "a word that no machine says"


class Trial:
    """A disk with one entry, and runs of it; each leaves a result for CI, a serial log and a boot report."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.token = directory, make_token()
        files = {"vmlinuz": debian.kernel().image, "initrd": target_initrd(self.token),
                 "loader/entries/target.conf": bls("/vmlinuz", "/initrd")}
        self.disk = make_disk(directory / "disk.img", [Partition("xbootldr", "ext4", files)])

    def run(self, *words: str, timeout: float = TIMEOUT) -> int:
        kernel = debian.kernel()
        return bootshim([
            "run", str(self.disk), "--kernel", str(kernel.image), "--kernel-modules", str(kernel.modules),
            "--memory", "1024", "--junit", str(self.directory / "junit.xml"), "--keep", str(self.directory / "kept"),
            "--timeout", str(timeout), *words,
        ])  # fmt: skip

    @property
    def failure(self) -> ElementTree.Element | None:
        suite = ElementTree.parse(self.directory / "junit.xml").getroot()
        case, = suite.iter("testcase")
        found = case.find("failure")
        assert suite.get("failures") == str(int(found is not None))
        assert case.find("system-out") is not None
        return found

    @property
    def serial(self) -> str:
        return (self.directory / "kept/serial.log").read_text()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("trial"))


@pytest.mark.parametrize("engine", ["load", "file"])
def test_what_is_seen_after_the_jump_counts(trial: Trial, engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial.run("--engine", engine, "--expect", f"token={trial.token}") == 0
    assert trial.failure is None
    report = json.loads((trial.directory / "kept/report.json").read_text())
    assert report["attempts"][0]["engine"] == {"load": "kexec_load", "file": "kexec_file_load"}[engine]
    assert "timeline" in capsys.readouterr().out


def test_what_is_seen_before_the_jump_does_not_count(trial: Trial) -> None:
    """The kernel ran and switched the machine off: it has failed, and was not refused."""
    assert trial.run("--expect", "trying target.conf") == 1
    assert "trying target.conf" in trial.serial
    assert trial.failure is not None
    assert trial.failure.get("type") == "failed"


def test_what_the_policy_does_not_trust_is_refused(trial: Trial, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[policy.kernel]\nrequire = ["sha256"]\nsha256 = ["{"0" * 64}"]\n')
    assert trial.run("--policy", str(policy), "--expect", f"token={trial.token}") == 3
    assert trial.failure is not None
    assert trial.failure.get("type") == "refused"
    assert "target.conf failed in verify" in (trial.failure.text or "")


def test_time_that_is_over_is_said(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial.run("--expect", NEVER, "--json", timeout=1.0) == 4
    assert trial.failure is not None
    assert trial.failure.get("type") == "timeout"
    said = json.loads(capsys.readouterr().out)
    assert (said["seen"], said["verdict"], said["ended"]) == (False, "timeout", None)
