"""OS packages from a disk, by both engines: a tampered one, one signed by too few and one that is no package behind its
good signatures are refused, and the one that is whole boots to its token, measured as the host predicts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shim.cli import main as bootshim
from shim.cli.qemu import Disk
from tests.builders import debian
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.measured import BANKS, pcrs_of
from tests.builders.ospkg import descriptor, make_archive, make_package, make_package_signer, make_root, manifest
from tests.builders.swtpm import Swtpm
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import OVERRIDES, overrides
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, Shim, boot, config_text, make_shim

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("ospkg")]
CMDLINE = f"{TARGET_CMDLINE} from.the.package"
MEASURED = (9, 12)
GOOD = "a-good.zip"
REFUSED = {
    "d-tampered.zip": "the Ed25519 signature does not fit.*the Ed25519 signature does not fit",
    "c-too-few.zip": "1 of 2 approvals.*signature 2: no anchor of the policy has issued it",
    "b-no-package.zip": r"the OS package cannot be used: OS package has no such file \(file=boot/kernel\)",
}
POLICY = """
[policy.keys]
ospkg = ["ospkg_signing_root.pem"]
[policy.ospkg]
require = ["ospkg"]
threshold = 2
[measure]
tpm = "required"
"""


class Scene(NamedTuple):
    """A disk with packages, the boot shim that is to boot one, and the good one as a file."""

    token: str
    disk: Path
    shim: Shim
    package: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder, token = tmp_path_factory.mktemp("ospkg"), make_token()
    root, other = make_root(folder, "root"), make_root(folder, "other")
    one, two, three = (make_package_signer(folder, f"signer{number}", root) for number in range(3))
    stranger = make_package_signer(folder, "stranger", other)
    # Sizes behind the bytes, as stmgr packs: the packer writes into a pipe.
    good = make_package(folder / "good", debian.kernel().image.read_bytes(), target_initrd(token), "-",
                        cmdline=CMDLINE, label="A target")
    at = len(good) // 2
    empty = make_archive(folder / "empty", {"manifest.json": manifest()})
    files: dict[str, Content] = {
        f"ospkg/{GOOD}": good, "ospkg/a-good.json": descriptor(good, one, stranger, three),
        "ospkg/d-tampered.zip": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "ospkg/d-tampered.json": descriptor(good, one, two),
        "ospkg/c-too-few.zip": good, "ospkg/c-too-few.json": descriptor(good, one, stranger),
        "ospkg/b-no-package.zip": empty, "ospkg/b-no-package.json": descriptor(empty, two, three),
    }  # fmt: skip
    disk = make_disk(folder / "disk.img", [Partition("xbootldr", "ext4", files)])
    shim = make_shim(folder / "shim", config_text(POLICY, more=OVERRIDES), {"ospkg_signing_root.pem": root.pem})
    (folder / GOOD).write_bytes(good)
    return Scene(token, disk, shim, folder / GOOD)


@pytest.fixture(scope="module", params=["load", "file"])
def outcome(request: pytest.FixtureRequest, scene: Scene) -> Outcome:
    with Swtpm("tpm-tis") as tpm:
        return boot(scene.shim, Disk(path=scene.disk), extra=tpm.arguments,
                    cmdline=overrides({"load.engine": request.param}))


def test_the_package_that_is_whole_boots(scene: Scene, outcome: Outcome) -> None:
    assert outcome.facts is not None
    assert outcome.facts.token == scene.token
    assert outcome.report is not None
    attempt = outcome.report["attempts"][-1]
    assert (attempt["entry"], attempt["cmdline"], attempt["error"]) == (GOOD, CMDLINE, None)
    verdict, = attempt["verdicts"]
    assert (verdict["role"], verdict["rule"], verdict["reason"].count("under root (Ed25519)")) == ("ospkg", "ospkg", 2)


def test_the_others_are_refused_before_it(outcome: Outcome) -> None:
    assert outcome.report is not None
    attempts = outcome.report["attempts"]
    assert [one["entry"] for one in attempts] == [*REFUSED, GOOD]
    for attempt, why in zip(attempts[:-1], REFUSED.values(), strict=True):
        assert attempt["stage"] == "verify"
        assert re.search(why, attempt["error"]), attempt["error"]
        assert not attempt["events"]


def test_it_is_measured_as_the_host_predicts(
    scene: Scene, outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    banks = [f"--bank={bank}" for bank in BANKS]
    assert bootshim(["measure", str(scene.package), *banks, "--json"]) == 0
    printed = capsys.readouterr().out  # behind what the machine has printed
    said: dict[str, Any] = json.loads(printed[printed.rindex('{\n  "schema"') :])
    pcrs = pcrs_of(outcome.facts)
    for bank in BANKS:
        assert {str(pcr): pcrs[bank][pcr] for pcr in MEASURED} == said["pcrs"][bank]
