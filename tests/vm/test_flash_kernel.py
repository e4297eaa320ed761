"""The flash kernel and the runtime, without one module: every way to attach a disk, both engines, UEFI and a TPM."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from initramfs.kconfig import find_faults, read_fragments
from initramfs.kernel import CONFIG, IMAGE, build_kernel
from initramfs.pack import compress
from shim.units import MIB
from tests.builders.disk import Partition, make_disk, make_volume
from tests.builders.measured import BANKS, pcrs_of, replayed
from tests.builders.swtpm import Swtpm
from tests.builders.vmlinux import vmlinux_of
from tests.vm.scene import IDS, OVERRIDES, Scene, make_scene, overrides
from tests.vm.shimmed import FLASH, Outcome, boot

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("flash")]
MEASURED = f'[measure]\ntpm = "required"\n{OVERRIDES}'
SIZE_LIMIT = 8 * MIB  # kernel and initramfs, as they lie in flash
SECONDS_TO_INIT = 10.0  # two under emulation on an idle machine
SCREEN = ("-device", "VGA")
# More ways to attach a disk than the host command has, each with a volume that bears this name as its label.
MORE_DISKS = {
    "virtio-scsi": ("virtio-scsi-pci,id=scsi", "scsi-hd,drive={id},bus=scsi.0"),
    "megaraid": ("megasas-gen2,id=mega", "scsi-hd,drive={id},bus=mega.0"),
    "sd-card": ("sdhci-pci,id=sdhci", "sd-card,drive={id}"),
    "cdrom": ("ide-cd,drive={id},bus=ide.5",),
}
UAS = ("qemu-xhci,id=xhci", "usb-uas,id=uas,bus=xhci.0", "scsi-hd,drive=uas,bus=uas.0")
# Devices without which a board is of little use, and what the kernel says when their driver has taken them.
DEVICES = {
    "e1000": r"e1000 \S+ eth\d: Intel\(R\) PRO/1000 Network Connection",
    "e1000e": r"e1000e \S+ eth\d: Intel\(R\) PRO/1000 Network Connection",
    "i6300esb": r"i6300ESB timer \S+: initialized",
    "usb-ehci,id=ehci": r"ehci-pci \S+: EHCI Host Controller",
    "usb-kbd,bus=ehci.0": r"input: QEMU QEMU USB Keyboard",
    "ich9-usb-uhci1": r"uhci_hcd \S+: UHCI Host Controller",
    "pci-ohci": r"ohci-pci \S+: OHCI PCI host controller",
    "pci-serial": r"ttyS\d at I/O \S+ \(irq = \d+, base_baud = 115200\) is a 16550A\s[\s\S]*ttyS\d at I/O",
    "intel-iommu,intremap=on": r"DMAR: Intel\(R\) Virtualization Technology for Directed I/O",
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("flash"), modules=("efivarfs",))


def check(outcome: Outcome, scene: Scene, entry: str = "bls") -> None:
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens[entry]
    assert outcome.errors() == {}
    assert outcome.report is not None
    assert outcome.report["kernel"]["release"].endswith("-bootshim")
    assert "watchdog armed for 300 s" in outcome.report["notes"]
    assert not [note for note in outcome.report["notes"] if "stays as it is" in note]


def test_the_configuration_came_out_as_it_was_asked_for() -> None:
    assert find_faults(read_fragments(), (build_kernel() / CONFIG).read_text()) == []


def test_kernel_and_initramfs_fit_into_the_flash(scene: Scene) -> None:
    kernel = (build_kernel() / IMAGE).stat().st_size
    for how in ("xz", "zstd"):
        assert kernel + len(compress(scene.shim(FLASH).initramfs.read_bytes(), how)) <= SIZE_LIMIT


def test_nothing_of_the_machine_that_built_it_is_in_it() -> None:
    built = build_kernel()
    text = vmlinux_of(built / IMAGE) + (built / CONFIG).read_bytes()
    for place in (built.parent, Path.home(), Path(__file__).parents[2]):
        assert f"{place}/".encode() not in text
    for name in (getpass.getuser(), platform.node()):
        assert f"({name}@".encode() not in text
        assert f"@{name})".encode() not in text


@pytest.mark.parametrize(("interface", "engine"), [
    ("virtio", "file"), ("nvme", "load"), ("ahci", "file"), ("usb", "load"),
])  # fmt: skip
def test_a_disk_is_booted_however_it_is_attached(scene: Scene, interface: str, engine: str) -> None:
    outcome = boot(scene.shim(FLASH), scene.attached(interface),
                   cmdline=overrides({"boot.entry": IDS["bls"], "load.engine": engine}))
    check(outcome, scene)
    assert outcome.ended == "off"
    assert outcome.report is not None
    assert outcome.report["attempts"][-1]["engine"] == f"kexec_{'file_' if engine == 'file' else ''}load"


@pytest.mark.parametrize("compress", ["xz", "zstd"])
def test_it_is_at_init_in_time(scene: Scene, compress: str) -> None:
    """By the kernel's own clock, which the timeline of the report goes on with."""
    outcome = boot(scene.shim(FLASH, compress=compress), scene.attached(),
                   cmdline=f"loglevel=7 {overrides({'boot.entry': IDS['uki']})}")
    check(outcome, scene, "uki")
    found = re.search(r"\[ *(\d+\.\d+)\] Run /init as init process", outcome.serial)
    assert found is not None
    assert outcome.report is not None
    first = min(stage["start"] for stage in outcome.report["stages"])
    print(f"/init after {found[1]} s, first stage after {first} s, {compress}")
    assert 0 < float(found[1]) < first < SECONDS_TO_INIT


