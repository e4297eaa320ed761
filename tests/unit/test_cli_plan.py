"""`bootshim plan`: a boot of a disk image without a machine, and the map of memory that it is given."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cli import main
from shim.errors import ConfigError
from shim.formats.bootparams import BOOT_PARAMS
from shim.images.pc import Row, default_map, facts_of, parse_memmap
from shim.memory import read_memory_map
from shim.model import SegmentsPlan
from shim.system.memory_files import MemoryFiles
from tests.builders.disk import Partition, make_disk, make_volume
from tests.builders.facts import GIB, pc
from tests.builders.world import INITRD, World, bls, memtest, policy
from tests.unit.hostile import survives
from tests.unit.test_docs import ROOT, commands

pytestmark = pytest.mark.tools
IOMEM = """00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-0009ffff : Reserved
000a0000-000bffff : PCI Bus 0000:00
000f0000-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-3ffdffff : System RAM
  01000000-01e02fff : Kernel code
3ffe0000-3fffffff : Reserved
fed00000-fed003ff : HPET 0
"""
DMESG = """[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000003ffdffff] usable
[    0.000000] BIOS-e820: [mem 0x000000003ffe0000-0x000000003ffeffff] ACPI data
[    0.000000] NX (Execute Disable) protection: active
"""
JSON = '[[0, 654336, "System RAM"], ["0x100000", "0x3ffe0000", "System RAM"], ["0x3ffe0000", 1073741824, "Reserved"]]'


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with three entries: the second cannot be read, the third has another command line."""
    files: dict[str, Any] = dict(bls("one", "two")) | {
        "/loader/entries/three.conf": "sort-key 9\nlinux /one\noptions ro single\n"}
    del files["/two"]
    folder = tmp_path_factory.mktemp("disk")
    return make_disk(folder / "disk.img", [Partition("esp", "vfat", files), Partition("root", "squashfs", {"/x": "y"})])


