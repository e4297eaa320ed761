"""Under UEFI secure boot the kernel locks itself down, and judges with the firmware's keys: what it says is told."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk, MachineSpec
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.secure_boot import secure_variables
from tests.builders.target import make_token, target_initrd
from tests.builders.uki import make_uki, sign_pe, unsigned_kernel
from tests.builders.vmlinux import vmlinux_of
from tests.vm.scene import Authority, bls, make_authority
from tests.vm.shimmed import (
    BASE_CMDLINE,
    FLASH,
    TARGET_CMDLINE,
    Outcome,
    boot_spec,
    config_text,
    debian_ca,
    make_shim,
    policy_text,
)

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("secure-boot")]
# What the running kernel must refuse, in the order in which it is tried; our policy has them pinned.
REFUSED = {
    "90-unsigned.conf": "the kernel is not signed, and the running kernel demands a signature",
    "80-tampered.conf": "the kernel's signature does not fit its bytes",
    "70-foreign.conf": "the kernel is signed with a key that the running kernel does not have",
    "60-vmlinux.conf": "lockdown leaves only kexec_file_load, which cannot take this kernel",
}
GOOD = "50-debian.conf"


class Scene(NamedTuple):
    """A machine with Debian's authority and ours in its db, and the files of /boot."""

    directory: Path
    token: str
    ours: Authority
    variables: Path
    kernels: dict[str, bytes]
    initrd: bytes


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory = tmp_path_factory.mktemp("secure-boot")
    ours, theirs = make_authority(directory, "ours"), make_authority(directory, "theirs")
    variables = secure_variables(directory / "variables.fd", ours.ca.certificate, [ours.ca.certificate, debian_ca()])
    signed, bare = debian.kernel().image.read_bytes(), unsigned_kernel(directory)
    Path(directory, "bare").write_bytes(bare)
    tampered = bytearray(signed)
    tampered[len(bare) // 2] ^= 1
    kernels = {
        "unsigned": bare, "tampered": bytes(tampered),
        "foreign": sign_pe(directory / "bare", directory / "foreign", theirs.signer).read_bytes(),
        "vmlinux": vmlinux_of(debian.kernel().image), "debian": signed,
    }  # fmt: skip
    token = make_token()
    return Scene(directory, token, ours, variables, kernels, target_initrd(token))


def start(scene: Scene, engine: str, kernel: str) -> Outcome:
    """Boot from an ESP that holds nothing but the boot shim, as a signed UKI."""
    policy = policy_text(anchors=["debian-ca.der"], cmdlines=[TARGET_CMDLINE], initrds=[scene.initrd],
                         kernels=scene.kernels.values())
    folder = scene.directory / f"{kernel}-{engine}"
    shim = make_shim(folder, config_text(policy, engine=engine), {"debian-ca.der": debian_ca().read_bytes()},
                     interface=kernel)
    unsigned = make_uki(folder / "shim.unsigned", shim.kernel, [shim.initramfs], BASE_CMDLINE)
    signed = sign_pe(unsigned, folder / "shim.efi", scene.ours.signer)
    entries = {f"loader/entries/{name}": bls(f"/{name[3:].removesuffix('.conf')}", "/initrd")
               for name in (*REFUSED, GOOD)}
    disk = make_disk(folder / "disk.img", [
        Partition("esp", "vfat", {"EFI/BOOT/BOOTX64.EFI": signed}),
        Partition("xbootldr", "ext4", {**entries, **scene.kernels, "initrd": scene.initrd}),
    ])  # fmt: skip
    return boot_spec(MachineSpec(disks=(Disk(path=disk),), firmware="uefi", variables=scene.variables))


@pytest.mark.parametrize("running", ["virtio", FLASH])
def test_the_running_kernel_judges_and_its_refusals_are_told(scene: Scene, running: str) -> None:
    outcome = start(scene, "auto", running)
    assert outcome.facts is not None
    assert outcome.facts.token == scene.token
    assert outcome.facts.number("efi_runtime") == 1
    errors = outcome.errors()
    assert {name: REFUSED[name] in errors[name] for name in REFUSED} == dict.fromkeys(REFUSED, True), errors
    assert outcome.report is not None
    kernel = outcome.report["kernel"]
    assert (kernel["lockdown"], kernel["secure_boot"], kernel["kexec_load_disabled"]) == ("integrity", True, False)
    assert any(name.startswith("Debian Secure Boot CA: ") for name in kernel["keys"])
    assert any(name.startswith("ours-ca") for name in kernel["keys"])
    last = outcome.report["attempts"][-1]
    assert (last["entry"], last["engine"]) == (GOOD, "kexec_file_load")
    assert last["why"].startswith("lockdown=integrity: only the running kernel may judge and load")


@pytest.mark.parametrize("running", ["virtio", FLASH])
def test_own_segments_are_forbidden_and_the_machine_is_reset(scene: Scene, running: str) -> None:
    outcome = start(scene, "load", running)
    assert outcome.facts is None
    assert outcome.ended == "reset"
    assert f"{GOOD} failed in load: secure boot or the integrity policy (IMA) forbids kexec_load" in outcome.serial
