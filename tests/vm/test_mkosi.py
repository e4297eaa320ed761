"""Images that mkosi builds, through the boot shim to a unit that says a token which only this machine was given."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shim.cli import main as bootshim
from shim.cli.qemu import Disk, MachineSpec, Qemu
from shim.cli.run_image import credential_arguments
from shim.formats.cpio import S_IFCHR, S_IFMT, parse_cpio
from shim.testing import Boot, ShimKernel
from tests.builders import debian
from tests.builders.images import PASSPHRASE, TARGETS, initramfs, shim_images, target_image
from tests.builders.mkosi import mkosi_tool
from tests.builders.swtpm import Swtpm
from tests.builders.target import make_token
from tests.unit.test_docs import ROOT, blocks
from tests.vm.shimmed import TIMEOUT

pytestmark = pytest.mark.vm
ONE_WORKER = pytest.mark.xdist_group("mkosi")  # builds the boot shim's images, once
ENGINES = {"load": "kexec_load", "file": "kexec_file_load"}
# Each target once, by the engines in turn: a boot takes most of a minute. BOOTSHIM_MATRIX=full starts all pairs.
PAIRS = [(target, engine) for number, target in enumerate(TARGETS) for at, engine in enumerate(ENGINES)
         if number % len(ENGINES) == at or os.environ.get("BOOTSHIM_MATRIX") == "full"]
DIALECTS = {"bls": "bls1", "fedora": "bls1", "grub": "bls1", "luks": "bls2", "uki": "bls2", "verity": "bls2"}
SAYS = r"bootshim-image-token={token} root=(\S+)\s"
ROOTS = {"luks": "/dev/mapper/cryptroot", "verity": "/dev/mapper/root"}
MEMORY = 1024
UNIT_TEXT = b"Description=Say the token of this boot"
PANIC = "Kernel panic - not syncing: dm-verity device corrupted"


@pytest.fixture(scope="session")
def bootshim_kernel() -> ShimKernel:
    kernel = debian.kernel()
    return ShimKernel(image=kernel.image, modules=kernel.modules)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return shim_images(tmp_path_factory.mktemp("mkosi"))


def credentials(token: str) -> dict[str, str]:
    return {"bootshim.token": token, "cryptsetup.passphrase": PASSPHRASE}


@pytest.mark.parametrize(("target", "engine"), PAIRS)
def test_every_target_boots_to_its_unit(boot: Boot, target: str, engine: str) -> None:
    token = make_token()
    booted = boot(target_image(target), expect=SAYS.format(token=token), engine=engine, memory=MEMORY,
                  credentials=credentials(token), timeout=TIMEOUT)
    attempt, = booted.report["attempts"]
    assert (attempt["error"], attempt["engine"]) == (None, ENGINES[engine])
    entry, = (one for one in booted.report["entries"] if one["id"] == attempt["entry"])
    assert entry["dialect"] == DIALECTS[target]
    assert booted.match is not None
    assert booted.match.rpartition("root=")[2].startswith(ROOTS.get(target, "/dev/vda"))
    if target == "verity":
        assert f"roothash={attempt['entry'].rpartition('-')[2].removesuffix('.efi')}" in attempt["cmdline"].split()


def test_a_verity_root_with_one_byte_changed_does_not_boot(boot: Boot, tmp_path: Path) -> None:
    """The boot shim starts the same UKI; what the root hash does not cover stops in the target's kernel."""
    disk = tmp_path / "changed.raw"
    shutil.copyfile(target_image("verity"), disk)
    with disk.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as data:
        at = data.find(UNIT_TEXT)
        assert at > 0
        assert data.find(UNIT_TEXT, at + 1) < 0
        data[at] ^= 1
    token = make_token()
    booted = boot(disk, expect=token, memory=MEMORY, credentials=credentials(token), timeout=TIMEOUT, check=False)
    assert booted.verdict == "failed"
    assert PANIC in booted.console
    assert booted.report["attempts"][0]["error"] is None


def test_what_is_measured_is_what_is_predicted(boot: Boot, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """PCR 11 of mkosi's own UKI, told in advance from the file that mkosi put beside the disk."""
    token = make_token()
    with Swtpm() as tpm:
        booted = boot(target_image("uki"), expect=SAYS.format(token=token), memory=MEMORY, extra=tpm.arguments,
                      credentials=credentials(token), timeout=TIMEOUT)
    uki = tmp_path / "uki.efi"
    shutil.copyfile(target_image("uki").with_suffix(".efi"), uki)
    capsys.readouterr()
    assert bootshim(["measure", str(uki)]) == 0
    assert f"11:sha256={booted.pcrs['sha256'][11].hex()}" in capsys.readouterr().out.splitlines()


@ONE_WORKER
def test_the_initramfs_of_mkosi_is_that_of_the_host_command(built: dict[str, Path]) -> None:
    """But for two device nodes, which only root can make, the order and the dates."""
    def contents(archive: bytes) -> dict[str, tuple[int, bytes]]:
        return {entry.path: (entry.mode, bytes(entry.data)) for entry in parse_cpio(archive)}

    ours, theirs = contents(initramfs()), contents(built["bootshim"].read_bytes())
    nodes = {path for path, (mode, _data) in ours.items() if mode & S_IFMT == S_IFCHR}
    assert nodes == {"dev/console", "dev/null"}
    assert theirs == {path: held for path, held in ours.items() if path not in nodes}


@ONE_WORKER
def test_the_images_of_the_boot_shim_repeat_bit_by_bit(built: dict[str, Path], tmp_path: Path) -> None:
    again = shim_images(tmp_path)
    for name in ("bootshim", "bootshim-uki"):
        assert again[name].read_bytes() == built[name].read_bytes(), name


@ONE_WORKER
def test_the_disk_of_the_boot_shim_boots_another_disk(built: dict[str, Path]) -> None:
    """Firmware, the boot shim's UKI on its ESP, then the target on the second disk."""
    token = make_token()
    disks = (Disk(path=built["bootshim-esp"]), Disk(path=target_image("uki")))
    extra = credential_arguments([f"{name}={value}" for name, value in credentials(token).items()])
    with Qemu(MachineSpec(disks=disks, firmware="uefi", memory=2048, extra=extra)) as machine:
        found = machine.read_until(rf"bootshim-report-end[\s\S]*{SAYS.format(token=token)}", TIMEOUT)
        print(machine.serial)
    assert found is not None


@ONE_WORKER
def test_another_project_includes_the_boot_shim(built: dict[str, Path], tmp_path: Path) -> None:
    """The recipe of docs/mkosi.md, word for word; the UKI in it is the one that this checkout builds."""
    recipe = next(text for text in blocks(ROOT / "docs/mkosi.md", "ini") if "Include=bootshim" in text)
    (tmp_path / "bootshim").symlink_to(ROOT)
    (tmp_path / "mkosi.conf").write_text(f"{recipe}\n[Content]\nSourceDateEpoch=1704067200\n")
    subprocess.run([str(mkosi_tool() / "mkosi"), "--cache-only=always", "--output=own", "build"], cwd=tmp_path,
                   check=True, stdin=subprocess.DEVNULL)
    assert (tmp_path / "own.efi").read_bytes() == built["bootshim-esp"].with_suffix(".efi").read_bytes()
