"""A counter in the TPM against old manifests, made and counted up by tpm2-tools as docs/policy.md says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk
from shim.formats.manifest import Manifest, ManifestFile, build_manifest
from tests.builders import debian
from tests.builders.detached import make_signer
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.swtpm import Swtpm, provision
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, Shim, boot, config_text, digests, make_shim

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("rollback")]
INDEX = 0x01800010
MADE = (f"tpm2_nvdefine {INDEX:#x} -C o -a 'ownerwrite|authread|no_da|nt=counter'", f"tpm2_nvincrement {INDEX:#x} -C o")
COUNT = f"tpm2_nvincrement {INDEX:#x} -C o"
VERSION = 2


class Scene(NamedTuple):
    """A disk whose first entry stands in a manifest of version 2, and whose second is pinned; each with a token."""

    disk: Path
    listed: str
    recovery: str
    shim: Shim


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("rollback")
    signer, listed, recovery = make_signer(folder, "minisign"), make_token(), make_token()
    kernel, initrd, pinned = debian.kernel().image, target_initrd(listed), target_initrd(recovery)
    rows = tuple(ManifestFile(name=path, size=len(data), sha256=hashlib.sha256(data).digest())
                 for path, data in (("/vmlinuz", kernel.read_bytes()), ("/initrd", initrd)))
    manifest = build_manifest(Manifest(version=VERSION, files=rows)).encode()
    files: dict[str, Content] = {
        "vmlinuz": kernel, "initrd": initrd, "pinned": pinned, "manifest.toml": manifest,
        "manifest.toml.minisig": signer.sign(manifest),
        "loader/entries/b-listed.conf": bls("/vmlinuz", "/initrd", version="2"),
        "loader/entries/a-recovery.conf": bls("/vmlinuz", "/pinned", version="1", title="Recovery"),
    }  # fmt: skip
    policy = "\n".join([
        "[policy.keys]", 'minisign = ["release.pub"]',
        "[policy.manifest]", 'path = "/manifest.toml"', 'require = ["minisign"]', f"counter = {INDEX:#x}",
        "counter_base = 1",
        "[policy.kernel]", 'require = ["manifest", "sha256"]', f"sha256 = {json.dumps(digests([kernel.read_bytes()]))}",
        "[policy.initrd]", 'require = ["manifest", "sha256"]', f"sha256 = {json.dumps(digests([pinned]))}",
        "[policy.cmdline]", 'require = ["exact"]', f"exact = {json.dumps([TARGET_CMDLINE])}",
    ])  # fmt: skip
    disk = make_disk(folder / "disk.img", [Partition("xbootldr", "ext4", files)])
    shim = make_shim(folder / "shim", config_text(policy), {"release.pub": signer.public})
    return Scene(disk, listed, recovery, shim)


def started(scene: Scene, state: Path) -> Outcome:
    with Swtpm(state=state) as tpm:
        return boot(scene.shim, Disk(path=scene.disk), extra=tpm.arguments)


def test_a_manifest_boots_until_the_counter_has_gone_past_it(scene: Scene, tmp_path: Path) -> None:
    state = tmp_path / "state"
    provision(state, *MADE, *[COUNT] * VERSION)
    outcome = started(scene, state)
    assert outcome.facts is not None and outcome.facts.token == scene.listed
    assert outcome.report is not None
    assert "by the rollback counter, manifests are taken from version 2 on" in outcome.report["notes"]
    provision(state, COUNT)
    outcome = started(scene, state)
    assert outcome.facts is not None and outcome.facts.token == scene.recovery
    assert "the manifest is too old: version 2, at least 3 is needed" in outcome.errors()["b-listed.conf"]


def test_a_counter_that_was_lost_takes_no_manifest_and_leaves_the_recovery(scene: Scene, tmp_path: Path) -> None:
    provision(tmp_path / "state", *MADE, *[COUNT] * VERSION, f"tpm2_nvundefine {INDEX:#x} -C o")
    outcome = started(scene, tmp_path / "state")
    assert outcome.facts is not None and outcome.facts.token == scene.recovery
    assert "the rollback counter 0x1800010 says nothing" in outcome.errors()["b-listed.conf"]
    assert "never made, or was lost" in outcome.errors()["b-listed.conf"]
