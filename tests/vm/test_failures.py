"""What cannot go on ends in the next entry, the menu or a reset, and says why; never in silence."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shim.cli.qemu import Disk, MachineSpec, Qemu
from tests.builders import debian
from tests.builders.disk import Partition, make_disk, make_volume
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import (
    BASE_CMDLINE,
    TARGET_CMDLINE,
    TIMEOUT,
    Outcome,
    Shim,
    boot,
    config_text,
    debian_ca,
    make_shim,
    outcome_of,
    policy_text,
)

pytestmark = [pytest.mark.vm]
TOKEN = make_token()
INITRD = target_initrd(TOKEN)
POLICY = policy_text(anchors=["ca.der"], cmdlines=[TARGET_CMDLINE], initrds=[INITRD])
REGIONS = ("kernel", "initrd.0", "report", "boot_params")


def shim_with(directory: Path, config: str, interface: str = "virtio", more_modules: Sequence[str] = ()) -> Shim:
    return make_shim(directory / "shim", config, {"ca.der": debian_ca().read_bytes()}, interface=interface,
                     more_modules=more_modules)


def one_entry(directory: Path) -> Path:
    """Return a disk with one good entry."""
    files = {"vmlinuz": debian.kernel().image, "initrd": INITRD,
             "loader/entries/target.conf": bls("/vmlinuz", "/initrd")}
    return make_disk(directory / "disk.img", [Partition("esp", "vfat"), Partition("xbootldr", "ext4", files)])


@pytest.mark.parametrize("region", REGIONS)
def test_the_purgatory_names_what_is_not_as_it_was_and_resets(tmp_path: Path, region: str) -> None:
    config = config_text(POLICY, engine="load", more=f'\n[test]\ncorrupt_digest = "{region}"\n')
    outcome = boot(shim_with(tmp_path, config), Disk(path=one_entry(tmp_path)))
    assert outcome.ended == "reset"
    after = outcome.serial.replace("\r", "").partition("bootshim-report-end")[2]
    assert f"bootshim purgatory: digest mismatch in {region} at 0x" in after
    assert "bootshim purgatory: not started, resetting the machine" in after
    assert TOKEN not in after
    assert outcome.report is not None
    assert f"a fault is made on purpose: a wrong digest for {region}" in outcome.report["notes"]


def test_the_menu_comes_where_nothing_can_be_booted(tmp_path: Path) -> None:
    """No disk at all: the menu says so, and its keys work."""
    config = f"[boot]\ntimeout = 0\nwait = 1\n\n{POLICY}\n"
    shim = shim_with(tmp_path, config)
    with Qemu(MachineSpec(kernel=shim.kernel, initramfs=shim.initramfs, cmdline=BASE_CMDLINE)) as machine:
        assert machine.read_until("no bootable entry", TIMEOUT), machine.serial
        machine.send("\r")
        assert machine.read_until("There is nothing to boot", TIMEOUT), machine.serial
        machine.send("p")
        assert machine.wait(TIMEOUT) == "off"


def test_a_disk_that_is_plugged_in_before_the_reset_is_booted(tmp_path: Path) -> None:
    """The kernel's own news of it ends the wait; the pause before the reset is longer than the test."""
    config = f'[boot]\ntimeout = 0\nwait = 0\non_failure = "reset"\nreset_delay = 900\n\n{POLICY}\n'
    shim = shim_with(tmp_path, config, interface="usb")
    drive = f"file={one_entry(tmp_path)},format=raw,if=none,id=late,snapshot=on"
    spec = MachineSpec(kernel=shim.kernel, initramfs=shim.initramfs, cmdline=BASE_CMDLINE,
                       extra=("-device", "qemu-xhci,id=xhci", "-drive", drive))
    with Qemu(spec) as machine:
        assert machine.read_until("reset in 900 s unless a disk comes", TIMEOUT), machine.serial
        machine.execute("device_add", driver="usb-storage", bus="xhci.0", drive="late", id="stick")
        assert machine.wait(TIMEOUT) == "off", machine.serial
        facts = outcome_of(machine).facts
    assert facts is not None
    assert facts.token == TOKEN


def test_without_a_console_that_anybody_uses_it_ends_in_a_reset(tmp_path: Path) -> None:
    config = f'[boot]\ntimeout = 0\nwait = 0\non_failure = "reset"\nreset_delay = 1\n\n{POLICY}\n'
    outcome = boot(shim_with(tmp_path, config))
    assert outcome.ended == "reset"
    assert "nothing was booted: reset in 1 s unless a disk comes" in outcome.serial


def swapped_under_way(shim: Shim, disk: Path, changes: Mapping[bytes, bytes]) -> tuple[Outcome, bool]:
    """Boot, and change the disk as soon as the verdict is told; say whether that was before the load was done."""
    image = disk.read_bytes()
    spec = MachineSpec(kernel=shim.kernel, initramfs=shim.initramfs, cmdline=BASE_CMDLINE, disks=(Disk(path=disk),))
    with Qemu(spec) as machine:
        assert machine.read_until("AUDIT ONLY, booted all the same: the cmdline", TIMEOUT), machine.serial
        with disk.open("r+b") as stream:
            for old, new in changes.items():
                stream.seek(image.index(old))
                stream.write(new)
        in_time = machine.read_until("bootshim-report-begin", 0.001) is None
        assert machine.wait(TIMEOUT) == "off", machine.serial
        return outcome_of(machine), in_time


