"""`bootshim entries` and `bootshim explain` on disk images, ISO files and volumes with names."""

from __future__ import annotations

import gzip
import json
import os
import pty
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shim.cli import main
from shim.images.machine import ImageMachine
from tests.builders.disk import Link, Partition, make_disk, make_volume
from tests.builders.filesystems import blkid, run
from tests.unit.hostile import bounded

pytestmark = pytest.mark.tools
BLS = {"/loader/loader.conf": "default b*\ntimeout 3\n", "/vmlinuz": "kernel", "/initrd": "initrd",
       "/loader/entries/a.conf": "title Alpha\nversion 2\nsort-key x\nlinux /vmlinuz\ninitrd /initrd\noptions ro\n",
       "/loader/entries/b.conf": "title Beta\nversion 1\nsort-key x\nlinux /vmlinuz\n",
       "/loader/entries/c.conf": "# a comment\ntitle Gamma\nsort-key x\nversion 1\nlinux /absent\n",
       "/loader/entries/d.conf": "title Delta\nlinux /vmlinuz\narchitecture aa64\n"}
PARTITIONS = [
    Partition("esp", "vfat", {"/EFI/BOOT/BOOTX64.EFI": "MZ"}, "ESP"), Partition("xbootldr", "ext4", BLS, "boot"),
    Partition("root", "squashfs", {"/etc/x": "y"}), Partition("data", raw=b"LUKS\xba\xbe" + bytes(1 << 20)),
]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk") / "disk.img", PARTITIONS)


