"""A volume that is sealed to PCR 11 by a signed policy, with the tools of a distribution on both sides of the boot.

The commands are those of docs/measuring.md: `bootshim measure --sign` signs the policy, systemd-cryptenroll seals a
LUKS2 volume to the key, and systemd-cryptsetup opens it with the signature that the UKI carries, in the kernel that the
boot shim has started.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk
from shim.formats.pe import parse_pe
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.sealed import SERIAL, TOKEN_SIZE, recipe, sealed_target
from tests.builders.swtpm import Swtpm
from tests.builders.target import make_token
from tests.builders.uki import STUB, SUITE, sign_pe
from tests.vm.scene import OVERRIDES, Authority, make_authority, overrides
from tests.vm.shimmed import TARGET_CMDLINE, Outcome, Shim, boot, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm]
OLD, NEW, CHANGED = "old.efi", "new.efi", "changed.efi"
MIB = 1 << 20
# Before systemd extends a word; after it was asked to and did not, because no systemd-stub ran; then in two phases.
PHASES = ("before", "unforced", "inside", "later")
CLOSED = "closed: No TPM2 metadata matching the current system state"


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


def make_bin(folder: Path) -> str:
    """Return a PATH with the programs of the recipe: ours of this checkout, ukify and sbsign as unpacked."""
    ukify = debian.package("systemd-ukify", suite=SUITE) / "usr/bin/ukify"
    stub = debian.package("systemd-boot-efi", suite=SUITE) / STUB
    programs = {"bootshim": f"{sys.executable} -c 'import sys; from shim.cli import main; sys.exit(main())'",
                "ukify": f"{sys.executable} {ukify} --stub {stub}",
                "sbsign": str(debian.package("sbsigntool") / "usr/bin/sbsign")}  # fmt: skip
    folder.mkdir()
    for name, command in programs.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def run_recipe(folder: Path, commands: list[str], path: str) -> None:
    done = subprocess.run(["sh", "-e", "-c", "\n".join(commands)], cwd=folder, env={**os.environ, "PATH": path},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def sealing_uki(folder: Path, name: str, release: str, path: str) -> tuple[Path, Path]:
    """Return a UKI as the recipe makes it, before and after it is signed for the boot shim's policy."""
    (folder / "os-release").write_text(release)
    run_recipe(folder, [line for line in recipe() if line.split()[0] in ("ukify", "bootshim", "sbsign")], path)
    return (folder / "sealing.efi").rename(folder / f"{name}.sealing"), (folder / "linux.efi").rename(folder / name)


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
def scene(tmp_path: Path) -> Scene:
    token, secret, authority = make_token(), make_token(), make_authority(tmp_path, "test")
    for name, source in (("vmlinuz", debian.kernel().image), ("db.key", authority.signer.key),
                         ("db.pem", authority.signer.certificate)):  # fmt: skip
        (tmp_path / name).symlink_to(source)
    (tmp_path / "initrd.img").write_bytes(sealed_target(token))
    (tmp_path / "cmdline").write_text(TARGET_CMDLINE)
    path = make_bin(tmp_path / "bin")
    run_recipe(tmp_path, [line for line in recipe() if line.startswith("openssl ")], path)
    _, old = sealing_uki(tmp_path, OLD, "ID=sealed\nVERSION_ID=1\n", path)
    unsigned, new = sealing_uki(tmp_path, NEW, "ID=sealed\nVERSION_ID=2\n", path)
    changed = sign_pe(with_one_byte_changed(unsigned), tmp_path / CHANGED, authority.signer)
    disk = make_disk(tmp_path / "disk.img", [
        Partition("esp", "vfat", {f"EFI/Linux/{uki.name}": uki for uki in (old, new, changed)})])
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
    assert scene.secret.encode() in scene.vault.read_bytes()[:MIB]

    first = scene.start(OLD)
    assert (first["sealed"], first["inside"]) == ("yes", scene.secret)
    assert scene.secret.encode() not in scene.vault.read_bytes()

    again = scene.start(OLD)  # the TPM alone opens it, in the phases that were signed and not behind them
    assert "sealed" not in again
    assert [again[when] for when in PHASES] == [*[scene.secret] * 3, CLOSED]

    changed = scene.start(CHANGED)  # the policy takes it, its PCR 11 opens nothing
    assert changed["pcr_sha256_11"] != again["pcr_sha256_11"]
    assert [changed[when] for when in PHASES] == [CLOSED] * 4

    updated = scene.start(NEW)  # never enrolled: signed by the same key
    assert updated["pcr_sha256_11"] != again["pcr_sha256_11"]
    assert [updated[when] for when in PHASES] == [*[scene.secret] * 3, CLOSED]