def plan(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, Any]:
    assert main(["plan", *words, "--json"]) == status
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_a_whole_boot(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bytes that are written are those of the digests, and what points at them points at their addresses."""
    said = plan(capsys, str(disk), "--emit", str(tmp_path / "out"))
    assert (said["schema"], said["loaded"]["entry"], said["loaded"]["call"]) == ("bootshim.plan/1", "one.conf",
                                                                                 "kexec_load")
    rows = {row["name"]: row for row in said["loaded"]["segments"]}
    assert set(rows) == {"kernel", "initrd.0", "boot_params", "purgatory", "report"}
    data = {name: (tmp_path / f"out/{name}.bin").read_bytes() for name in rows}
    assert json.loads((tmp_path / "out/plan.json").read_text()) == said
    for name, row in rows.items():
        assert hashlib.sha256(data[name]).hexdigest() == row["sha256"]
        assert len(data[name]) == row["size"] <= row["end"] - row["start"]
    assert data["initrd.0"] == INITRD
    fields, purgatory = said["loaded"]["boot_params"], said["loaded"]["purgatory"]
    line = fields["cmd_line_ptr"] - rows["boot_params"]["start"]
    assert data["boot_params"][line:] == b"ro\0"
    assert fields["ramdisk_image"] == rows["initrd.0"]["start"]
    assert fields["e820"][3] == {"addr": 0x100000, "size": 0x7FEE0000, "type": 1}
    assert [node["type"] for node in fields["setup_data_nodes"]] == [9]
    assert purgatory["boot_params_address"] == rows["boot_params"]["start"]
    for region in purgatory["regions"]:
        row = rows[region["name"]]
        assert (region["address"], region["size"], region["sha256"]) == (row["start"], row["size"], row["sha256"])
    assert "NOTHING is verified" in said["stand_ins"][0]
    assert [problem for problem in said["problems"] if "squashfs is not read" in problem] != []


def test_it_is_the_boot_of_the_machine(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """WITNESS: the flow over files in memory, on the same map of memory and under the same policy."""
    (tmp_path / "my.toml").write_text(policy(memtest()))
    (tmp_path / "map").write_text(json.dumps([list(row) for row in pc(GIB)]))
    said = plan(capsys, str(disk), "--policy", str(tmp_path / "my.toml"), "--memmap", str(tmp_path / "map"))
    superblock = make_volume(tmp_path / "volume", Partition("esp", "vfat", {})).read_bytes()
    world = World(superblock).plug("sda", bls("one")).boot()
    loaded = world.machine.kexec.loaded
    assert isinstance(loaded, SegmentsPlan)
    kernel = next(segment for segment in loaded.segments if segment.name == "kernel")
    row = next(row for row in said["loaded"]["segments"] if row["name"] == "kernel")
    assert (row["start"], row["end"]) == (kernel.range.start, kernel.range.end)
    assert row["sha256"] == hashlib.sha256(kernel.data).hexdigest()
    mine, theirs = said["attempts"][0], world.report.attempts[0].as_json()
    assert [item["sha256"] for item in mine["artifacts"]] == [item["sha256"] for item in theirs["artifacts"]]
    assert [(item["role"], item["accepted"], item["rule"]) for item in mine["verdicts"]] == [
        (item["role"], item["accepted"], item["rule"]) for item in theirs["verdicts"]]
    assert all(item["accepted"] for item in mine["verdicts"])


def test_a_policy_that_refuses_ends_the_plan(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.toml").write_text(policy(b"another kernel"))
    said = plan(capsys, str(disk), "--policy", str(tmp_path / "my.toml"), "--emit", str(tmp_path / "out"), status=1)
    assert said["loaded"] is None
    assert {attempt["stage"] for attempt in said["attempts"]} == {"verify", "fetch"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.json"]
    assert main(["plan", str(disk), "--policy", str(tmp_path / "my.toml")]) == 1
    assert "would be booted" not in capsys.readouterr().out


def test_entries_are_tried_in_their_order(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = plan(capsys, str(disk), "--entry", "t*")
    assert [(attempt["entry"], attempt["stage"]) for attempt in said["attempts"]] == [
        ("two.conf", "fetch"), ("three.conf", "jump")]
    assert said["loaded"]["cmdline"] == "ro single"
    assert plan(capsys, str(disk), "--entry", "two*", status=1)["attempts"][0]["error"] is not None
    assert main(["plan", str(disk), "--entry", "none"]) == 2
    assert "one.conf" in capsys.readouterr().err
    assert main(["plan", str(disk.parent)]) == 2
    assert "a directory" in capsys.readouterr().err


def test_an_entry_that_is_hidden_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_volume(tmp_path / "image", Partition("esp", "ext4", {
        "/loader/entries/x.conf": "linux /k\narchitecture aa64\n", "/k": b"k"}))
    said = plan(capsys, str(image), "--entry", "x*", status=1)
    assert (said["attempts"], said["loaded"]) == ([], None)
    assert "x.conf is not offered: it is for aa64" in said["notes"]


def test_the_other_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.builders import debian

    kernel = debian.kernel().image
    image = make_volume(tmp_path / "image", Partition("esp", "iso9660", {
        "/vmlinuz": kernel, "/initrd": INITRD,
        "/loader/entries/x.conf": "linux /vmlinuz\ninitrd /initrd\noptions a b\n"}))
    said = plan(capsys, str(image), "--engine", "file", "--emit", str(tmp_path / "out"))
    assert said["loaded"]["call"] == "kexec_file_load"
    assert (tmp_path / "out/kernel.bin").read_bytes() == kernel.read_bytes()
    assert (tmp_path / "out/cmdline.bin").read_bytes() == b"a b"
    assert main(["plan", str(image)]) == 0
    text = capsys.readouterr().out
    assert "kexec_load, 5 segments" in text
    assert "  kernel       0x0001000000-" in text
    assert "\x1b" not in text


def test_a_uki_with_what_lies_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.builders import debian
    from tests.builders.uki import make_uki

    (tmp_path / "initrd").write_bytes(INITRD)
    uki = make_uki(tmp_path / "x.efi", debian.kernel().image, [tmp_path / "initrd"], "its own line")
    image = make_disk(tmp_path / "image", [Partition("esp", "vfat", {
        "/EFI/Linux/x.efi": uki, "/EFI/Linux/x.efi.extra.d/secret.cred": b"credential"})])
    said = plan(capsys, str(image), "--emit", str(tmp_path / "out"))
    assert said["loaded"]["cmdline"] == "its own line"
    assert [item["role"] for item in said["attempts"][0]["artifacts"]] == ["uki", "credential"]
    initrds = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").glob("initrd.*.bin")))
    assert INITRD in initrds
    assert b"secret.cred" in initrds


def test_memory_that_does_not_suffice(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "map").write_text('[[0, 654336, "System RAM"], [1048576, 1056768, "System RAM"]]')
    said = plan(capsys, str(disk), "--entry", "one*", "--memmap", str(tmp_path / "map"), status=1)
    assert (said["attempts"][0]["stage"], said["loaded"]) == ("plan", None)
    assert "largest_hole=0x100000..0x102000" in said["attempts"][0]["error"]


def test_boot_params_of_a_machine(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page").write_bytes(BOOT_PARAMS.build(acpi_rsdp_addr=0x7FE0014, orig_video_isVGA=1))
    said = plan(capsys, str(disk), "--boot-params", str(tmp_path / "page"))
    assert said["loaded"]["boot_params"]["acpi_rsdp_addr"] == 0x7FE0014
    assert said["loaded"]["purgatory"]["flags"].endswith("VGA")
    (tmp_path / "page").write_bytes(b"short")
    assert main(["plan", str(disk), "--boot-params", str(tmp_path / "page")]) == 2


def test_the_commands_of_the_manual_work(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of docs/entries.md, in a folder that has what it names."""
    (tmp_path / "disk.img").symlink_to(disk)
    (tmp_path / "my.toml").write_text(policy(memtest()))
    (tmp_path / "iomem.txt").write_text(IOMEM)
    (tmp_path / "efi/loader/entries").mkdir(parents=True)
    (tmp_path / "efi/loader/entries/x.conf").write_text("linux /x\n")
    (tmp_path / "boot").mkdir()
    monkeypatch.chdir(tmp_path)
    lines = commands(ROOT / "docs/entries.md")
    assert len(lines) > 4
    for line in lines:
        words = shlex.split(line.replace("=/efi", "=efi").replace("=/boot", "=boot"))
        assert main(words[1:]) == 0, line
    assert (tmp_path / "segments/kernel.bin").exists()


@pytest.mark.parametrize("text", [IOMEM, DMESG, JSON], ids=["iomem", "dmesg", "json"])
def test_maps_of_memory(text: str) -> None:
    """All three say one thing, and the kernel's own map gives it back."""
    rows = parse_memmap(text, "map")
    assert Row(start=0x100000, end=0x3FFE0000, type="System RAM") in rows
    found = read_memory_map(MemoryFiles(facts_of(rows)))
    assert [(item.start, item.end) for item in found.free] == [(0x100000, 0x3FFE0000)]
    assert len(found.rows) == len(rows)


def test_the_map_that_is_made_up_is_qemus() -> None:
    assert [(row.start, row.end, row.type) for row in default_map()] == pc(2 * GIB)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "no RAM"), ("hello\n", "no RAM"), ("[]", "no RAM"), ("{}", "must be a list"), ("[1, 2", "no JSON"),
    ("[[0, 1]]", "is \\[start, end, type\\]"), ('[[0, 4096, "RAM"]]', "is \\[start, end, type\\]"),
    ('[[0, 1.5, "System RAM"]]', "an address"), ('[["x", 4096, "System RAM"]]', "an address"),
    ('[[4096, 4096, "System RAM"]]', "no range"), ('[[-1, 4096, "System RAM"]]', "no range"),
    (f'[[0, {1 << 60}, "System RAM"]]', "no range"), ("[" * 100_000, "no JSON"),
    ("BIOS-e820: [mem 0x1000-0x1fff] rotten\n", "no such type"), ("2000-1000 : System RAM\n", "no range"),
    ("00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n", "root only"),
    ("".join(f"{n:x}000-{n:x}fff : Reserved\n" for n in range(9000)), "too many"),
])
def test_maps_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_memmap(text, "map")


@given(st.text(max_size=200) | st.from_regex(r"BIOS-e820: \[mem 0x[0-9a-f]+-0x[0-9a-f]+\] usable"))
def test_no_map_is_a_traceback(text: str) -> None:
    def parse(_data: bytes) -> None:
        facts_of(parse_memmap(text, "map"))

    survives(parse, b"")
