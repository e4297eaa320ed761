"""`bootshim install` and `uninstall` on directory trees: what they write, what they leave alone, what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shim.cli import main as bootshim
from shim.cli.esp import ENTRY, IMAGE, Mount, mounted_at, parse_boot_entries, partition_of
from shim.entries import read_entries
from shim.errors import ConfigError
from shim.model import Volume
from shim.system.files import TreeFiles
from tests.builders import debian
from tests.builders.target import target_initrd
from tests.builders.uki import make_uki

pytestmark = pytest.mark.tools
OTHERS = {"EFI/BOOT/BOOTX64.EFI": b"firmware's fallback", "EFI/debian/grubx64.efi": b"GRUB",
          "loader/loader.conf": b"timeout 3\n", "loader/entries/debian.conf": b"title Debian\nlinux /vmlinuz\n"}


@pytest.fixture(scope="module")
def uki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uki")
    (folder / "initrd").write_bytes(target_initrd("x"))
    return make_uki(folder / "bootshim.efi", debian.kernel().image, [folder / "initrd"], "console=ttyS0")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path, data in OTHERS.items():
        (tmp_path / "esp" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "esp" / path).write_bytes(data)
    return tmp_path / "esp"


def contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_what_is_installed_is_taken_away_again_and_nothing_else(uki: Path, tree: Path) -> None:
    for _again in range(2):
        assert bootshim(["install", str(uki), "--tree", str(tree)]) == 0
        held = contents(tree)
        assert held.pop(IMAGE) == uki.read_bytes()
        assert b"efi /EFI/bootshim/bootshim.efi\n" in held.pop(ENTRY)
        assert held == OTHERS
    assert bootshim(["uninstall", "--tree", str(tree)]) == 0
    assert contents(tree) == OTHERS
    assert not (tree / "EFI/bootshim").exists()
    assert bootshim(["uninstall", "--tree", str(tree)]) == 0


def test_a_dry_run_says_the_steps_and_takes_none(uki: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootshim(["install", str(uki), "--tree", str(tree), "--dry-run"]) == 0
    assert contents(tree) == OTHERS
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["would", "write"]] * 2


def test_without_a_loader_no_entry_is_written(uki: Path, tmp_path: Path) -> None:
    assert bootshim(["install", str(uki), "--tree", str(tmp_path)]) == 0
    assert list(contents(tmp_path)) == [IMAGE]


def test_an_entry_that_somebody_else_wrote_stays(uki: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / ENTRY).write_text("title Mine\nefi /mine.efi\n")
    before = contents(tree)
    assert bootshim(["install", str(uki), "--tree", str(tree)]) == 2
    assert "somebody else wrote this boot entry" in capsys.readouterr().err
    assert bootshim(["uninstall", "--tree", str(tree)]) == 0
    assert contents(tree) == before


def test_a_file_of_somebody_else_keeps_our_directory(uki: Path, tree: Path) -> None:
    assert bootshim(["install", str(uki), "--tree", str(tree)]) == 0
    (tree / "EFI/bootshim/notes.txt").write_text("mine")
    assert bootshim(["uninstall", "--tree", str(tree)]) == 0
    assert contents(tree) == {**OTHERS, "EFI/bootshim/notes.txt": b"mine"}


def test_what_is_no_uki_is_refused(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootshim(["install", str(debian.kernel().image), "--tree", str(tree)]) == 2
    assert "it is no unified kernel image" in capsys.readouterr().err
    assert contents(tree) == OTHERS


@pytest.mark.parametrize(("option", "says"), [("--tree", "the EFI system partition is full"),
                                              ("--esp", "an EFI system partition is vfat")])
def test_a_mount_that_is_full_or_no_vfat_is_refused(uki: Path, tmp_path: Path, option: str, says: str) -> None:
    """A real mount of 1 MiB, in a namespace of its own: a tmpfs."""
    script = f'mount -t tmpfs -o size=1M none "$1" && exec "$2" -m shim.cli.main install "$3" {option} "$1"'
    script = script.replace("-m shim.cli.main", '-c "import sys; from shim.cli import main; sys.exit(main())"')
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", tmp_path, sys.executable, uki],
        capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr


def test_mountinfo_is_read_with_its_escapes() -> None:
    text = ("36 35 98:0 / /mnt\\040x rw,noatime master:1 - vfat /dev/sda1 rw\n"
            "37 35 98:0 / / rw - ext4 /dev/sda2 rw\nnonsense\n38 35 98:0 / /mnt\\040x rw - vfat /dev/sdb1 rw\n")
    assert mounted_at(Path("/mnt x"), text) == Mount("vfat", "/dev/sdb1")
    assert mounted_at(Path("/mnt"), text) is None


def test_of_the_firmwares_entries_only_ours_are_found() -> None:
    """The forms of efibootmgr 17 and 18."""
    text = ("BootCurrent: 0001\nBootOrder: 0001,000A,0002\n"
            "Boot0001* debian\tHD(1,GPT,7c4f,0x800,0x1000)/File(\\EFI\\debian\\shimx64.efi)\n"
            "Boot000A* bootshim\tHD(1,GPT,7c4f,0x800,0x1000)/File(\\EFI\\bootshim\\bootshim.efi)\n"
            "Boot0002  boots\tHD(1,GPT,7c4f,0x800,0x1000)/\\EFI\\bootshim\\bootshim.efi\n"
            "Boot0003* bootshim\tHD(1,GPT,7c4f,0x800,0x1000)/File(\\EFI\\other\\bootshim.efi)\n")
    assert parse_boot_entries(text) == ("000A", "0002")


def test_a_partition_is_found_by_sysfs(tmp_path: Path) -> None:
    disk = tmp_path / "devices/nvme0n1/nvme0n1p3"
    disk.mkdir(parents=True)
    (disk / "partition").write_text("3\n")
    (tmp_path / "class").mkdir()
    (tmp_path / "class/nvme0n1p3").symlink_to(disk)
    assert partition_of("/dev/nvme0n1p3", tmp_path / "class") == ("/dev/nvme0n1", 3)
    with pytest.raises(ConfigError, match="no partition of a disk"):
        partition_of("/dev/loop0", tmp_path / "class")


def test_the_boot_shim_passes_over_its_own_entry(uki: Path, tree: Path) -> None:
    assert bootshim(["install", str(uki), "--tree", str(tree)]) == 0
    found = read_entries([(Volume(name="esp"), TreeFiles(str(tree)))])
    hidden = {entry.id: entry.hidden for entry in found.entries}
    assert hidden["bootshim.conf"] == "it is the boot shim itself"
    assert hidden["debian.conf"] is None
