"""Every partition of every disk is a volume; a disk that is broken is a problem, and the others stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from shim.discover import Discovery, discover_volumes
from shim.errors import FetchError
from shim.formats import dps
from shim.model import PartitionKind
from shim.system.recording import RecordingMachine
from tests.builders.filesystems import MIB, blkid, make_filesystem, make_table, run, sfdisk_json

pytestmark = pytest.mark.tools
TABLE = f"""label: gpt
start=1MiB, size=16MiB, type={dps.ESP}, name="esp"
start=17MiB, size=8MiB, type={dps.XBOOTLDR}, name="boot"
start=25MiB, size=4MiB, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk as a distribution leaves it: a FAT ESP, an ext4 /boot, and a root that is not formatted."""
    image = make_table(tmp_path / "disk.img", 32 * MIB, TABLE)
    for kind, start in (("vfat16", 1 * MIB), ("ext4", 17 * MIB)):
        data = make_filesystem(kind, tmp_path).read_bytes()
        with image.open("r+b") as stream:
            stream.seek(start)
            stream.write(data)
    return image


def sysfs(disks: dict[str, Path], removable: tuple[str, ...] = (), **more: bytes) -> dict[str, bytes]:
    """Return what /sys/class/block says of disks with these images."""
    files: dict[str, bytes] = {}
    for name, image in disks.items():
        base = f"/sys/class/block/{name}"
        files[f"{base}/size"] = str(image.stat().st_size // 512).encode() + b"\n"
        files[f"{base}/removable"] = b"1\n" if name in removable else b"0\n"
        try:
            partitions = sfdisk_json(image)["partitions"]
        except RuntimeError:
            continue
        for number, part in enumerate(partitions, 1):  # type: ignore[arg-type, var-annotated]
            base = f"/sys/class/block/{partition_name(name, number)}"
            files |= {f"{base}/partition": b"%d\n" % number, f"{base}/start": b"%d\n" % part["start"],
                      f"{base}/size": b"%d\n" % part["size"]}
    return files | more


def partition_name(disk: str, number: int) -> str:
    return f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"


def machine_with(disks: dict[str, Path], **options: object) -> RecordingMachine:
    images: dict[str, str | bytes] = {name: str(image) for name, image in disks.items()}
    for name, image in disks.items():
        data = image.read_bytes()
        try:
            rows = list(sfdisk_json(image)["partitions"])  # type: ignore[call-overload]
        except RuntimeError:
            continue
        for number, part in enumerate(rows, 1):
            start = part["start"] * 512
            images[partition_name(name, number)] = data[start : start + part["size"] * 512]
    return RecordingMachine(sysfs(disks, **options), images)  # type: ignore[arg-type]


def by_name(found: Discovery) -> dict[str, object]:
    return {volume.name: volume for volume in found.volumes}


@pytest.mark.parametrize("name", ["vda", "nvme0n1", "mmcblk0", "sda"])
def test_a_disk_as_distributions_leave_it(disk: Path, tmp_path: Path, name: str) -> None:
    """The witness for the file systems is blkid, for the table sfdisk."""
    found = discover_volumes(machine_with({name: disk}))
    assert not found.problems
    esp, boot, root = found.volumes
    assert [volume.name for volume in found.volumes] == [partition_name(name, number) for number in (1, 2, 3)]
    assert (esp.kind, boot.kind, root.kind) == (PartitionKind.ESP, PartitionKind.XBOOTLDR, PartitionKind.ROOT)
    assert (esp.fstype, boot.fstype, root.fstype) == ("vfat", "ext4", None)
    witness = blkid(tmp_path / "ext4.img")
    assert (boot.uuid, boot.label) == (witness["UUID"], witness["LABEL"])
    rows = sfdisk_json(disk)["partitions"]
    assert [volume.partuuid for volume in found.volumes] == [
        row["uuid"].lower() for row in rows]  # type: ignore[attr-defined]
    assert (esp.partlabel, esp.table, esp.device, esp.disk) == ("esp", "gpt", f"/dev/{partition_name(name, 1)}", name)
    assert esp.start == 1 * MIB


def test_a_disk_without_partitions_is_a_volume(tmp_path: Path) -> None:
    image = make_filesystem("ext4", tmp_path)
    volume, = discover_volumes(machine_with({"vdb": image}, removable=("vdb",))).volumes
    assert (volume.name, volume.fstype, volume.number, volume.removable) == ("vdb", "ext4", 0, True)


def test_a_broken_table_is_a_problem_and_its_partitions_stay(disk: Path, tmp_path: Path) -> None:
    machine = machine_with({"vda": disk, "vdb": make_filesystem("ext4", tmp_path)})
    data = bytearray(disk.read_bytes())
    data[512 + 30] ^= 1
    data[len(data) - 512 + 30] ^= 1
    machine.devices.images["vda"] = bytes(data)
    found = discover_volumes(machine)
    assert [volume.name for volume in found.volumes] == ["vda1", "vda2", "vda3", "vdb"]
    problem, = found.problems
    assert problem.source == "vda"
    assert "wrong checksum" in problem.error
    assert found.volumes[0].kind is PartitionKind.OTHER
    assert found.volumes[1].fstype == "ext4"


def test_a_disk_that_cannot_be_read_is_a_problem(disk: Path, tmp_path: Path) -> None:
    machine = machine_with({"vda": disk, "vdb": make_filesystem("ext4", tmp_path)})
    del machine.devices.images["vdb"]
    found = discover_volumes(machine)
    assert [problem.source for problem in found.problems] == ["vdb"]
    assert len(found.volumes) == 4


def test_a_superblock_that_is_nonsense_is_a_problem(tmp_path: Path) -> None:
    image = make_filesystem("ext4", tmp_path)
    data = bytearray(image.read_bytes())
    data[1024 + 0x18 : 1024 + 0x1C] = b"\xff" * 4  # log_block_size
    machine = machine_with({"vda": image})
    machine.devices.images["vda"] = bytes(data)
    found = discover_volumes(machine)
    assert found.volumes[0].fstype is None
    assert "block size" in found.problems[0].error


def test_what_has_no_size_and_what_is_memory_is_no_volume(disk: Path) -> None:
    machine = machine_with({"vda": disk})
    files = machine.facts.contents  # type: ignore[attr-defined]
    for name in ("ram0", "zram0", "loop0", "sr0", "fd0"):
        files[f"/sys/class/block/{name}/size"] = b"8192\n" if "am" in name else b"0\n"
    assert len(discover_volumes(RecordingMachine(files, machine.devices.images)).volumes) == 3


def test_sysfs_that_lies_ends_nothing(disk: Path) -> None:
    machine = machine_with({"vda": disk})
    files = dict(machine.facts.contents)  # type: ignore[attr-defined]
    files["/sys/class/block/vda1/size"] = b"many\n"
    files["/sys/class/block/vda2/start"] = FetchError("gone")
    found = discover_volumes(RecordingMachine(files, machine.devices.images))
    assert [volume.name for volume in found.volumes] == ["vda2", "vda3"]


def test_the_tools_are_the_real_ones() -> None:
    assert "util-linux" in run("sfdisk", "--version")