def said_by(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, Any]:
    assert main([*words, "--json"]) == status
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_a_whole_disk_gives_all_its_volumes(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by(capsys, "entries", str(disk))
    assert [entry["id"] for entry in said["entries"]] == ["b.conf", "a.conf", "c.conf", "d.conf"]
    assert {entry["volume"] for entry in said["entries"]} == {"sda2"}
    assert [(row["name"], row["kind"], row["fstype"], row["read"]) for row in said["volumes"]] == [
        ("sda1", "esp", "vfat", True), ("sda2", "xbootldr", "ext4", True), ("sda3", "root", "squashfs", False),
        ("sda4", "other", None, False)]
    assert [problem["source"] for problem in said["problems"]] == ["sda3", "sda4"]
    assert "squashfs is not read" in said["problems"][0]["error"]
    assert "LUKS" in said["problems"][1]["error"]


@pytest.mark.parametrize(("table", "sector_size"), [("dos", 512), ("gpt", 4096)])
def test_other_tables(tmp_path: Path, table: str, sector_size: int, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_disk(tmp_path / "disk", PARTITIONS[:2], table, sector_size=sector_size)
    said = said_by(capsys, "entries", str(image))
    assert [row["kind"] for row in said["volumes"]] == ["esp", "xbootldr"]
    assert said["entries"][0]["id"] == "b.conf"


@pytest.mark.parametrize("filesystem", ["vfat", "ext2", "ext3", "ext4", "iso9660"])
def test_a_file_system_without_a_table(tmp_path: Path, filesystem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The witness for label and UUID is blkid."""
    image = make_volume(tmp_path / "image", Partition("esp", filesystem, BLS, "BOOT"))
    said = said_by(capsys, "entries", str(image))
    assert said["entries"][0]["id"] == "b.conf"
    volume, = said["volumes"]
    assert volume["name"] == ("sr0" if filesystem == "iso9660" else "sda")
    assert (volume["label"], volume["uuid"]) == ("BOOT", blkid(image)["UUID"])


def test_several_images_and_trees_together(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_volume(tmp_path / "image", Partition("esp", "iso9660", {"/vmlinuz": "kernel"}, "CD"))
    (tmp_path / "tree/loader/entries").mkdir(parents=True)
    (tmp_path / "tree/loader/entries/t.conf").write_text("linux /x\n")
    said = said_by(capsys, "entries", str(disk), str(image), str(image), str(tmp_path / "tree"))
    assert {row["name"] for row in said["volumes"]} == {"sda1", "sda2", "sda3", "sda4", "sr0", "sr1",
                                                       str(tmp_path / "tree")}
    assert {entry["id"] for entry in said["entries"]} == {"a.conf", "b.conf", "c.conf", "d.conf", "t.conf"}


def test_volumes_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader/loader.conf").write_text("default x\n")
    said = said_by(capsys, "entries", "--volume", f"esp={tmp_path},type=esp,label=ESP,uuid=1A2B-3C4D", status=1)
    volume, = said["volumes"]
    assert (volume["name"], volume["kind"], volume["label"], volume["uuid"]) == ("esp", "esp", "ESP", "1A2B-3C4D")


@pytest.mark.parametrize("text", ["x", "=y", "x=", "x=/,type=none", "x=/,colour=red", "x=/,label="])
def test_volumes_that_make_no_sense(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["entries", "--volume", text]) == 2
    assert "volume" in capsys.readouterr().err


def test_what_is_no_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["entries"]) == 2
    assert "nothing to read" in capsys.readouterr().err
    assert main(["entries", "--volume", f"a={tmp_path}", "--volume", f"a={tmp_path}"]) == 2
    assert "one name" in capsys.readouterr().err
    for name, data, reason in (("a.gz", gzip.compress(b"x"), "gzip"), ("b", b"QFI\xfb" + bytes(600), "qcow2")):
        (tmp_path / name).write_bytes(data)
        assert main(["entries", str(tmp_path / name)]) == 2
        assert reason in capsys.readouterr().err
    for data in (b"", b"x", bytes(1 << 20), os.urandom(1 << 20)):
        (tmp_path / "c").write_bytes(data)
        assert main(["entries", str(tmp_path / "c")]) == 1
        assert "no boot entry" in capsys.readouterr().out
    os.mkfifo(tmp_path / "fifo")
    assert main(["entries", str(tmp_path / "fifo")]) == 2


def test_a_table_that_is_broken_is_a_problem(disk: Path, tmp_path: Path) -> None:
    data = bytearray(disk.read_bytes())
    data[512 + 16] ^= 1  # the primary header's checksum
    (tmp_path / "disk").write_bytes(data)
    machine = ImageMachine([str(tmp_path / "disk")])
    assert len(machine.volumes) == 4
    assert "backup" in machine.problems[0].error or "header" in machine.problems[0].error
    (tmp_path / "disk").write_bytes(data[: len(data) // 2])  # the backup is gone, too
    machine = ImageMachine([str(tmp_path / "disk")])
    assert [volume.name for volume in machine.volumes] == ["sda"]
    assert machine.problems
    data[512:520] = bytes(8)  # nothing says that it was a GPT, but the MBR that guards it
    (tmp_path / "disk").write_bytes(data[: len(data) // 2])
    assert [problem.error for problem in ImageMachine([str(tmp_path / "disk")]).problems] == [
        "its MBR guards a GPT, which is not there"]
    dos = make_disk(tmp_path / "dos", PARTITIONS[:2], "dos")
    (tmp_path / "disk").write_bytes(dos.read_bytes()[: 3 << 20])
    assert "outside the disk" in ImageMachine([str(tmp_path / "disk")]).problems[0].error


@pytest.mark.parametrize(("at", "magic", "said"), [
    (512, b"LABELONE", "LVM"), (4096, b"\xfc\x4e\x2b\xa9", "RAID"), (3, b"NTFS    ", "NTFS"), (3, b"EXFAT   ", "exFAT"),
    (3, b"-FVE-FS-", "BitLocker")])
def test_what_is_not_read_is_named(tmp_path: Path, at: int, magic: bytes, said: str) -> None:
    (tmp_path / "image").write_bytes(bytes(at) + magic + bytes(1 << 20))
    problem, = ImageMachine([str(tmp_path / "image")]).problems
    assert problem.source == "sda"
    assert said in problem.error


def test_an_iso_that_is_a_disk_too_is_read_as_a_cd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As distributions make them: a partition table in the 32 KiB that ISO 9660 leaves free."""
    image = make_volume(tmp_path / "image", Partition("esp", "iso9660", BLS, "CD"))
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(image), input="label: dos\nstart=64, type=17\n")
    said = said_by(capsys, "entries", str(image))
    assert [row["name"] for row in said["volumes"]] == ["sr0"]
    assert said["entries"][0]["id"] == "b.conf"


def test_explain_says_why(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by(capsys, "explain", str(disk))
    assert list(said) == ["schema", "boots", "timeout", "entries", "searched", "problems", "volumes"]
    assert (said["schema"], said["boots"], said["timeout"]) == ("bootshim.explain/1", "b.conf", 3.0)
    entries = {entry["id"]: entry for entry in said["entries"]}
    assert entries["b.conf"]["trace"][-1] == "the default: sda2:/loader/loader.conf says b*"
    assert entries["b.conf"]["before"] == {"id": "a.conf", "why": "it is the default"}
    assert entries["a.conf"]["before"] == {"id": "c.conf", "why": "its version is newer"}
    assert entries["c.conf"]["before"] == {"id": "d.conf", "why": "it is offered, the other is hidden"}
    assert entries["a.conf"]["statements"][4] == {
        "file": "sda2:/loader/entries/a.conf", "line": 5, "text": "initrd /initrd"}
    assert [row["line"] for row in entries["c.conf"]["statements"]] == [2, 3, 4, 5]
    assert entries["c.conf"]["missing"] == ["sda2:/absent"]
    assert entries["d.conf"]["hidden"] == "it is for aa64"
    searched = {f"{row['volume']}:{row['path']}" for row in said["searched"]}
    assert {"sda1:/loader/entries", "sda1:/EFI/Linux", "sda2:/EFI/Linux"} <= searched
    assert "sda2:/loader/entries" not in searched


def test_an_entry_whose_kernel_is_absent_does_not_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_volume(tmp_path / "image", Partition("esp", "ext4", {
        "/loader/entries/a.conf": "version 2\nlinux /absent\n", "/loader/entries/b.conf": "version 1\nlinux /link\n",
        "/link": Link("vmlinuz"), "/vmlinuz": "kernel"}))
    assert said_by(capsys, "explain", str(image), "--default", "a*")["boots"] == "b.conf"
    assert said_by(capsys, "explain", str(image), "--entry", "a*", status=1)["entries"][0]["missing"] == ["sda:/absent"]
    assert said_by(capsys, "explain", str(image), "--entry", "none", status=1)["entries"] == []


def test_explain_for_people(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(disk)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    for line in ("would boot b.conf", "    sda2:/loader/entries/b.conf:4  linux /vmlinuz", "    hidden: it is for aa64",
                 "    not there: sda2:/absent", "  sda1:/EFI/Linux", "    before a.conf: it is the default",
                 "  sda4: an encrypted volume (LUKS), which is not opened"):
        assert line in said.splitlines()


@pytest.mark.parametrize(("environment", "coloured"), [
    ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)])
def test_colour_only_on_a_terminal(disk: Path, environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from shim.cli import main; raise SystemExit(main())", "explain", str(disk)]
    with subprocess.Popen(command, stdout=theirs, env={"PATH": os.environ["PATH"], **environment}) as done:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
    os.close(ours)
    assert done.returncode == 0
    assert (b"\x1b[" in said) is coloured


@pytest.mark.parametrize("filesystem", ["vfat", "ext2", "ext4", "iso9660", "disk"])
def test_damaged_images_end_in_an_answer(tmp_path: Path, filesystem: str, capsys: pytest.CaptureFixture[str]) -> None:
    image, noise = tmp_path / "image", random.Random(filesystem)
    if filesystem == "disk":
        make_disk(image, PARTITIONS[:2])
    else:
        make_volume(image, Partition("esp", filesystem, BLS))
    good = image.read_bytes()
    places = [at for at in range(len(good) - 4) if good[at]]
    for number in range(25):
        data = bytearray(good)
        for _ in range(1 + number % 8):
            data[noise.choice(places) + noise.randrange(3)] = noise.choice((0, 1, 0xFF, noise.randrange(256)))
        image.write_bytes(data)
        for verb in ("entries", "explain", "plan"):
            with bounded(2.0):
                assert main([verb, str(image)]) in (0, 1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_terminal_gets_no_escapes_from_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_volume(tmp_path / "image", Partition("esp", "ext4", {
        "/loader/entries/x\x1b[31m.conf": "title \x1b]0;evil\x07\nlinux /\u202ek\n", "/loader/entries/y.conf": "\x1b"}))
    main(["explain", str(image)])
    main(["entries", str(image)])
    said = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in said)
