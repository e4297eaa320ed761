"""Unified kernel images as people make them: profiles, an entry of type 1 around one, microcode. Each is booted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk
from shim.formats.cpio import CpioEntry, build_cpio
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.target import make_token, second_initrd, target_initrd
from tests.builders.uki import make_uki, sign_pe
from tests.vm.scene import OVERRIDES, make_authority, overrides
from tests.vm.shimmed import Outcome, Shim, boot, config_text, make_shim, policy_text

pytestmark = [pytest.mark.vm]
CMDLINES = {"main": "console=ttyS0 quiet main", "safe": "console=ttyS0 quiet safe", "own": "console=ttyS0 quiet own"}
SECOND = "from beside the UKI"


class Scene(NamedTuple):
    """An ESP with a UKI of two profiles, and entries of type 1 for it."""

    token: str
    disk: Path
    shim: Shim


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("ukis")
    token, authority, second = make_token(), make_authority(folder, "test"), second_initrd(SECOND)
    Path(folder, "initrd").write_bytes(target_initrd(token))
    microcode = [CpioEntry.directory(path) for path in ("kernel", "kernel/x86", "kernel/x86/microcode")]
    Path(folder, "ucode").write_bytes(build_cpio([*microcode, CpioEntry.file(
        "kernel/x86/microcode/GenuineIntel.bin", bytes(2048))]))
    unsigned = make_uki(folder / "unsigned", debian.kernel().image, [folder / "initrd"], CMDLINES["main"],
                        profiles={"safe": CMDLINES["safe"]}, more=["--microcode", str(folder / "ucode")])
    uki = sign_pe(unsigned, folder / "signed", authority.signer)
    disk = make_disk(folder / "disk.img", [Partition("esp", "vfat", {
        "EFI/Linux/multi.efi": uki, "second": second,
        "loader/entries/plain.conf": "title Plain\nuki /EFI/Linux/multi.efi\n",
        "loader/entries/profile.conf": "title Profile\nuki /EFI/Linux/multi.efi\nprofile 1\n",
        "loader/entries/own.conf":
            f"title Own\nuki /EFI/Linux/multi.efi\ninitrd /second\noptions {CMDLINES['own']}\n",
        "loader/entries/evil.conf": "title Evil\nuki /EFI/Linux/multi.efi\noptions console=ttyS0 init=/evil\n",
    })])  # fmt: skip
    policy = policy_text(anchors=["ca.der"], cmdlines=[CMDLINES["own"]], initrds=[second])
    shim = make_shim(folder / "shim", config_text(policy, more=OVERRIDES), {"ca.der": authority.ca.der.read_bytes()})
    return Scene(token, disk, shim)


def start(scene: Scene, engine: str, entry: str) -> Outcome:
    cmdline = overrides({"load.engine": engine, "boot.entry": entry})
    return boot(scene.shim, Disk(path=scene.disk), cmdline=cmdline)


@pytest.mark.parametrize(("entry", "cmdline"), [
    ("multi.efi", "main"), ("multi.efi@safe", "safe"), ("plain.conf", "main"), ("profile.conf", "safe"),
    ("own.conf", "own"),
])  # fmt: skip
@pytest.mark.parametrize("engine", ["load", "file"])
def test_the_right_command_line_and_initrds_reach_the_kernel(
    scene: Scene, engine: str, entry: str, cmdline: str
) -> None:
    outcome = start(scene, engine, entry)
    assert outcome.facts is not None
    assert (outcome.facts.token, outcome.facts.lines["cmdline"]) == (scene.token, CMDLINES[cmdline])
    assert outcome.facts.lines["second_initrd"] == (SECOND if entry == "own.conf" else "")
    assert outcome.errors() == {}
    assert outcome.report is not None
    attempt = outcome.report["attempts"][-1]
    assert attempt["entry"] == entry
    if engine == "load":  # microcode, its own, its sections as files, what the entry names: in this order
        initrds = [segment for segment in attempt["segments"] if segment["name"].startswith("initrd.")]
        assert len(initrds) == (4 if entry == "own.conf" else 3)


def test_a_signature_does_not_cover_another_command_line(scene: Scene) -> None:
    outcome = start(scene, "load", "evil.conf")
    assert "the cmdline is not trusted" in outcome.errors()["evil.conf"]
    assert outcome.facts is not None
    assert outcome.facts.lines["cmdline"] in CMDLINES.values()