def attached(drive: str, image: Path, devices: Sequence[str]) -> list[str]:
    """Return the words for QEMU that attach a disk by these devices."""
    words = ["-drive", f"file={image},format=raw,if=none,id={drive},snapshot=on"]
    return [*words, *(word for device in devices for word in ("-device", device.format(id=drive)))]


def test_more_disks_and_the_devices_of_a_board_are_found(scene: Scene) -> None:
    """The kernel's log is the witness that a driver has taken its device; the volumes are the boot shim's own list.

    It boots from the disk that comes last, by USB, so that all the others are there by then.
    """
    extra = attached("uas", scene.disk, UAS)
    for name, devices in MORE_DISKS.items():
        image = scene.directory / f"{name}.img"
        part = Partition("data", "iso9660" if name == "cdrom" else "ext4", {"name": name}, label=name)
        if name == "cdrom":
            make_volume(image, part)
        else:
            os.truncate(make_disk(image, [part]), 16 * MIB)  # SD cards are a power of two
        extra += attached(name, image, devices)
    extra += [word for device in DEVICES for word in ("-device", device)]
    outcome = boot(scene.shim(FLASH), extra=extra, cmdline=f"loglevel=7 {overrides({'boot.entry': IDS['vmlinux']})}")
    check(outcome, scene, "vmlinux")
    assert outcome.report is not None
    assert set(MORE_DISKS) <= {volume["label"] for volume in outcome.report["volumes"]}
    log = outcome.serial.replace("\r", "")
    assert [device for device, said in DEVICES.items() if not re.search(said, log)] == []


@pytest.mark.parametrize(("firmware", "model", "engine"), [
    ("uefi", "tpm-crb", "load"), ("bios", "tpm-tis", "file"),
])  # fmt: skip
def test_the_boot_is_measured_and_the_firmware_handed_over(
    scene: Scene, tmp_path: Path, firmware: str, model: str, engine: str
) -> None:
    """tpm2_eventlog is the witness: the log that was handed over accounts for what is in the PCRs."""
    with Swtpm(model) as tpm:
        outcome = boot(scene.shim(FLASH, more=MEASURED), scene.attached("nvme"), firmware=firmware,
                       extra=(*SCREEN, *tpm.arguments),
                       cmdline=overrides({"boot.entry": IDS["uki"], "load.engine": engine}))
    check(outcome, scene, "uki")
    assert outcome.facts is not None
    pcrs = pcrs_of(outcome.facts)
    log = replayed(tmp_path, bytes.fromhex(outcome.facts.lines["eventlog"]))
    assert set(log) == set(pcrs) == set(BANKS)
    for bank in BANKS:
        assert {8, 11} <= set(log[bank])
        assert {pcr: pcrs[bank][pcr] for pcr in log[bank]} == log[bank]
    if firmware == "uefi":
        assert outcome.facts.lines["screen"].startswith("0x70 ")
        assert (outcome.facts.lines["framebuffer"], outcome.facts.lines["efi_runtime"]) == ("EFI VGA", "1")
        assert outcome.facts.number("efi_variables") > 10
