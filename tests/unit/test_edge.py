"""The edge does what its system calls do: seals hold, events are told apart, modules are loaded in order."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shim.errors import FetchError, SystemError_
from shim.model import Volume
from shim.system import calls, modules, quiesce
from shim.system.blobs import MemfdBlobs, MemoryBlobs
from shim.system.devices import BlockDevices, ImageFile
from shim.system.mounts import FLAGS, OPTIONS, LinuxMounts
from shim.system.uevents import Uevents, is_block_event
from tests.builders.filesystems import make_filesystem


@pytest.mark.parametrize("blobs", [MemfdBlobs(), MemoryBlobs()])
def test_what_was_written_is_read(blobs: MemfdBlobs | MemoryBlobs) -> None:
    sink = blobs.create("kernel")
    sink.write(b"one ")
    sink.write(memoryview(b"two"))
    blob = sink.seal()
    assert blob.size == 7
    assert bytes(blob.view()) == b"one two"
    blob.close()


def test_a_sealed_blob_cannot_be_changed() -> None:
    sink = MemfdBlobs().create("x" * 500 + "\0")
    sink.write(b"content")
    blob = sink.seal()
    path = f"/proc/self/fd/{blob.fileno()}"
    with pytest.raises(OSError, match="not permitted"):
        os.open(path, os.O_RDWR | os.O_TRUNC)
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(OSError, match="not permitted"):
        os.write(fd, b"evil")
    os.close(fd)
    seals = fcntl.fcntl(blob.fileno(), fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    with pytest.raises(TypeError):
        blob.view()[0] = 0
    assert bytes(blob.view()) == b"content"


def test_an_empty_blob_can_be_looked_at() -> None:
    assert bytes(MemfdBlobs().create("empty").seal().view()) == b""


EVENT = b"add@/devices/pci0000:00/block/vda\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=block\0DEVNAME=vda\0"


@pytest.mark.parametrize(("message", "counts"), [
    (EVENT, True), (EVENT.replace(b"add", b"change"), True), (EVENT.replace(b"add", b"bind"), False),
    (EVENT.replace(b"=block", b"=net"), False), (b"", False), (b"\0" * 60000, False), (b"add@", False),
    (b"libudev\0\xfe\xed\xca\xfe" + EVENT, False),
])
def test_only_news_of_block_devices_counts(message: bytes, counts: bool) -> None:
    assert is_block_event(message) is counts


def test_nothing_happens_in_time() -> None:
    assert Uevents().wait(0.05) is False


def test_what_is_no_block_device_is_not_opened() -> None:
    devices = BlockDevices()
    with pytest.raises(FetchError, match="not a block device"):
        devices.open("null")
    with pytest.raises(SystemError_, match="No such file"):
        devices.open("absent")


def test_reads_are_exact(tmp_path: Path) -> None:
    Path(tmp_path, "disk").write_bytes(bytes(range(256)) * 4)
    device = ImageFile(str(tmp_path / "disk"))
    assert device.read_at(255, 2) == b"\xff\0"
    for offset, size in ((1023, 2), (-1, 1), (0, -1), (1 << 70, 1), (0, 1 << 40)):
        with pytest.raises(FetchError):
            device.read_at(offset, size)


def test_every_file_system_that_is_found_can_be_mounted() -> None:
    """Each with the option that keeps its journal from being replayed. Spec: mount(8), the file systems' own pages."""
    journals = {"ext2": "noload", "ext3": "noload", "ext4": "noload", "xfs": "norecovery", "f2fs": "norecovery",
                "btrfs": "rescue=nologreplay"}
    for fstype, option in journals.items():
        assert option in OPTIONS[fstype]
    assert set(OPTIONS) == {*journals, "vfat", "iso9660", "squashfs", "erofs"}
    assert FLAGS == 0xF  # MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC


def test_what_is_not_known_is_not_mounted(tmp_path: Path) -> None:
    mounts = LinuxMounts(str(tmp_path))
    for fstype in ("ntfs", None):
        with pytest.raises(SystemError_) as caught:
            mounts.mount(Volume(name="vda1", device="/dev/vda1", fstype=fstype))
        assert caught.value.errno == errno.ENODEV


@pytest.mark.tools
def test_a_mount_is_read_only_and_gone_when_closed(tmp_path: Path) -> None:
    """In a namespace of its own, on a tmpfs: image files cannot be mounted without a loop device."""
    script = """
import os, sys
from shim.system import calls, mounts
from shim.model import Volume
mounts.OPTIONS["tmpfs"] = "mode=0755"
made = mounts.LinuxMounts(sys.argv[1])
files = made.mount(Volume(name="a/b", device="none", fstype="tmpfs"))
assert files.names("/") == ()
line = next(line for line in open("/proc/self/mounts") if "a!b" in line)
assert set("ro,nosuid,nodev,noexec".split(",")) <= set(line.split()[3].split(",")), line
made.close()
assert "a!b" not in open("/proc/self/mounts").read()
"""
    done = subprocess.run(["unshare", "--mount", "--map-root-user", sys.executable, "-c", script, str(tmp_path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_loaded_in_order_and_problems_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("01-b.ko", "00-a.ko", "02-c.ko"):
        Path(tmp_path, name).write_bytes(name.encode())
    seen: list[bytes] = []
    answers = {b"00-a.ko": errno.EEXIST, b"01-b.ko": errno.ENODEV, b"02-c.ko": errno.ENOEXEC}

    def record(fd: int) -> None:
        seen.append(os.read(fd, 100))
        raise SystemError_("cannot load the module", answers[seen[-1]])

    monkeypatch.setattr(modules, "finit_module", record)
    problem, = modules.load_modules(str(tmp_path))
    assert seen == [b"00-a.ko", b"01-b.ko", b"02-c.ko"]
    assert problem.source.endswith("02-c.ko")
    assert "Exec format error" in problem.error
    assert modules.load_modules(str(tmp_path / "absent")) == ()


def test_what_is_no_module_is_refused_by_the_kernel(tmp_path: Path) -> None:
    Path(tmp_path, "00-x.ko").write_bytes(b"not a module")
    problem, = modules.load_modules(str(tmp_path))
    assert "cannot load the module" in problem.error


def test_a_watchdog_that_is_not_there_is_no_matter(tmp_path: Path) -> None:
    assert quiesce._arm_watchdog(str(tmp_path / "absent")) == []
    assert "stays off" in quiesce._arm_watchdog(str(tmp_path))[0]
    Path(tmp_path, "file").touch()
    assert quiesce._arm_watchdog(str(tmp_path / "file")) == ["watchdog armed"]


def test_names_with_nul_do_not_reach_the_kernel() -> None:
    with pytest.raises(SystemError_, match="NUL"):
        calls.mount("a\0b", "/nowhere", "tmpfs", 0, "")


def test_kexec_is_refused_to_those_who_may_not() -> None:
    """As root in a container, or as nobody: the kernel's own refusal comes through with its errno."""
    with pytest.raises(SystemError_) as caught:
        calls.kexec_load(0, (), 0xFFFFFFFF)
    assert caught.value.errno in (errno.EPERM, errno.EINVAL, errno.ENOSYS)


@pytest.mark.tools
def test_an_image_is_a_device(tmp_path: Path) -> None:
    image = make_filesystem("ext2", tmp_path)
    assert ImageFile(str(image)).size == image.stat().st_size
