"""A disk that has nothing but a grub.cfg, as grub-mkconfig makes it, boots; a stub on the ESP leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk
from tests.builders import debian
from tests.builders.disk import Content, Partition, make_disk, make_volume
from tests.builders.filesystems import run
from tests.builders.grubconfig import UUID, make_grub_cfg
from tests.builders.grubwitness import block
from tests.builders.target import make_token, target_initrd
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, boot, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm]
VERSIONS = ("6.1.0-9-amd64", "5.10.0-30-amd64")
CMDLINE = f"root=UUID={UUID} ro {TARGET_CMDLINE}"
OLDER = f"gnulinux-advanced-{UUID}>gnulinux-{VERSIONS[1]}-advanced-{UUID}"
STUB = f"search.fs_uuid {UUID} root hd0,gpt1\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"


class Made(NamedTuple):
    """A boot, and the token of each kernel's initrd."""

    outcome: Outcome
    tokens: dict[str, str]


def boot_disk(directory: Path, more: dict[str, Content], defaults: dict[str, str], esp: dict[str, Content]) -> Made:
    """Boot a Debian disk: its ESP, a partition that is nothing, and a root with two kernels."""
    tokens = {version: make_token() for version in VERSIONS}
    initrds = {version: target_initrd(token) for version, token in tokens.items()}
    text = make_grub_cfg(kernels=VERSIONS, defaults={
        **defaults, "GRUB_CMDLINE_LINUX_DEFAULT": TARGET_CMDLINE, "GRUB_TIMEOUT": "0"})
    files: dict[str, Content] = {
        "boot/grub/grub.cfg": text, **more,
        **{f"boot/vmlinuz-{version}": debian.kernel().image for version in VERSIONS},
        **{f"boot/initrd.img-{version}": data for version, data in initrds.items()},
    }
    root = make_volume(directory / "root.img", Partition("root", "ext4", files))
    run("tune2fs", "-U", UUID, str(root))
    disk = make_disk(directory / "disk.img", [
        Partition("esp", "vfat", esp), Partition("xbootldr", "ext4", {"here/is": "nothing"}),
        Partition("root", raw=root.read_bytes())])
    policy = policy_text(anchors=["debian-ca.der"], cmdlines=[CMDLINE], initrds=initrds.values())
    shim = make_shim(directory / "shim", config_text(policy), {"debian-ca.der": debian_ca().read_bytes()})
    return Made(boot(shim, Disk(path=disk)), tokens)


def check(made: Made, version: str, entry: str) -> None:
    outcome = made.outcome
    assert outcome.facts is not None
    assert outcome.facts.token == made.tokens[version]
    assert outcome.facts.lines["cmdline"] == CMDLINE
    assert outcome.ended == "off"
    assert outcome.errors() == {}
    assert outcome.report is not None
    assert outcome.report["attempts"][-1]["entry"] == entry
    assert {one["dialect"] for one in outcome.report["entries"]} == {"grub"}


def test_a_disk_with_a_grub_cfg_boots(tmp_path: Path) -> None:
    made = boot_disk(tmp_path, {}, {}, {"EFI/BOOT/README": "no configuration here"})
    check(made, VERSIONS[0], f"gnulinux-simple-{UUID}")


def test_a_stub_on_the_esp_leads_to_the_saved_entry(tmp_path: Path) -> None:
    made = boot_disk(tmp_path, {"boot/grub/grubenv": block(saved_entry=OLDER)}, {"GRUB_DEFAULT": "saved"},
                     {"EFI/debian/grub.cfg": STUB})
    check(made, VERSIONS[1], OLDER)
    assert made.outcome.report is not None
    first = made.outcome.report["entries"][0]
    assert first["trace"][1] == "/EFI/debian/grub.cfg:3: goes on in vda3:/boot/grub/grub.cfg"
    assert "saved_entry of /boot/grub/grubenv" in first["trace"][-1]
