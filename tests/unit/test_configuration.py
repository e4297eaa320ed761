"""Boot configuration is judged where the policy has a rule for it: the bytes that were parsed, not those of later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from shim.errors import FetchError, ShimError
from shim.fetch.snapshot import KEPT_SIZE_MAX, Snapshot, fetch_configuration
from shim.model import Entry, FileRef
from shim.system.blobs import MemoryBlobs
from shim.system.memory_files import MemoryFiles
from tests.builders.detached import make_signer
from tests.builders.world import INITRD, World, bls, memtest, policy

pytestmark = pytest.mark.tools
ONE, TWO = "/loader/entries/one.conf", "/loader/entries/two.conf"


def pinned(*files: bytes) -> str:
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    return f'{policy(memtest())}[policy.entry]\nrequire = ["sha256"]\nsha256 = {json.dumps(digests)}\n'


def content(disk: Mapping[str, bytes | ShimError], path: str) -> bytes:
    data = disk[path]
    assert isinstance(data, bytes)
    return data


def test_an_entry_whose_configuration_is_not_trusted_is_not_started(superblock: bytes) -> None:
    disk = bls("one", "two")
    world = World(superblock, pinned(content(disk, TWO))).plug("vda", disk).boot()
    assert world.tried == [("one.conf", "verify"), ("two.conf", None)]
    assert "the entry is not trusted" in (world.report.attempts[0].error or "")
    verdict = world.report.attempts[1].verdicts[-1]
    assert (verdict["role"], verdict["name"], verdict["accepted"]) == ("entry", f"vda:{TWO}", True)
    roles = [artifact["role"] for artifact in world.report.attempts[1].artifacts]
    assert roles == ["kernel", "initrd", "entry"]


def test_without_a_rule_it_is_not_judged(superblock: bytes) -> None:
    world = World(superblock).plug("vda", bls("one")).boot()
    assert world.tried == [("one.conf", None)]
    assert "entry" not in [verdict["role"] for verdict in world.report.attempts[0].verdicts]


def test_a_rule_for_other_volumes_only_asks_nothing_here(superblock: bytes) -> None:
    more = '[[policy.source]]\nmatch = {label = "ELSEWHERE"}\n[policy.source.entry]\nrequire = []\n'
    world = World(superblock, policy(memtest()) + more).plug("vda", bls("one")).boot()
    assert world.tried == [("one.conf", None)]


class Changing(MemoryFiles):
    """Files that read as something else the second time."""

    def read(self, path: str, limit: int) -> bytes:
        data = super().read(path, limit)
        if path == ONE:
            self.contents[path] = b"title Evil\nlinux /evil\n"
        return data


def test_what_was_parsed_is_what_is_judged(superblock: bytes) -> None:
    """The file on the disk is another one by the time of the verdict: it is neither judged nor started."""
    disk = bls("one")
    world = World(superblock, pinned(content(disk, ONE)))
    world.plug("vda", disk)
    world.machine.mounts.trees["vda"] = Changing(disk)
    assert world.boot().tried == [("one.conf", None)]
    evil = World(superblock, pinned(b"title Evil\nlinux /evil\n")).plug("vda", disk)
    evil.machine.mounts.trees["vda"] = Changing(bls("one"))
    assert evil.boot().tried[0] == ("one.conf", "verify")


def test_all_files_that_a_script_read_are_its_configuration(superblock: bytes) -> None:
    script, menu = b"source /grub/menu.cfg\n", b"menuentry x {\n linux /one ro\n initrd /initrd.img\n}\n"
    disk = {**bls("one"), "/grub/grub.cfg": script, "/grub/menu.cfg": menu}
    del disk[ONE]
    world = World(superblock, pinned(script, menu)).plug("vda", disk).boot()
    assert [stage for _, stage in world.tried] == [None]
    names = [verdict["name"] for verdict in world.report.attempts[0].verdicts if verdict["role"] == "entry"]
    assert names == ["vda:/grub/grub.cfg", "vda:/grub/menu.cfg"]
    assert World(superblock, pinned(script)).plug("vda", disk).boot().tried[0][1] == "verify"


def test_a_signature_beside_the_entry_is_read(tmp_path: Path) -> None:
    signer = make_signer(tmp_path, "minisign")
    files = Snapshot(MemoryFiles({ONE: b"title x\n", f"{ONE}.minisig": signer.sign(b"title x\n")}))
    assert files.read(ONE, 100) == b"title x\n"
    entry = Entry(id="one.conf", dialect="bls1", volume="vda", source=f"{ONE}:1",
                  configuration=(FileRef(volume="vda", path=ONE),))
    found, = fetch_configuration(entry, {"vda": files}, MemoryBlobs(), hashlib.sha256, (".minisig",))
    assert bytes(found.blob.view()) == b"title x\n"
    assert [suffix for suffix, _ in found.beside] == [".minisig"]
    with pytest.raises(FetchError, match="not there"):
        fetch_configuration(entry, {}, MemoryBlobs(), hashlib.sha256, ())
    with pytest.raises(FetchError, match="was not kept"):
        fetch_configuration(entry, {"vda": Snapshot(MemoryFiles({}))}, MemoryBlobs(), hashlib.sha256, ())


def test_a_snapshot_keeps_no_more_than_its_limit() -> None:
    held = Snapshot(MemoryFiles({f"/{number}": bytes(KEPT_SIZE_MAX // 2) for number in range(3)}))
    for name in ("/0", "/0", "/1"):
        held.read(name, KEPT_SIZE_MAX)
    with pytest.raises(FetchError, match="too long to be kept"):
        held.read("/2", KEPT_SIZE_MAX)


def test_every_file_of_a_syslinux_menu_is_judged(superblock: bytes) -> None:
    """The one that is looked for, and the one that it includes: a change of either is a change of the entry."""
    main, more = "/extlinux/extlinux.conf", "/extlinux/more.cfg"
    disk: dict[str, bytes] = {
        main: b"default one\ninclude more.cfg\n", "/one": memtest(), "/initrd.img": INITRD,
        more: b"label one\nlinux /one\ninitrd /initrd.img\nappend ro\n"}
    for files, ended in (((main, more), None), ((main,), "verify"), ((more,), "verify")):
        world = World(superblock, pinned(*(disk[file] for file in files))).plug("vda", {**disk}).boot()
        assert world.tried == [("one", ended)]
