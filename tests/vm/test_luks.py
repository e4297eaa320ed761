"""A volume that is sealed to PCR 11 by a signed policy, with the tools of a distribution on both sides of the boot.

The policy is signed by `bootshim measure --sign`; systemd-cryptenroll seals a LUKS2 volume to the key, and
systemd-cryptsetup opens it with the signature that the UKI carries, in the kernel that the boot shim has started.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli import main as bootshim
from shim.cli.qemu import Disk
from shim.formats.pe import parse_pe
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.sealed import SERIAL, TOKEN_SIZE, sealed_target
from tests.builders.swtpm import Swtpm
from tests.builders.target import make_token
from tests.builders.uki import make_uki, sign_pe
from tests.vm.scene import OVERRIDES, Authority, make_authority, overrides
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, Shim, boot, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm]
OLD, NEW, CHANGED = "old.efi", "new.efi", "changed.efi"
MIB = 1 << 20


class Scene(NamedTuple):
    """A disk with three UKIs that the policy takes, a second one to be sealed, and the TPM's state."""

    shim: Shim
    disk: Path
    vault: Path
    tpm: Path
    token: str
    secret: str

    def start(self, entry: str) -> dict[str, str]:
        """Boot an entry; return what the target says."""
        with Swtpm(state=self.tpm) as tpm:
            attached = ("-drive", f"file={self.vault},if=none,id={SERIAL},format=raw",
                        "-device", f"virtio-blk-pci,drive={SERIAL},serial={SERIAL},romfile=")
            outcome: Outcome = boot(self.shim, Disk(path=self.disk), extra=(*tpm.arguments, *attached),
                                    cmdline=overrides({"boot.entry": entry}))
        assert outcome.errors() == {}
        assert outcome.facts is not None
        assert outcome.facts.token == self.token
        return outcome.facts.lines


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def sealing_uki(folder: Path, name: str, version: int, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a UKI that carries the public key and the signature over its own PCR 11."""
    words = ["--pcrpkey", str(folder / "pcr.pub")]
    release = f"ID=sealed\nVERSION_ID={version}\n"
    first = make_uki(folder / f"{name}.first", debian.kernel().image, [folder / "initrd"], TARGET_CMDLINE, release,
                     more=words)
    capsys.readouterr()
    assert bootshim(["measure", str(first), "--sign", str(folder / "pcr.pem"), "--public-key",
                     str(folder / "pcr.pub"), "--phase", "enter-initrd"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    (folder / "pcrsig.json").write_text(said.out)
    words += ["--section", f".pcrsig:@{folder / 'pcrsig.json'}"]
    return make_uki(folder / f"{name}.second", debian.kernel().image, [folder / "initrd"], TARGET_CMDLINE, release,
                    more=words)


def with_one_byte_changed(uki: Path) -> Path:
    """Change a byte of what says the version, which is measured."""
    data = bytearray(uki.read_bytes())
    section = parse_pe(data).section(".osrel")
    assert section is not None
    data[data.index(bytes(section.data(data))) + len("ID=seale")] ^= 1
    changed = uki.with_suffix(".changed")
    changed.write_bytes(data)
    return changed


@pytest.fixture
def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scene:
    token, secret, authority = make_token(), make_token(), make_authority(tmp_path, "test")
    openssl("genrsa", "-out", str(tmp_path / "pcr.pem"), "2048")
    openssl("pkey", "-in", str(tmp_path / "pcr.pem"), "-pubout", "-out", str(tmp_path / "pcr.pub"))
    (tmp_path / "initrd").write_bytes(sealed_target(token))
    old, new = (sealing_uki(tmp_path, name, version, capsys) for version, name in enumerate((OLD, NEW), start=1))
    signed = {f"EFI/Linux/{name}": sign_pe(uki, tmp_path / name, authority.signer)
              for name, uki in ((OLD, old), (NEW, new), (CHANGED, with_one_byte_changed(new)))}
    disk = make_disk(tmp_path / "disk.img", [Partition("esp", "vfat", dict(signed))])
    vault = tmp_path / "vault.img"
    vault.write_bytes(secret.encode().ljust(64 * MIB, b"\0"))
    assert len(secret) == TOKEN_SIZE
    return Scene(make_measuring_shim(tmp_path, authority), disk, vault, tmp_path / "tpm", token, secret)


def make_measuring_shim(folder: Path, authority: Authority) -> Shim:
    policy = policy_text(anchors=["ca.der", "debian.der"], cmdlines=[TARGET_CMDLINE])
    files = {"ca.der": authority.ca.der.read_bytes(), "debian.der": debian_ca().read_bytes()}
    more = f'[measure]\ntpm = "required"\n{OVERRIDES}'
    return make_shim(folder / "shim", config_text(policy, more=more), files)


def test_a_sealed_volume_opens_for_what_was_signed_and_stays_closed_for_one_changed_byte(scene: Scene) -> None:
    assert scene.secret.encode() in scene.vault.read_bytes()[: 1 * MIB]

    first = scene.start(OLD)
    assert (first["sealed"], first["inside"]) == ("yes", scene.secret)
    assert scene.secret.encode() not in scene.vault.read_bytes()

    again = scene.start(OLD)  # the TPM alone opens it, in the phase that was signed and not behind it
    assert "sealed" not in again
    assert (again["inside"], again["later"]) == (scene.secret, "closed")

    changed = scene.start(CHANGED)  # the policy takes it, its PCR 11 opens nothing
    assert changed["pcr_sha256_11"] != again["pcr_sha256_11"]
    assert (changed.get("inside"), changed["later"]) == (None, "closed")

    updated = scene.start(NEW)  # never enrolled: signed by the same key
    assert updated["pcr_sha256_11"] != again["pcr_sha256_11"]
    assert (updated["inside"], updated["later"]) == (scene.secret, "closed")
