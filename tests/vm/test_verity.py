"""A command line is taken for the signature of its root hash, which lies in a partition of another disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shim.cli.qemu import Disk
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.target import make_token, target_initrd
from tests.builders.verity import make_verity_disk
from tests.vm.scene import bls, make_authority
from tests.vm.shimmed import TARGET_CMDLINE, boot, config_text, digests, make_shim

pytestmark = [pytest.mark.vm]


def test_the_signed_root_hash_boots_and_another_does_not(tmp_path: Path) -> None:
    token, authority, kernel = make_token(), make_authority(tmp_path, "images"), debian.kernel().image
    made = make_verity_disk(tmp_path / "verity", authority.signer)
    first = "0" if made.root_hash[0] != "0" else "1"
    initrd = target_initrd(token)
    disk = make_disk(tmp_path / "disk.img", [Partition("xbootldr", "ext4", {
        "vmlinuz": kernel, "initrd": initrd,
        "loader/entries/a-good.conf":
            bls("/vmlinuz", "/initrd", options=f"{TARGET_CMDLINE} roothash={made.root_hash}", version="1"),
        "loader/entries/b-changed.conf":
            bls("/vmlinuz", "/initrd", options=f"{TARGET_CMDLINE} roothash={first}{made.root_hash[1:]}", version="2"),
        "loader/entries/c-longer.conf":
            bls("/vmlinuz", "/initrd", options=f"{TARGET_CMDLINE} roothash={made.root_hash} init=/evil", version="3"),
    })])  # fmt: skip
    policy = "\n".join([
        "[policy]", 'anchors = ["images.der"]',
        "[policy.kernel]", 'require = ["sha256"]', f"sha256 = {json.dumps(digests([kernel.read_bytes()]))}",
        "[policy.initrd]", 'require = ["sha256"]', f"sha256 = {json.dumps(digests([initrd]))}",
        "[policy.cmdline]", 'require = ["verity"]', f"verity = {json.dumps([TARGET_CMDLINE])}",
    ])  # fmt: skip
    shim = make_shim(tmp_path / "shim", config_text(policy), {"images.der": authority.ca.der.read_bytes()})
    outcome = boot(shim, Disk(path=disk), Disk(path=made.image))
    assert outcome.facts is not None
    assert outcome.facts.token == token
    assert outcome.facts.lines["cmdline"] == f"{TARGET_CMDLINE} roothash={made.root_hash}"
    errors = outcome.errors()
    assert set(errors) == {"b-changed.conf", "c-longer.conf"}
    assert "no disk has a signature of its roothash" in errors["b-changed.conf"]
    assert "none of the command lines listed" in errors["c-longer.conf"]
    assert outcome.report is not None
    verdict = next(one for one in outcome.report["attempts"][-1]["verdicts"] if one["role"] == "cmdline")
    assert (verdict["rule"], verdict["signer"]) == ("verity", "images-signer")