@pytest.mark.parametrize("engine", ["load", "file"])
def test_what_boots_is_what_was_verified_though_the_disk_changed(tmp_path: Path, engine: str) -> None:
    """Kernel and initrd are overwritten on the disk after the verdict and before the load.

    The moment is known by the sentence of a policy that audits: it refuses the command line, and says so then.
    """
    policy = POLICY.replace("[policy]", '[policy]\nmode = "audit"').replace("quiet", "loud")
    shim = shim_with(tmp_path, config_text(policy, engine=engine))
    page = debian.kernel().image.read_bytes()[1 << 20 : (1 << 20) + 4096]
    changes = {TOKEN.encode(): make_token().encode(), page: bytes(len(page))}
    for _ in range(3):  # a host that is busy may come too late
        outcome, in_time = swapped_under_way(shim, one_entry(tmp_path), changes)
        assert outcome.facts is not None
        assert outcome.facts.token == TOKEN
        if in_time:
            return
    pytest.fail("the disk was never changed in time")


@pytest.mark.parametrize("engine", ["load", "file"])
def test_a_watchdog_is_armed_for_a_second_kernel_that_hangs(tmp_path: Path, engine: str) -> None:
    """It runs on across the jump; it must not expire before the target had its time."""
    shim = shim_with(tmp_path, config_text(POLICY, engine=engine), "ahci", ["i6300esb"])
    outcome = boot(shim, Disk(path=one_entry(tmp_path), interface="ahci"),
                   extra=("-device", "i6300esb", "-action", "watchdog=shutdown"))
    assert outcome.facts is not None
    assert outcome.facts.token == TOKEN
    assert outcome.report is not None
    assert "watchdog armed for 300 s" in outcome.report["notes"]


@pytest.mark.parametrize("engine", ["load", "file"])
def test_a_kernel_that_is_locked_down_is_told(tmp_path: Path, engine: str) -> None:
    """Debian's kernel has no key of Debian's without UEFI: locked down, it refuses even a kernel that is signed."""
    outcome = boot(shim_with(tmp_path, config_text(POLICY, engine=engine)), Disk(path=one_entry(tmp_path)),
                   cmdline="lockdown=integrity")
    assert outcome.ended == "reset"
    assert "target.conf failed in load: the running kernel is locked down, or kexec was disabled" in outcome.serial


def test_damaged_file_systems_cost_only_themselves(tmp_path: Path) -> None:
    """Both have their superblock, so that they are mounted or tried to be; behind it there is only noise."""
    noise = random.Random(28).randbytes(1 << 16)
    parts = []
    for kind in ("vfat", "ext4"):
        files = {"EFI/Linux/a.efi": b"x" * 5000, "loader/entries/lost.conf": bls("/vmlinuz", "/initrd")}
        image = bytearray(make_volume(tmp_path / kind, Partition("esp", kind, files)).read_bytes())
        for at in range(4096, len(image) - len(noise), 3 * len(noise) // 2):
            image[at : at + len(noise)] = noise
        parts.append(Partition("esp" if kind == "vfat" else "xbootldr", raw=bytes(image)))
    damaged = make_disk(tmp_path / "damaged.img", parts)
    outcome = boot(shim_with(tmp_path, config_text(POLICY)), Disk(path=damaged), Disk(path=one_entry(tmp_path)))
    assert outcome.facts is not None
    assert outcome.facts.token == TOKEN
    assert outcome.report is not None
    seen = {volume["device"]: volume["fstype"] for volume in outcome.report["volumes"]}
    assert (seen["/dev/vda1"], seen["/dev/vda2"]) == ("vfat", "ext4")
    assert [attempt["entry"] for attempt in outcome.report["attempts"]] == ["target.conf"]


def test_a_disk_that_cannot_be_read_everywhere_costs_only_what_lies_there(tmp_path: Path) -> None:
    """EIO in the middle of a kernel, and in the first sectors of the ESP: the entry on the other disk boots."""
    good, bad = one_entry(tmp_path), tmp_path / "bad.img"
    files = {"vmlinuz": debian.kernel().image, "initrd": INITRD,
             "loader/entries/zz-first.conf": bls("/vmlinuz", "/initrd", version="9")}
    make_disk(bad, [Partition("esp", "vfat"), Partition("xbootldr", "ext4", files)])
    kernel_at = bad.read_bytes().index(debian.kernel().image.read_bytes()[1 << 20 : (1 << 20) + 512])
    rules = tmp_path / "rules"
    rules.write_text("".join(
        f'[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "{sector}"\n' for sector in (2048, kernel_at // 512)
    ))
    extra = ("-drive", f"file=blkdebug:{rules}:{bad},format=raw,if=none,id=bad,readonly=on",
             "-device", "virtio-blk-pci,drive=bad")
    outcome = boot(shim_with(tmp_path, config_text(POLICY)), Disk(path=good), extra=extra)
    assert outcome.facts is not None
    assert outcome.facts.token == TOKEN
    assert "the device cannot read it" in outcome.errors()["zz-first.conf"]
    assert outcome.report is not None
    assert any(problem["source"] == "vdb1" for problem in outcome.report["problems"])
