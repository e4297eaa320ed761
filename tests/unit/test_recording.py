"""The recording twin keeps the contracts of shim.ports: what it is given it gives, and time goes on only by waiting."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import FetchError, SystemError_
from shim.model import Volume
from shim.system.memory_files import MemoryDevice, MemoryFiles
from shim.system.recording import RecordingMachine

BROKEN = FetchError("the device cannot read it")
TREE = MemoryFiles({"/a/b.conf": b"one", "/a/c/d": b"two", "/e": b"", "/broken": BROKEN})


def test_a_tree_answers_as_a_directory_does(tmp_path: Path) -> None:
    """The same questions to files in memory and to files on a disk have the same answers."""
    for path, content in TREE.contents.items():
        if isinstance(content, bytes):
            target = tmp_path / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    (tmp_path / "broken").write_bytes(b"")
    real = RecordingMachine(facts=str(tmp_path)).facts
    paths = ["/", "", "/a", "/a/", "a", "/a/c", "/a/c/d", "/e", "/nothing", "/a/nothing", "/a/b.conf/x", "/a/../e",
             "/a/./c//d", "/../e", "/a/../../e"]  # fmt: skip
    for path in paths:
        assert TREE.exists(path) == real.exists(path), path
        assert answer(TREE.names, path) == answer(real.names, path), path
        assert answer(lambda name: TREE.read(name, 100), path) == answer(lambda name: real.read(name, 100), path), path


def answer(ask: object, path: str) -> object:
    try:
        return ask(path)  # type: ignore[operator]
    except FetchError as problem:
        return problem.reason


def test_a_file_is_read_once_from_its_beginning() -> None:
    source = TREE.open("/a/c/d")
    assert (source.size, source.read(2), source.read(5), source.read(5)) == (3, b"tw", b"o", b"")
    source = TREE.open("/a/c/d")
    source.skip(1)
    assert source.read(5) == b"wo"
    with pytest.raises(FetchError, match="too long"):
        TREE.read("/a/c/d", 2)
    with pytest.raises(FetchError, match="cannot read it"):
        TREE.open("/broken")


@given(st.integers(-10, 60), st.integers(-10, 60))
def test_a_device_gives_exactly_what_was_asked_for_or_an_error(offset: int, size: int) -> None:
    data = bytes(range(50))
    device = MemoryDevice("vda", data)
    if offset >= 0 and size >= 0 and offset + size <= 50:
        assert device.read_at(offset, size) == data[offset : offset + size]
    else:
        with pytest.raises(FetchError, match="beyond the end"):
            device.read_at(offset, size)


def test_images_are_files_or_bytes(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(b"x" * 1024)
    machine = RecordingMachine(images={"vda": b"y" * 512, "vdb": str(tmp_path / "disk.img")})
    assert machine.devices.open("vda").read_at(0, 2) == b"yy"
    assert (machine.devices.open("vdb").size, machine.devices.open("vdb").name) == (1024, "vdb")
    with pytest.raises(SystemError_):
        machine.devices.open("vdc")


def test_a_mounted_volume_answers_until_it_is_let_go() -> None:
    machine = RecordingMachine(volumes={"vda1": TREE, "vda2": SystemError_("cannot mount", 117)})
    mounted = machine.mounts.mount(Volume(name="vda1"))
    assert mounted.read("/a/b.conf", 10) == b"one"
    for name in ("vda2", "vda3"):
        with pytest.raises(SystemError_, match="cannot mount"):
            machine.mounts.mount(Volume(name=name))
    machine.mounts.close()
    assert not mounted.exists("/a/b.conf")
    with pytest.raises(FetchError, match="not mounted any more"):
        mounted.open("/a/b.conf")
    assert machine.calls == ["mount vda1", "mount vda2", "mount vda3", "unmount"]


def test_keys_come_in_their_order_with_their_silences() -> None:
    machine = RecordingMachine(keys=["a", 2.5, "b", 1.0])
    read, now = machine.console.read_key, machine.clock.now
    assert (read(None), now()) == ("a", 0.0)
    assert (read(1.0), now()) == (None, 1.0)
    assert (read(0), now()) == (None, 1.0)
    assert (read(1.0), now()) == (None, 2.0)
    assert (read(1.0), now()) == ("b", 2.5)
    assert (read(None), now()) == (None, 3.5)
    assert (read(4.0), now()) == (None, 7.5)


@given(st.lists(st.one_of(st.sampled_from("ab"), st.floats(0, 5)), max_size=20), st.floats(0.01, 3))
def test_waiting_takes_as_long_as_the_silences_and_loses_no_key(keys: list[str | float], step: float) -> None:
    machine = RecordingMachine(keys=keys)
    seen: list[str] = []
    silences = sum(key for key in keys if not isinstance(key, str))
    while machine.clock.now() <= silences + step:
        before = machine.clock.now()
        key = machine.console.read_key(step)
        assert machine.clock.now() - before <= step + 1e-9
        if key:
            seen.append(key)
        else:
            assert machine.clock.now() - before == pytest.approx(step)
    assert seen == [key for key in keys if isinstance(key, str)]


def test_devices_come_when_their_time_has_come() -> None:
    machine = RecordingMachine()
    machine.devices.later(5.0, lambda: machine.devices.images.update(vdb=b"b"))
    machine.devices.later(3.0, lambda: machine.devices.images.update(vda=b"a"))
    assert not machine.devices.wait(2.0)
    assert (machine.devices.wait(9.0), machine.clock.now(), list(machine.devices.images)) == (True, 3.0, ["vda"])
    machine.clock.sleep(10.0)
    assert (machine.devices.wait(0.0), machine.clock.now(), len(machine.devices.images)) == (True, 13.0, 2)
    assert not machine.devices.wait(1.0)


def test_blobs_are_counted_until_they_are_closed() -> None:
    machine = RecordingMachine()
    sink = machine.blobs.create("kernel")
    sink.write(b"one")
    sink.write(memoryview(b"two"))
    blob = sink.seal()
    machine.blobs.create("initrd").discard()
    assert (bytes(blob.view()), blob.size, machine.blobs.held) == (b"onetwo", 6, [blob])
    blob.close()
    assert machine.blobs.held == []


def test_leaving_is_recorded_and_may_be_made_to_fail() -> None:
    machine = RecordingMachine()
    machine.power.errors = [SystemError_("cannot reboot", 22)]
    with pytest.raises(SystemError_):
        machine.power.kexec()
    for leave in (machine.power.kexec, machine.power.reset, machine.power.off):
        leave()
    machine.kexec.unload()
    assert machine.calls == [
        "reboot: kexec", "reboot: kexec", "reboot: reset", "reboot: power off", "unload",
    ]  # fmt: skip


def test_hash_and_random_bytes_are_real_and_repeatable() -> None:
    running = RecordingMachine().sha256()
    running.update(b"abc")
    assert running.digest() == hashlib.sha256(b"abc").digest()
    assert RecordingMachine().random(32) == RecordingMachine().random(32)
    assert len(RecordingMachine().random(32)) == 32
