"""What `bootshim install` writes, started by the firmware through a boot entry, boots the disk beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shim.cli import main as bootshim
from shim.cli.esp import ENTRY, IMAGE, LOADER_PATH
from shim.cli.qemu import OVMF, Disk, MachineSpec
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.images import shim_images
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import boot_spec

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("mkosi")]


def test_the_installed_image_boots_another_disk(tmp_path: Path) -> None:
    """No fallback is on the ESP: the boot entry alone leads to the boot shim, whose own entry is passed over."""
    token, tree = make_token(), tmp_path / "esp"
    (tree / "loader/entries").mkdir(parents=True)
    uki = shim_images(tmp_path / "mkosi")["bootshim-uki"]
    assert bootshim(["install", str(uki), "--tree", str(tree)]) == 0
    esp = make_disk(tmp_path / "esp.img", [Partition("esp", "vfat", {path: tree / path for path in (IMAGE, ENTRY)})])
    files = {"vmlinuz": debian.kernel().image, "initrd": target_initrd(token),
             "loader/entries/target.conf": bls("/vmlinuz", "/initrd")}
    target = make_disk(tmp_path / "target.img", [Partition("xbootldr", "ext4", files)])
    variables = tmp_path / "variables.fd"
    subprocess.run([str(Path(sys.executable).with_name("virt-fw-vars")), "--input", OVMF[1], "--output",
                    str(variables), "--append-boot-filepath", LOADER_PATH], check=True)
    code = ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF[0]}",
            "-drive", f"if=pflash,unit=1,format=raw,file={variables}")
    outcome = boot_spec(MachineSpec(disks=(Disk(path=esp), Disk(path=target)), memory=1024, extra=code))
    assert outcome.facts is not None
    assert outcome.facts.token == token
    assert outcome.report is not None
    assert {one["id"]: one["hidden"] for one in outcome.report["entries"]}["bootshim.conf"] == (
        "it is the boot shim itself")
