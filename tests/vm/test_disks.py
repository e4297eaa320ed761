"""The same disk attached in every way, with either partition table; the boot shim itself compressed in every way."""

from __future__ import annotations

import pytest

from shim.cli.qemu import Disk
from tests.vm.scene import IDS, Scene, make_scene, overrides
from tests.vm.shimmed import Outcome, boot

pytestmark = [pytest.mark.vm]
NAMES = {"ahci": "sda", "nvme": "nvme0n1", "usb": "sda"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("disks"))


def check(outcome: Outcome, scene: Scene, entry: str) -> None:
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens[entry]
    assert outcome.ended == "off"
    assert outcome.errors() == {}


@pytest.mark.parametrize("interface", NAMES)
def test_a_disk_is_found_however_it_is_attached(scene: Scene, interface: str) -> None:
    """The modules for it are loaded from the initramfs; a USB disk is waited for."""
    outcome = boot(scene.shim(interface), scene.attached(interface), cmdline=overrides({"boot.entry": IDS["bls"]}))
    check(outcome, scene, "bls")
    assert outcome.report is not None
    assert {volume["device"].startswith(f"/dev/{NAMES[interface]}") for volume in outcome.report["volumes"]} == {True}


def test_sectors_of_4096_bytes_serve_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = make_scene(tmp_path_factory.mktemp("sectors"), sector_size=4096)
    drive = f"file={scene.disk},format=raw,if=none,id=large,snapshot=on"
    device = "virtio-blk-pci,drive=large,logical_block_size=4096,physical_block_size=4096"
    outcome = boot(scene.shim(), cmdline=overrides({"boot.entry": IDS["uki"]}),
                   extra=("-drive", drive, "-device", device))
    check(outcome, scene, "uki")
    assert outcome.report is not None
    assert [volume["kind"] for volume in outcome.report["volumes"]] == ["esp", "xbootldr"]


def test_an_mbr_serves_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = make_scene(tmp_path_factory.mktemp("mbr"), table="dos")
    outcome = boot(scene.shim(), scene.attached(), cmdline=overrides({"boot.entry": IDS["bls"]}))
    check(outcome, scene, "bls")
    assert outcome.report is not None
    assert [volume["kind"] for volume in outcome.report["volumes"]] == ["esp", "xbootldr"]


@pytest.mark.parametrize("compress", ["xz", "zstd"])
def test_the_kernel_unpacks_a_compressed_initramfs(scene: Scene, compress: str) -> None:
    outcome = boot(scene.shim(compress=compress), scene.attached(), cmdline=overrides({"boot.entry": IDS["uki"]}))
    check(outcome, scene, "uki")


def test_the_first_of_two_disks_may_be_empty(scene: Scene) -> None:
    """A disk without a table, and one with only zeros, are passed over."""
    empty = scene.directory / "empty.img"
    empty.write_bytes(bytes(4 << 20))
    outcome = boot(scene.shim(), Disk(path=empty), scene.attached(), cmdline=overrides({"boot.entry": IDS["bls"]}))
    check(outcome, scene, "bls")
