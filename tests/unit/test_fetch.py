"""Fetch: each byte read once, hashed on the way, within its ceiling; nothing is held after a failure."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import EntryError, FetchError, ShimError
from shim.fetch import Limits, artifacts_of, fetch_entry, limits_for, release
from shim.fetch.stream import CHUNK_SIZE
from shim.model import Candidate, Entry, FileRef, Role
from shim.system.memory_files import MemoryFiles, MemorySource
from shim.system.recording import RecordingMachine

FILES = {"/vmlinuz": b"kernel" * 1000, "/initrd.img": b"initrd" * 500, "/more.img": b"more", "/board.dtb": b"tree"}


def ref(path: str, volume: str = "vda1") -> FileRef:
    return FileRef(volume=volume, path=path)


def entry(**given: object) -> Entry:
    kernel = {} if {"uki", "efi", "multiboot", "linux"} & set(given) else {"linux": ref("/vmlinuz")}
    return Entry(id="a", dialect="bls1", volume="vda1", source="/a.conf:1", **kernel, **given)  # type: ignore[arg-type]


def fetched(machine: RecordingMachine, what: Entry, tree: MemoryFiles | None = None, **limits: int) -> Candidate:
    trees = {"vda1": tree or MemoryFiles(FILES)}
    return fetch_entry(what, trees, machine.blobs, machine.sha256, Limits(**limits))


class LyingFiles(MemoryFiles):
    """Files that are not as long as they said, or that break off, or fail while they are read."""

    def __init__(self, said: int, pieces: list[bytes | ShimError]) -> None:
        super().__init__({"/vmlinuz": b""})
        self.source = LyingSource(said, pieces)

    def open(self, path: str) -> MemorySource:
        return self.source


class LyingSource(MemorySource):
    def __init__(self, said: int, pieces: list[bytes | ShimError]) -> None:
        super().__init__(b"")
        self.size, self.pieces, self.closed = said, pieces, False

    def read(self, size: int) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, ShimError):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


def test_everything_is_read_in_order_with_its_role_and_digest() -> None:
    machine = RecordingMachine()
    candidate = fetched(machine, entry(initrd=(ref("/initrd.img"), ref("/more.img")), devicetree=ref("/board.dtb")))
    items = artifacts_of(candidate)
    assert [item.role for item in items] == [Role.KERNEL, Role.INITRD, Role.INITRD, Role.DEVICETREE]
    assert [item.name for item in items] == [f"vda1:{path}" for path in FILES]
    for item, data in zip(items, FILES.values(), strict=True):
        assert bytes(item.blob.view()) == data
        assert (item.size, item.sha256) == (len(data), hashlib.sha256(data).digest())
    assert len(machine.blobs.held) == 4
    release(items)
    assert machine.blobs.held == []


@given(st.integers(min_value=1, max_value=3 * CHUNK_SIZE + 5))
def test_the_hash_is_that_of_hashlib_for_any_size(size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    candidate = fetched(RecordingMachine(), entry(), MemoryFiles({"/vmlinuz": data}))
    assert candidate.kernel.sha256 == hashlib.sha256(data).digest()


def test_a_kernel_without_options_has_an_empty_command_line_and_a_uki_its_own() -> None:
    machine = RecordingMachine()
    assert fetched(machine, entry()).cmdline == ""
    assert fetched(machine, entry(cmdline="ro")).cmdline == "ro"
    uki = fetched(machine, entry(uki=ref("/vmlinuz"), profile=2))
    assert (uki.kernel.role, uki.cmdline, uki.profile) == (Role.UKI, None, 2)


REFUSED = {
    "an empty file": (entry(linux=ref("/empty")), {}, "the file is empty"),
    "an absent file": (entry(linux=ref("/missing")), {}, "no such file"),
    "an absent initrd": (entry(initrd=(ref("/initrd.img"), ref("/missing"))), {}, "no such file"),
    "an empty initrd": (entry(initrd=(ref("/empty"),)), {}, "the file is empty"),
    "a path out of the volume": (entry(initrd=(ref("/../etc/passwd"),)), {}, "leads out of the volume"),
    "another volume": (entry(initrd=(ref("/initrd.img", "vdb1"),)), {}, "the volume is not there"),
    "a directory": (entry(linux=ref("/")), {}, "not a regular file"),
    "a kernel over its ceiling": (entry(), {"kernel_size": 5999}, "the file is too long"),
    "a uki over its ceiling": (entry(uki=ref("/vmlinuz")), {"uki_size": 5999}, "the file is too long"),
    "an initrd over its ceiling": (entry(initrd=(ref("/initrd.img"),)), {"initrd_size": 2999}, "the file is too long"),
    "a tree over its ceiling": (entry(devicetree=ref("/board.dtb")), {"devicetree_size": 3}, "the file is too long"),
    "a sum over its ceiling": (entry(initrd=(ref("/initrd.img"),)), {"total_size": 8999}, "too long together"),
    "no room left at all": (entry(initrd=(ref("/initrd.img"),)), {"total_size": 6000}, "too long together"),
    "too many initrds": (entry(initrd=(ref("/more.img"),) * 65), {}, "too many initrds"),
    "multiboot": (entry(multiboot=ref("/vmlinuz")), {}, "multiboot kernels are not started"),
    "modules": (entry(modules=(ref("/more.img"),)), {}, "multiboot kernels are not started"),
    "overlays": (entry(devicetree_overlay=(ref("/board.dtb"),)), {}, "overlays are not applied"),
    "nothing to start": (entry(linux=None), {}, "names nothing to start"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_had_is_a_typed_error_and_nothing_is_held(case: str) -> None:
    what, limits, reason = REFUSED[case]
    machine = RecordingMachine()
    with pytest.raises((FetchError, EntryError), match=reason):
        fetched(machine, what, MemoryFiles({**FILES, "/empty": b""}), **limits)
    assert machine.blobs.held == []


def test_ceilings_are_inclusive() -> None:
    both = entry(initrd=(ref("/initrd.img"),))
    assert fetched(RecordingMachine(), both, kernel_size=6000, initrd_size=3000, total_size=9000)
    assert fetched(RecordingMachine(), entry(initrd=(ref("/more.img"),) * 64))


@pytest.mark.parametrize(
    ("said", "pieces", "reason"),
    [
        (10, [b"12345"], "changed while it was read"),
        (10, [b"1234567890", b"1"], "changed while it was read"),
        (10, [b"12345", FetchError("the device cannot read it")], "the device cannot read it"),
        (1 << 62, [b"1"], "the file is too long"),
        (0, [b"1"], "the file is empty"),
        (10, [b"x" * CHUNK_SIZE] * 40, "the file is too long"),
    ],
)
def test_a_file_that_lies_is_refused_and_closed(said: int, pieces: list[bytes | ShimError], reason: str) -> None:
    machine = RecordingMachine()
    files = LyingFiles(said, pieces)
    with pytest.raises(FetchError, match=reason):
        fetched(machine, entry(), files, kernel_size=8 << 20)
    assert files.source.closed
    assert machine.blobs.held == []


def test_an_endless_file_is_cut_off_at_its_ceiling() -> None:
    files = LyingFiles(10, [b"x" * CHUNK_SIZE] * 1000)
    with pytest.raises(FetchError, match="too long"):
        fetched(RecordingMachine(), entry(), files, kernel_size=8 << 20)
    assert len(files.source.pieces) >= 990


@pytest.mark.parametrize(
    ("meminfo", "total"),
    [
        (b"MemTotal: 16 kB\nMemFree: 1 kB\nMemAvailable:      20 kB\n", 10 * 1024),
        (b"MemAvailable: 999999999999 kB\n", Limits().total_size),
        (b"MemAvailable: 99999999999999999999999 kB\n", Limits().total_size),
        (b"MemAvailable: -1 kB\n", Limits().total_size),
        (b"MemAvailable:\n", Limits().total_size),
        (b"", Limits().total_size),
        (None, Limits().total_size),
    ],
)
def test_half_of_the_free_memory_is_the_ceiling(meminfo: bytes | None, total: int) -> None:
    facts = MemoryFiles({} if meminfo is None else {"/proc/meminfo": meminfo})
    assert limits_for(facts).total_size == total


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read() -> None:
    machine = RecordingMachine(facts={"/proc/meminfo": b"MemAvailable: 15 kB\n"})
    limits = limits_for(machine.facts)
    trees = {"vda1": MemoryFiles(FILES)}
    assert fetch_entry(entry(), trees, machine.blobs, machine.sha256, limits)
    with pytest.raises(FetchError, match="do not fit into memory"):
        fetch_entry(entry(initrd=(ref("/initrd.img"),)), trees, machine.blobs, machine.sha256, limits)
    assert len(machine.blobs.held) == 1
