"""A ROM and a disk, and nothing else: from power-on to the second kernel, on each board."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from initramfs.rom import BOARDS
from shim.cli.rom_update import updated
from shim.formats.fmap import find_map
from shim.formats.manifest import Manifest, ManifestFile
from shim.formats.slot import SLOTS, chosen, parse_slot, read_slots
from tests.vm import rom
from tests.vm.shimmed import TIMEOUT

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("rom")]


@pytest.mark.parametrize("board", BOARDS)
def test_power_on_to_the_second_kernel(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The timeline has the firmware, our kernel, the stages of the boot shim, and the second kernel, in this order."""
    monkeypatch.setattr(rom, "DIRECTORY", tmp_path)
    monkeypatch.setattr(rom, "SECONDS", TIMEOUT)
    assert rom.main([f"BOARD={board}"]) == 0
    told = capsys.readouterr().out
    names = [line.split()[0] for line in told.splitlines() if line.rstrip().endswith("|")]
    assert names[:3] == ["firmware", "kernel", "start"]
    assert names[-2:] == ["jump", "second"]
    assert f"rom: {board}: the second kernel printed the token of debian-bls.conf" in told


def test_a_token_that_does_not_come_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same ROM with the disk of another run: the policy trusts none of its initrds, so nothing boots."""
    monkeypatch.setattr(rom, "SECONDS", 60.0)
    made, _, token = rom.make(tmp_path, "ovmf-q35", rom.flash_kernel())
    _, foreign, _ = rom.make(tmp_path / "other", "ovmf-q35", rom.flash_kernel())
    run = rom.power_on(made, foreign, "ovmf-q35", token)
    assert "token" not in run.seen
    assert "bootshim: trying" in run.serial
    assert rom.show(run, "ovmf-q35", token) == 1
    assert "FAILED" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["BOARD=toaster"], ["ovmf-q35"], ["BOARD=ovmf-q35", "FAST=1"], []])
def test_what_it_does_not_know_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert rom.main(words) == 2
    assert "usage" in capsys.readouterr().err


def test_a_kernel_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rom.main(["BOARD=ovmf-q35", f"KERNEL={tmp_path / 'none'}"]) == 1
    assert "make kernel" in capsys.readouterr().err


@pytest.fixture(scope="module")
def coreboot(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path, str]:
    rom_file, disk, token = rom.make(tmp_path_factory.mktemp("slots"), "coreboot-q35", rom.flash_kernel())
    return rom_file.read_bytes(), disk, token


@pytest.mark.parametrize("damage", ["none", "payload", "trailer", "erased"])
def test_the_slot_that_is_whole_and_newest_boots(
    coreboot: tuple[bytes, Path, str], tmp_path: Path, damage: str
) -> None:
    """The firmware and `bootshim rom` agree on which slot runs, after an update and after one that was cut short."""
    image, disk, token = coreboot
    payload = parse_slot(image[: find_map(image).region(SLOTS[0]).size]).payload
    row = ManifestFile(name="/coreboot-q35.payload", size=len(payload), sha256=sha256(payload).digest())
    name, after = updated(image, Manifest(version=2, files=(row,)), payload)
    region = find_map(after).region(name)
    flash = bytearray(after)
    if damage == "erased":
        flash[region.offset : region.end] = b"\xff" * region.size
    elif damage != "none":
        flash[region.offset + len(payload) // 2 if damage == "payload" else region.end - 1] ^= 1
    (tmp_path / "flash.rom").write_bytes(flash)
    run = rom.power_on(tmp_path / "flash.rom", disk, "coreboot-q35", token)
    assert "token" in run.seen, run.serial[-2000:]
    runs, version = (SLOTS[1], 2) if damage == "none" else (SLOTS[0], 1)
    assert chosen(read_slots(bytes(flash))) == runs
    assert f"bootshim: {runs}, version {version}" in run.serial
    assert ("bootshim: BOOTSHIM_B is damaged" in run.serial) is (damage == "payload")
