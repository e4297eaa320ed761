"""Every kind of detached signature is judged in the frozen runtime as on a host: one boot over all of them."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk
from shim.formats.manifest import Manifest, ManifestFile, build_manifest
from tests.builders import debian
from tests.builders.cms import appended, openssl_cms
from tests.builders.detached import KINDS, Signer, make_signer, policy_table
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.openpgp import Gpg
from tests.builders.signing import identity, key
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, boot, config_text, debian_ca, digests, make_shim

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("signatures")]
# Pinned, so that each of these entries fails after its initrd was judged, and before anything is loaded.
NO_KERNEL = b"no kernel\n" * 100
GOOD = "a-good.conf"
GPG_KEYS = {"pgp-rsa": "rsa3072", "pgp-ec": "nistp384", "pgp-ed": "ed25519"}


class Scene(NamedTuple):
    """One boot over an entry a tool with a good signature and one with the signature of another file."""

    token: str
    signers: dict[str, Signer]
    outcome: Outcome


def name_of(tool: str) -> str:
    return tool.replace(" ", "-")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("signatures")
    token = make_token()
    initrd = target_initrd(token)
    signers = {tool: make_signer(folder / name_of(tool), tool) for tool in KINDS}
    files: dict[str, Content] = {"vmlinuz": debian.kernel().image, "text": NO_KERNEL}
    for tool, signer in signers.items():
        name, mine = name_of(tool), initrd + tool.encode().ljust(512, b"\0")
        files |= {f"{name}.img": mine, f"{name}.img{signer.suffix}": signer.sign(mine),
                  f"{name}.bad": mine, f"{name}.bad{signer.suffix}": signer.sign(initrd),
                  f"loader/entries/{name}.conf": bls("/text", f"/{name}.img"),
                  f"loader/entries/{name}-bad.conf": bls("/text", f"/{name}.bad")}
    two = (signers["minisign"], signers["ssh ed25519"])
    files |= {"both.img": initrd, **{f"both.img{signer.suffix}": signer.sign(initrd) for signer in two},
              f"loader/entries/{GOOD}": bls("/vmlinuz", "/both.img")}
    rows = [ManifestFile(name=path, size=len(data), sha256=hashlib.sha256(data).digest())
            for path, data in (("/listed.img", initrd), ("/text", NO_KERNEL))]
    manifest = build_manifest(Manifest(version=3, files=tuple(rows))).encode()
    files |= {"manifest.toml": manifest, "manifest.toml.minisig": signers["minisign"].sign(manifest),
              "listed.img": initrd, "loader/entries/listed.conf": bls("/text", "/listed.img"),
              "other.img": initrd, "loader/entries/other.conf": bls("/text", "/other.img")}
    root = identity("Root", key("p384"), ca=True)
    leaf = identity("Signer", key("rsa2048"), issuer=root)
    files |= {"cms.img": initrd, "cms.img.p7s": openssl_cms(folder, initrd, leaf),
              "loader/entries/cms.conf": bls("/text", "/cms.img"),
              "appended.img": appended(initrd, openssl_cms(folder, initrd, leaf, more=["-noattr"])),
              "loader/entries/appended.conf": bls("/text", "/appended.img"),
              "cms-bad.img": initrd, "cms-bad.img.p7s": openssl_cms(folder, NO_KERNEL, leaf),
              "loader/entries/cms-bad.conf": bls("/text", "/cms-bad.img")}
    ring = openpgp_files(files, initrd)
    disk = make_disk(folder / "disk.img", [Partition("xbootldr", "ext4", files)])
    table, keys = policy_table(list(signers.values()))
    policy = "\n".join([
        "[policy]", 'anchors = ["ca.der", "root.der"]',
        "[policy.keys]", *(f"{kind} = {json.dumps(names)}" for kind, names in dict(table["keys"]).items()),  # type: ignore[call-overload]
        'openpgp = ["ring.gpg"]',
        "[policy.kernel]", 'require = ["authenticode", "sha256"]', f"sha256 = {json.dumps(digests([NO_KERNEL]))}",
        "[policy.initrd]", 'require = ["minisign", "ssh", "manifest", "cms", "appended", "openpgp"]',
        "[policy.manifest]", 'path = "/manifest.toml"', 'require = ["minisign"]', "minimum_version = 3",
        "[policy.cmdline]", 'require = ["exact"]', f"exact = {json.dumps([TARGET_CMDLINE])}",
    ])  # fmt: skip
    held = {**keys, "ca.der": debian_ca().read_bytes(), "root.der": root.der, "ring.gpg": ring}
    shim = make_shim(folder / "shim", config_text(policy), held)
    return Scene(token, signers, boot(shim, Disk(path=disk)))


def openpgp_files(files: dict[str, Content], initrd: bytes) -> bytes:
    """Add initrds that gpg signed, by keys of three kinds, and one over another file; return the keyring."""
    gpg = Gpg()
    try:
        for name, kind in GPG_KEYS.items():
            gpg.make(name, kind)
            files |= {f"{name}.img": initrd, f"{name}.img.asc": gpg.sign(initrd, name),
                      f"loader/entries/{name}.conf": bls("/text", f"/{name}.img")}
        files |= {"pgp-bad.img": initrd, "pgp-bad.img.sig": gpg.sign(NO_KERNEL, *GPG_KEYS, armor=False),
                  "loader/entries/pgp-bad.conf": bls("/text", "/pgp-bad.img")}
        return gpg.export(*GPG_KEYS)
    finally:
        gpg.close()


def attempt(scene: Scene, entry: str) -> dict[str, object]:
    assert scene.outcome.report is not None
    return next(one for one in scene.outcome.report["attempts"] if one["entry"] == entry)


@pytest.mark.parametrize("tool", KINDS)
def test_a_good_signature_is_taken(scene: Scene, tool: str) -> None:
    tried = attempt(scene, f"{name_of(tool)}.conf")
    assert (tried["stage"], "no kernel of a known kind" in str(tried["error"])) == ("plan", True)
    initrd = next(verdict for verdict in tried["verdicts"] if verdict["role"] == "initrd")  # type: ignore[attr-defined]
    assert (initrd["accepted"], initrd["rule"]) == (True, KINDS[tool])


@pytest.mark.parametrize("tool", KINDS)
def test_the_signature_of_another_file_is_refused(scene: Scene, tool: str) -> None:
    tried = attempt(scene, f"{name_of(tool)}-bad.conf")
    assert tried["stage"] == "verify"
    assert "does not fit" in str(tried["error"])


@pytest.mark.parametrize("name", GPG_KEYS)
def test_what_gpg_signed_is_taken(scene: Scene, name: str) -> None:
    tried = attempt(scene, f"{name}.conf")
    initrd = next(verdict for verdict in tried["verdicts"] if verdict["role"] == "initrd")  # type: ignore[attr-defined]
    assert (tried["stage"], initrd["accepted"], initrd["rule"]) == ("plan", True, "openpgp")


def test_what_gpg_signed_over_another_file_is_refused(scene: Scene) -> None:
    assert attempt(scene, "pgp-bad.conf")["stage"] == "verify"


@pytest.mark.parametrize("kind", ["cms", "appended"])
def test_a_chain_to_an_anchor_is_taken(scene: Scene, kind: str) -> None:
    tried = attempt(scene, f"{kind}.conf")
    assert (tried["stage"], "no kernel of a known kind" in str(tried["error"])) == ("plan", True), tried["error"]
    initrd = next(verdict for verdict in tried["verdicts"] if verdict["role"] == "initrd")  # type: ignore[attr-defined]
    assert (initrd["accepted"], initrd["rule"], initrd["signer"]) == (True, kind, "Signer")


def test_a_chain_over_another_file_is_refused(scene: Scene) -> None:
    assert attempt(scene, "cms-bad.conf")["stage"] == "verify"


def test_what_the_signed_manifest_lists_is_taken_and_nothing_else(scene: Scene) -> None:
    assert attempt(scene, "listed.conf")["stage"] == "plan"
    other = attempt(scene, "other.conf")
    assert (other["stage"], "the manifest does not name it" in str(other["error"])) == ("verify", True)


def test_the_entry_that_is_whole_boots(scene: Scene) -> None:
    assert scene.outcome.facts is not None
    assert scene.outcome.facts.token == scene.token
    assert attempt(scene, GOOD)["error"] is None
