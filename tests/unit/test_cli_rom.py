"""`bootshim rom`: the commands of docs/flash.md, on Debian's firmware."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from initramfs.rom import build_rom
from initramfs.rom_coreboot import build_firmware, linux_payload
from initramfs.rom_ovmf import DROPPED, SHELL, put_in, rom_uki
from shim.cli import main
from shim.errors import ConfigError, FormatError
from shim.formats.cbfs import HEADER, find_file
from shim.formats.efi_file import FirmwareFile
from shim.formats.efi_image import parse_image, walk
from shim.formats.uki import split_uki
from tests.builders import debian
from tests.builders.firmware import OVMF, name_of, small_image
from tests.builders.flash import BOARD, SLOT_SIZE, flash_image
from tests.unit.hostile import cuts, mutations, refuses, survives

CODE = OVMF / "OVMF_CODE_4M.fd"
TLS = "3aceb0c0-3c72-11e4-9a56-74d435052646"
INITRAMFS = b"an initramfs" * 1000


def give(*words: object) -> int:
    return main(["rom", *map(str, words)])


def names(path: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    capsys.readouterr()
    assert give("list", path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "bootshim.rom/1"
    return {row["guid"] for row in said["content"] if row["kind"] == "file" and row["guid"]}


@pytest.mark.tools
def test_list_extract_replace_and_drop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell, again, rom, smaller = (tmp_path / name for name in ("shell.efi", "again.efi", "rom.fd", "smaller.fd"))
    assert give("extract", CODE, SHELL.upper(), "--output", shell) == 0
    assert shell.read_bytes().startswith(b"MZ")
    assert give("replace", CODE, SHELL, shell, "--drop", TLS, "--size", "16M", "--output", rom) == 0
    assert rom.stat().st_size == 16 << 20
    assert give("extract", rom, SHELL, "--output", again) == 0
    assert again.read_bytes() == shell.read_bytes()
    assert names(CODE, capsys) - names(rom, capsys) == {TLS}
    assert give("drop", CODE, TLS, "--output", smaller) == 0
    assert smaller.stat().st_size == CODE.stat().st_size
    assert names(smaller, capsys) == names(rom, capsys)
    assert give("list", rom) == 0
    assert "TcpDxe" in capsys.readouterr().out


def test_what_cannot_be_done_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = tmp_path / "image.fd", tmp_path / "output.fd"
    image.write_bytes(small_image())
    for words, reason in (
        (("extract", image, name_of(9), "--output", output), "no firmware file of this name"),
        (("extract", image, name_of(1), "--section", "te", "--output", output), "not just one section"),
        (("extract", image, "a name", "--output", output), "not a UUID"),
        (("replace", image, name_of(1), image, "--size", "16G", "--output", output), "not a size"),
        (("drop", image, name_of(9), "--output", output), "no firmware file of this name"),
        (("pcrs", image), "no firmware file of this name"),
        (("regions", image), "no FMAP"),
    ):
        try:
            status = give(*words)
        except SystemExit as ending:  # argparse's own
            status = ending.code
        assert status == 2
        assert reason in capsys.readouterr().err
    assert not output.exists()


def test_names_from_an_image_are_printed_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.fd").write_bytes(small_image(["\x1b[2J"]))
    assert give("list", tmp_path / "image.fd") == 0
    assert "\x1b" not in capsys.readouterr().out


def test_of_flash_with_slots_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shim.formats.slot import build_slot

    (tmp_path / "flash.rom").write_bytes(flash_image(build_slot(b"payload", 1, BOARD, SLOT_SIZE)))
    assert give("pcrs", tmp_path / "flash.rom") == 0
    assert "measures nothing" in capsys.readouterr().out
    assert give("regions", tmp_path / "flash.rom") == 0
    assert "BOOTSHIM_A  version 1 for coreboot-q35, runs" in capsys.readouterr().out


@pytest.mark.tools
def test_the_rom_has_the_payload_and_nothing_that_boots_a_disk(capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel is Debian's general one: the largest that fits without an initramfs of its size."""
    kernel = debian.kernel("").image.read_bytes()
    made = put_in(parse_image(CODE.read_bytes()), rom_uki(kernel, INITRAMFS, "quiet"))
    files = {node.thing.name: node.name for node in walk(made) if isinstance(node.thing, FirmwareFile)}
    assert not set(DROPPED.values()) & set(files)
    before = {node.thing.name: node.name for node in walk(parse_image(CODE.read_bytes()))
              if isinstance(node.thing, FirmwareFile)}
    assert {name: guid for name, guid in DROPPED.items() if before[guid] != name} == {}
    from shim.cli.rom_pcrs import payload_of, predict

    uki = split_uki(payload_of(made))
    assert (bytes(uki.linux), bytes(uki.initrd or b""), uki.command_line()) == (kernel, INITRAMFS, "quiet")
    assert {event.pcr_index for _, event in predict(made, ["sha256"])} == {0, 2, 3, 4, 5, 6, 7, 9, 11}


@pytest.mark.tools
def test_a_kernel_that_is_too_large_is_refused(tmp_path: Path) -> None:
    cloud = debian.kernel("cloud").image
    with pytest.raises(FormatError, match="do not fit into the firmware volume"):
        put_in(parse_image(CODE.read_bytes()), rom_uki(cloud.read_bytes(), INITRAMFS, "quiet"))
    with pytest.raises(FormatError, match="needs the memory where cbfstool puts the initramfs"):
        linux_payload(cloud.read_bytes(), INITRAMFS, "quiet")
    with pytest.raises(ConfigError, match="no such board"):
        build_rom("toaster", cloud, cloud, tmp_path / "toaster.rom")


@pytest.mark.tools
def test_a_file_of_cbfs_is_found_as_cbfstool_finds_it(tmp_path: Path) -> None:
    """WITNESS: cbfstool extract, of the coreboot that was built."""
    firmware = build_firmware()
    for name in ("config", "revision", "fallback/dsdt.aml"):
        subprocess.run([firmware / "cbfstool", firmware / "coreboot.rom", "extract", "-n", name, "-f",
                        tmp_path / "file"], check=True, capture_output=True)  # fmt: skip
        assert find_file((firmware / "coreboot.rom").read_bytes(), name) == (tmp_path / "file").read_bytes()


def test_cbfs_that_lies() -> None:
    name, content = b"fallback/payload", b"content" * 10
    head = HEADER.build(magic=b"LARCHIVE", len=len(content), type=0x20, offset=HEADER.size + 24)
    data = head + name.ljust(24, b"\0") + content
    assert find_file(bytes(64) + data, name.decode()) == content
    for cut in cuts(data):
        refuses(lambda one: find_file(one, name.decode()), cut)
    for what, lie in mutations(HEADER, data):
        survives(lambda one: find_file(one, name.decode()), lie, what)
    refuses(lambda one: find_file(one, "fallback/other"), data)
