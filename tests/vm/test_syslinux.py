"""A Debian disk that has nothing but an extlinux.conf, as u-boot-update makes it, boots to its default."""

from __future__ import annotations

from pathlib import Path

import pytest

from shim.cli.qemu import Disk
from tests.builders import debian
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.extlinuxconfig import UUID, make_extlinux_conf
from tests.builders.target import make_token, target_initrd
from tests.vm.shimmed import TARGET_CMDLINE, boot, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm]
VERSIONS = ("6.1.0-9-amd64", "5.10.0-30-amd64")


def test_a_disk_with_an_extlinux_conf_boots(tmp_path: Path) -> None:
    """The default is the older kernel; only its initrd prints the token that is waited for."""
    tokens = {version: make_token() for version in VERSIONS}
    initrds = {version: target_initrd(token) for version, token in tokens.items()}
    text = make_extlinux_conf(VERSIONS, {
        "U_BOOT_DEFAULT": "l1", "U_BOOT_TIMEOUT": "1", "U_BOOT_PARAMETERS": f"ro {TARGET_CMDLINE}"})
    files: dict[str, Content] = {
        "boot/extlinux/extlinux.conf": text,
        **{f"boot/vmlinuz-{version}": debian.kernel().image for version in VERSIONS},
        **{f"boot/initrd.img-{version}": data for version, data in initrds.items()},
    }
    disk = make_disk(tmp_path / "disk.img", [Partition("root", "ext4", files)])
    cmdline = f"root=UUID={UUID} ro {TARGET_CMDLINE}"
    policy = policy_text(anchors=["debian-ca.der"], cmdlines=[cmdline], initrds=initrds.values())
    shim = make_shim(tmp_path / "shim", config_text(policy), {"debian-ca.der": debian_ca().read_bytes()})
    outcome = boot(shim, Disk(path=disk))
    assert outcome.facts is not None
    assert outcome.facts.token == tokens[VERSIONS[1]]
    assert outcome.facts.lines["cmdline"] == cmdline
    assert outcome.ended == "off"
    assert outcome.errors() == {}
    assert outcome.report is not None
    assert outcome.report["attempts"][-1]["entry"] == "l1"
    assert {one["dialect"] for one in outcome.report["entries"]} == {"syslinux"}
    first = outcome.report["entries"][0]
    assert first["trace"][-1] == "the default: DEFAULT of /boot/extlinux/extlinux.conf:8 says l1"
