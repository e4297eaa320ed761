"""The disk that most VM tests boot: one entry of each format, each with a token of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from initramfs.pack import find_modules
from shim.cli.qemu import Disk
from tests.builders import debian
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.keys import KeyFiles, make_ca, make_leaf
from tests.builders.target import make_token, second_initrd, target_initrd
from tests.builders.uki import make_uki, sign_pe
from tests.builders.vmlinux import vmlinux_of
from tests.vm.shimmed import TARGET_CMDLINE, Shim, config_text, debian_ca, make_shim, policy_text

OVERRIDES = '[override]\nallow = ["boot.entry", "boot.timeout", "load.engine"]\n'
MEMTEST_CMDLINE = "console=ttyS0,115200"
IDS = {"bls": "bls.conf", "uki": "target.efi", "vmlinux": "vmlinux.conf", "memtest": "memtest.conf"}


class Authority(NamedTuple):
    """A certificate authority made for a test, and one who signs under it."""

    ca: KeyFiles
    signer: KeyFiles


class Scene(NamedTuple):
    """A disk image and what is on it; `tokens` by entry, `second` being the text of the second initrd of "bls"."""

    directory: Path
    disk: Path
    tokens: dict[str, str]
    second: str
    policy: str
    files: dict[str, bytes]

    def shim(self, interface: str = "virtio", more: str = OVERRIDES, compress: str = "none") -> Shim:
        """Build the boot shim for this disk."""
        config = config_text(self.policy, more=more)
        return make_shim(self.directory / f"shim-{interface}", config, self.files, interface=interface,
                         compress=compress)

    def attached(self, interface: str = "virtio") -> Disk:
        return Disk(path=self.disk, interface=interface)


def make_authority(directory: Path, name: str) -> Authority:
    ca = make_ca(directory, f"{name}-ca")
    return Authority(ca, make_leaf(directory, f"{name}-signer", ca))


def bls(linux: str, *initrds: str, options: str = TARGET_CMDLINE, version: str = "1", title: str = "The target") -> str:
    """Return a boot entry."""
    lines = [f"title {title}", f"version {version}", f"linux {linux}", *(f"initrd {path}" for path in initrds)]
    return "\n".join([*lines, f"options {options}", ""])


def make_scene(
    directory: Path, *, table: str = "gpt", sector_size: int = 512, filling: int = 0, modules: Sequence[str] = ()
) -> Scene:
    """Make the disk: an ESP with a signed UKI, and /boot with entries for a bzImage, a vmlinux and memtest86+.

    `modules` are kernel modules that every target loads.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokens = {name: make_token() for name in ("bls", "uki", "vmlinux")}
    second = secrets.token_hex(8)
    kernel, memtest = debian.kernel().image, debian.package("memtest86+") / "boot/memtest86+x64.bin"
    authority = make_authority(directory, "test")
    loaded = find_modules(debian.kernel().modules, modules) if modules else []
    initrds: dict[str, bytes] = {
        "initrd.bls": target_initrd(tokens["bls"], filling, loaded), "initrd.second": second_initrd(second),
        "initrd.vmlinux": target_initrd(tokens["vmlinux"], modules=loaded),
    }  # fmt: skip
    entries: dict[str, Content] = {
        "loader/entries/bls.conf": bls("/vmlinuz", "/initrd.bls", "/initrd.second"),
        "loader/entries/vmlinux.conf": bls("/vmlinux", "/initrd.vmlinux"),
        "loader/entries/memtest.conf": bls("/memtest", options=MEMTEST_CMDLINE, title="memtest86+"),
    }  # fmt: skip
    kernels: dict[str, Content] = {"vmlinuz": kernel, "vmlinux": vmlinux_of(kernel), "memtest": memtest}
    esp = {"EFI/Linux/target.efi": signed_uki(directory, target_initrd(tokens["uki"], modules=loaded), authority)}
    disk = make_disk(directory / "disk.img", [
        Partition("esp", "vfat", esp), Partition("xbootldr", "ext4", {**entries, **kernels, **initrds}),
    ], table, sector_size=sector_size)  # fmt: skip
    policy = policy_text(
        anchors=["debian-ca.der", "test-ca.der"], cmdlines=[TARGET_CMDLINE, MEMTEST_CMDLINE],
        initrds=initrds.values(), kernels=[vmlinux_of(kernel), memtest.read_bytes()],
    )  # fmt: skip
    files = {"debian-ca.der": debian_ca().read_bytes(), "test-ca.der": authority.ca.der.read_bytes()}
    return Scene(directory, disk, tokens, second, policy, files)


def signed_uki(directory: Path, initrd: bytes, authority: Authority, name: str = "uki") -> Path:
    """Return a UKI of Debian's kernel and this initrd, signed."""
    held = directory / f"{name}.initrd"
    held.write_bytes(initrd)
    unsigned = make_uki(directory / f"{name}.unsigned", debian.kernel().image, [held], TARGET_CMDLINE)
    return sign_pe(unsigned, directory / f"{name}.efi", authority.signer)


def overrides(values: Mapping[str, str]) -> str:
    """Return words for the command line of the boot shim's kernel."""
    return " ".join(f"bootshim.{name}={value}" for name, value in values.items())
