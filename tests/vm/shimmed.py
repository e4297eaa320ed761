"""A machine with the boot shim in it: its configuration, its initramfs, one boot, and what came out of that."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from initramfs.kernel import IMAGE, build_kernel
from shim.cli import main as bootshim
from shim.cli.qemu import Disk, MachineSpec, Qemu
from shim.cli.run import find_report
from tests.builders import debian
from tests.builders.target import Facts, parse_facts

TIMEOUT = float(os.environ.get("BOOTSHIM_VM_TIMEOUT", "180"))
BASE_CMDLINE = "console=ttyS0 quiet"
TARGET_CMDLINE = "console=ttyS0 quiet"


class ShimKernel(NamedTuple):
    """What the boot shim runs on: Debian's kernel of a flavour and some of its modules, or the flash kernel (None)."""

    flavour: str | None
    modules: tuple[str, ...] = ()

    @property
    def image(self) -> Path:
        return build_kernel() / IMAGE if self.flavour is None else debian.kernel(self.flavour).image

    def build_words(self, more: Sequence[str] = ()) -> list[str]:
        """Return what `bootshim build` has to be told about the modules, `more` among them."""
        names = (*self.modules, *more)
        if not names:
            return []
        if self.flavour is None:
            raise ValueError("the flash kernel has no modules")
        return ["--kernel-modules", str(debian.kernel(self.flavour).modules), *(f"--module={name}" for name in names)]


# By how the disk is attached, or what is on it. Debian's cloud kernel has ext4 and NVMe built in; AHCI and USB it has
# not at all. The flash kernel has everything.
EVERY_FILE_SYSTEM = "virtio, every file system"
FLASH = "flash"
SHIM_KERNELS = {
    "virtio": ShimKernel("cloud", ("virtio_pci", "virtio_blk", "vfat")),
    "nvme": ShimKernel("cloud", ("vfat",)),
    "ahci": ShimKernel("", ("ahci", "vfat", "ext4")),
    EVERY_FILE_SYSTEM: ShimKernel("", ("virtio_pci", "virtio_blk", "vfat", "ext4", "xfs", "btrfs", "f2fs", "squashfs",
                                       "erofs", "isofs")),
    "usb": ShimKernel("", ("xhci_pci", "usb_storage", "vfat", "ext4")),
    FLASH: ShimKernel(None),
}



class Outcome(NamedTuple):
    """One boot: the serial output, how the machine ended, what the target and the boot shim reported."""

    serial: str
    ended: str | None
    seconds: float
    facts: Facts | None
    report: dict[str, Any] | None

    def errors(self) -> dict[str, str]:
        """Return the sentence that refused each entry, by its id, in the order of the attempts."""
        assert self.report is not None, self.serial[-3000:]
        return {one["entry"]: one["error"] for one in self.report["attempts"] if one["error"] is not None}


class Shim(NamedTuple):
    """The boot shim's kernel and initramfs."""

    kernel: Path
    initramfs: Path


def debian_ca() -> Path:
    """Return the certificate of Debian's Secure Boot CA."""
    return debian.package("shim-unsigned") / "usr/share/shim/debian-uefi-ca.der"


def config_text(policy: str, *, engine: str = "auto", entry: str | None = None, more: str = "") -> str:
    """Return a configuration that reports as JSON and ends in a reset when nothing boots."""
    lines = ["[boot]", 'report = "json"', "timeout = 0", "wait = 20", 'on_failure = "reset"', "reset_delay = 0"]
    if entry is not None:
        lines.append(f"entry = {json.dumps(entry)}")
    return "\n".join([*lines, "", "[load]", f'engine = "{engine}"', "", policy, more, ""])


def policy_text(
    *, anchors: Sequence[str], cmdlines: Sequence[str], initrds: Iterable[bytes] = (), kernels: Iterable[bytes] = (),
    more: str = "",
) -> str:  # fmt: skip
    """Return a policy: signatures under `anchors`, pinned kernels and initrds, whole command lines."""
    kinds = ["authenticode", "sha256"]
    return "\n".join([
        "[policy]", f"anchors = {json.dumps(list(anchors))}", more,
        "[policy.kernel]", f"require = {json.dumps(kinds)}", f"sha256 = {json.dumps(digests(kernels))}",
        "[policy.uki]", 'require = ["authenticode"]',
        "[policy.initrd]", 'require = ["sha256"]', f"sha256 = {json.dumps(digests(initrds))}",
        "[policy.cmdline]", 'require = ["exact"]', f"exact = {json.dumps(list(cmdlines))}",
    ])  # fmt: skip


def digests(items: Iterable[bytes]) -> list[str]:
    return [hashlib.sha256(item).hexdigest() for item in items]


def make_shim(
    directory: Path, config: str, files: dict[str, bytes], *, interface: str = "virtio", compress: str = "none",
    more_modules: Sequence[str] = (),
) -> Shim:  # fmt: skip
    """Build the initramfs as a user does, for a disk attached in this way, or for the flash kernel."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    (directory / "config.toml").write_text(config)
    kernel = SHIM_KERNELS[interface]
    output = directory / "initramfs"
    command = ["build", "--config", str(directory / "config.toml"), "--output", str(output), "--compress", compress,
               *kernel.build_words(more_modules)]
    if bootshim(command) != 0:
        raise RuntimeError(f"bootshim {' '.join(command)}")
    return Shim(kernel.image, output)


def boot(
    shim: Shim, *disks: Disk, memory: int = 2048, firmware: str = "bios", cmdline: str = "",
    extra: Sequence[str] = (), until: str | None = None, timeout: float = TIMEOUT,
) -> Outcome:  # fmt: skip
    """Boot until the machine ends, or until the regex `until` was printed."""
    spec = MachineSpec(
        kernel=shim.kernel, initramfs=shim.initramfs, cmdline=f"{BASE_CMDLINE} {cmdline}".strip(), disks=disks,
        memory=memory, firmware=firmware, extra=tuple(extra),
    )  # fmt: skip
    return boot_spec(spec, until, timeout)


def boot_spec(spec: MachineSpec, until: str | None = None, timeout: float = TIMEOUT) -> Outcome:
    """Boot any machine, likewise."""
    with Qemu(spec) as machine:
        if until is not None:
            machine.read_until(until, timeout)
        else:
            machine.wait(timeout)
        outcome = outcome_of(machine)
    keep(outcome)
    return outcome


def outcome_of(machine: Qemu) -> Outcome:
    """Return what a machine has said so far."""
    return Outcome(machine.serial, machine.ended, machine.seconds, parse_facts(machine.serial),
                   find_report(machine.serial))


def keep(outcome: Outcome) -> None:
    """Keep the serial output where pytest shows it when a test fails."""
    sys.stdout.write(f"--- ended: {outcome.ended}, {outcome.seconds:.1f} s ---\n{outcome.serial}\n")
