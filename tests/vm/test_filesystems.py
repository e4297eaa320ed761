"""Every file system that boot files lie on is read, as a power cut left it, and nothing of it is written."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import MachineSpec
from tests.builders import debian
from tests.builders.busybox import busybox_initramfs
from tests.builders.disk import FILE_SYSTEMS, Partition, make_disk
from tests.builders.filesystems import run
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import (
    BASE_CMDLINE,
    EVERY_FILE_SYSTEM,
    FLASH,
    TARGET_CMDLINE,
    Outcome,
    boot_spec,
    config_text,
    debian_ca,
    make_shim,
    policy_text,
)

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("filesystems")]
JOURNALS = ("ext3", "ext4", "xfs", "btrfs", "f2fs")
GOOD = "ext4"
# Mount what has a journal, change something that is in it for certain, and cut the power.
CRASH = """until [ -b /dev/vda@LAST@ ]; do usleep 10000; done
@MOUNTS@
sync
for number in @NUMBERS@; do
	dd if=/dev/urandom of=/mnt/$number/crash bs=64k count=1 conv=fsync || echo crash: failed in $number
done
echo crash: now
echo b > /proc/sysrq-trigger
"""


class Made(NamedTuple):
    """A disk with every file system, those with a journal left dirty; digests of the files on each, by its name."""

    disk: Path
    token: str
    initrd: bytes
    digests: dict[str, set[str]]


class Scene(NamedTuple):
    """The disk, one boot of it, and the disk's digest before and after."""

    made: Made
    outcome: Outcome
    before: bytes
    after: bytes


def number_of(kind: str) -> int:
    return [*FILE_SYSTEMS].index(kind) + 1


def entry_of(kind: str) -> str:
    """Return the entry's id: the highest name is tried first, and the good one last."""
    return "a-good.conf" if kind == GOOD else f"{kind}.conf"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def writable(disk: Path) -> tuple[str, ...]:
    """Attach a disk for real: what the machine writes stays."""
    return ("-drive", f"file={disk},format=raw,if=none,id=real", "-device", "virtio-blk-pci,drive=real")


def crash(disk: Path, directory: Path) -> None:
    """Mount and change what has a journal, and cut the power."""
    kernel = debian.kernel("")
    numbers = [number_of(kind) for kind in JOURNALS]
    mounts = "\n".join(f"mkdir -p /mnt/{number_of(kind)}; mount -t {kind} /dev/vda{number_of(kind)} "
                       f"/mnt/{number_of(kind)}" for kind in JOURNALS)
    script = CRASH.replace("@MOUNTS@", mounts).replace("@NUMBERS@", " ".join(map(str, numbers)))
    script = script.replace("@LAST@", str(len(FILE_SYSTEMS)))
    initrd = directory / "crash.initrd"
    initrd.write_bytes(busybox_initramfs(script, kernel, ["virtio_pci", "virtio_blk", *JOURNALS[1:]]))
    outcome = boot_spec(MachineSpec(kernel=kernel.image, initramfs=initrd, cmdline=BASE_CMDLINE, extra=writable(disk)))
    assert "crash: now" in outcome.serial
    assert "crash: failed" not in outcome.serial


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Fill each file system with an entry of its own, of which only one is trusted; then crash."""
    directory = tmp_path_factory.mktemp("filesystems")
    token = make_token()
    initrd = target_initrd(token)
    partitions, digests = [], {}
    for kind in FILE_SYSTEMS:
        mine = debian.kernel("").image.read_bytes() if kind == GOOD else secrets.token_bytes((3 << 20) + 17)
        text = bls("/files/Kernel.of", "/initrd")
        files = {f"loader/entries/{entry_of(kind)}": text, "files/Kernel.of": mine, "initrd": initrd}
        partitions.append(Partition("xbootldr", kind, files, label="BOOTDISK"))
        digests[kind] = {digest(mine), digest(initrd)}
    disk = make_disk(directory / "disk.img", partitions)
    crash(disk, directory)
    return Made(disk, token, initrd, digests)


@pytest.fixture(scope="module", params=[EVERY_FILE_SYSTEM, FLASH])
def scene(made: Made, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Scene:
    """Boot the boot shim on it, on a kernel with modules and on the flash kernel."""
    policy = policy_text(anchors=["ca.der"], cmdlines=[TARGET_CMDLINE], initrds=[made.initrd])
    shim = make_shim(tmp_path_factory.mktemp("shim"), config_text(policy), {"ca.der": debian_ca().read_bytes()},
                     interface=request.param)
    before = digest_of(made.disk)
    outcome = boot_spec(MachineSpec(kernel=shim.kernel, initramfs=shim.initramfs, cmdline=BASE_CMDLINE,
                                    extra=writable(made.disk)))
    return Scene(made, outcome, before, digest_of(made.disk))


def digest_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def test_the_journal_was_dirty(scene: Scene, tmp_path: Path) -> None:
    """The witness for ext4 is dumpe2fs: it still needs recovery, after both machines."""
    table = run("sfdisk", "--dump", str(scene.made.disk))
    row = next(line for line in table.splitlines() if line.startswith(f"{scene.made.disk}{number_of('ext4')} "))
    start, size = (int(word.split("=")[1]) for word in row.split(":")[1].replace(" ", "").split(",")[:2])
    volume = tmp_path / "ext4.img"
    with scene.made.disk.open("rb") as stream:
        stream.seek(start * 512)
        volume.write_bytes(stream.read(size * 512))
    assert "needs_recovery" in run("dumpe2fs", "-h", str(volume))


def test_the_second_kernel_starts(scene: Scene) -> None:
    assert scene.outcome.facts is not None
    assert scene.outcome.facts.token == scene.made.token


def test_not_a_bit_of_the_disk_was_written(scene: Scene) -> None:
    assert scene.outcome.ended == "off"
    assert scene.before == scene.after


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_it_is_mounted_and_read(scene: Scene, kind: str) -> None:
    report = scene.outcome.report
    assert report is not None
    volume, = (volume for volume in report["volumes"] if volume["device"] == f"/dev/vda{number_of(kind)}")
    assert (volume["fstype"], volume["kind"]) == (kind, "xbootldr")
    attempt, = (one for one in report["attempts"] if one["entry"] == entry_of(kind))
    assert attempt["stage"] == ("jump" if kind == GOOD else "verify")
    assert {artifact["sha256"] for artifact in attempt["artifacts"]} == scene.made.digests[kind]
