"""Configurations as real systems carry them: the installer's, u-boot-update's, a live image's; and a second reader."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from shim.cli import main
from shim.entries import EntryList, read_entries
from shim.model import Volume
from shim.system.files import TreeFiles
from shim.system.memory_files import MemoryFiles
from tests.builders import debian
from tests.builders.extlinuxconfig import KERNELS, UUID, live_tree, make_extlinux_conf

pytestmark = [pytest.mark.tools]
INSTALLER = "usr/lib/debian-installer/images/12/amd64"
LIVE = "boot=live components quiet splash"


def boot_files(prefix: str = "/boot") -> dict[str, bytes]:
    return {f"{prefix}/{name}-{version}": b"x" for name in ("vmlinuz", "initrd.img") for version in KERNELS}


@pytest.fixture(scope="module")
def installer() -> Path:
    return debian.package("debian-installer-12-netboot-amd64") / INSTALLER


def read_tree(tree: Path) -> EntryList:
    return read_entries([(Volume(name="vda1"), TreeFiles(str(tree)))], dialects=["syslinux"])


def test_the_installers_netboot_tree(installer: Path) -> None:
    """Ten of the files that it includes do not exist; menus lead from its help back to itself."""
    found = read_tree(installer / "text")
    assert [(entry.id, entry.menu_path) for entry in found.entries] == [
        ("install", "Install"), ("expert", "Advanced options>Expert install"),
        ("rescue", "Advanced options>Rescue mode"), ("auto", "Advanced options>Automated install"),
        ("installdark", "Accessible dark contrast option>Install"),
        *((f"{name}dark", f"Accessible dark contrast option>Advanced options>{title}") for name, title in (
            ("expert", "Expert install"), ("rescue", "Rescue mode"), ("auto", "Automated install")))]
    first = found.entries[0]
    assert {str(entry.linux) for entry in found.entries} == {"vda1:/debian-installer/amd64/linux"}
    assert {tuple(map(str, entry.initrd)) for entry in found.entries} == {("vda1:/debian-installer/amd64/initrd.gz",)}
    assert (first.cmdline, first.default, first.hidden) == ("vga=788 --- quiet", True, None)
    assert first.source == "/debian-installer/amd64/boot-screens/txt.cfg:1"
    assert "vda1:/debian-installer/amd64/boot-screens/menu.cfg" in map(str, first.configuration)
    missing, = found.problems
    assert missing.error.startswith("10 files that it includes are not there: debian-installer/")


def test_the_installers_graphical_tree(installer: Path) -> None:
    """When nobody presses a key, it speaks: ONTIMEOUT names a kernel, not a label."""
    found = read_tree(installer / "gtk")
    first = found.entries[0]
    assert (first.id, first.default, found.timeout) == ("debian-installer/amd64/linux", True, 30.0)
    assert "speakup.synth=soft" in (first.cmdline or "")
    assert "ONTIMEOUT of /debian-installer/amd64/boot-screens/spk.cfg:7" in first.trace[-1]
    assert [entry.menu_path for entry in found.entries if entry.id == "installspk"] == ["Install with speech synthesis"]
    assert all(entry.hidden is None and entry.linux is not None for entry in found.entries)


@pytest.mark.parametrize("separate", [False, True], ids=["/boot in /", "/boot of its own"])
def test_what_u_boot_update_makes_of_three_kernels(separate: bool) -> None:
    """Newest first, each plain and for rescue. On a /boot of its own, its root is what the kernel calls /boot."""
    text = make_extlinux_conf()
    if separate:
        text, prefix = re.sub(r"^(\t(?:linux|initrd) )/boot/", r"\1/", text, flags=re.MULTILINE), ""
    else:
        prefix = "/boot"
    found = read_entries([(Volume(name="vda2"), MemoryFiles({
        f"{prefix}/extlinux/extlinux.conf": text.encode(), **boot_files(prefix)}))])
    assert not found.problems
    assert found.timeout == 5.0
    assert [entry.id for entry in found.entries] == ["l0", "l0r", "l1", "l1r", "l2", "l2r"]
    first, rescue = found.entries[:2]
    assert (str(first.linux), first.cmdline, first.default) == (
        f"vda2:{prefix}/vmlinuz-6.1.0-27-amd64", f"root=UUID={UUID} ro quiet", True)
    assert [str(ref) for ref in first.initrd] == [f"vda2:{prefix}/initrd.img-6.1.0-27-amd64"]
    assert (rescue.title, rescue.cmdline) == (
        "Debian GNU/Linux 12 (bookworm) 6.1.0-27-amd64 (rescue target)", f"root=UUID={UUID} ro single")


def test_u_boot_update_with_its_settings() -> None:
    text = make_extlinux_conf(
        settings={"U_BOOT_DEFAULT": "l1", "U_BOOT_TIMEOUT": "120", "U_BOOT_ALTERNATIVES": "default",
                  "U_BOOT_PARAMETERS": "ro console=ttyS0", "U_BOOT_FDT": "board.dtb", "U_BOOT_FDT_OVERLAYS": "a.dtbo"},
        more={f"usr/lib/linux-image-{version}/board.dtb": "x" for version in KERNELS} | {"boot/dtbo/a.dtbo": "x"})
    files = {f"/usr/lib/linux-image-{version}/board.dtb": b"x" for version in KERNELS}
    found = read_entries([(Volume(name="vda2"), MemoryFiles({
        "/boot/extlinux/extlinux.conf": text.encode(), **boot_files(), **files, "/boot/dtbo/a.dtbo": b"x"}))])
    first = found.entries[0]
    assert (first.id, first.default, found.timeout) == ("l1", True, 12.0)
    assert str(first.devicetree) == "vda2:/usr/lib/linux-image-6.1.0-9-amd64/board.dtb"
    assert [str(ref) for ref in first.devicetree_overlay] == ["vda2:/boot/dtbo/a.dtbo"]
    assert first.cmdline == f"root=UUID={UUID} ro console=ttyS0"


def test_a_live_images_isolinux_tree() -> None:
    found = read_entries([(Volume(name="sr0", fstype="iso9660"), MemoryFiles(live_tree(LIVE, ("amd64", "686"))))])
    assert [(entry.id, entry.cmdline) for entry in found.entries if entry.hidden is None] == [
        ("live-amd64", LIVE), ("live-amd64-failsafe", f"{LIVE} nomodeset"), ("live-686", LIVE),
        ("live-686-failsafe", f"{LIVE} nomodeset")]
    assert found.entries[0].trace[-1] == "the default: MENU DEFAULT of /isolinux/isolinux.cfg"
    hidden, = [entry for entry in found.entries if entry.hidden is not None]
    assert (hidden.menu_path, hidden.hidden) == (
        "Utilities>Hardware Detection Tool (HDT)", "hdt.c32 is a program that only SYSLINUX can run")


Read = tuple[str, str, str, tuple[str, ...]]


def converted(tree: Path, config: str) -> list[Read]:
    """Return what grub-syslinux2cfg, GRUB's own reader of these files, makes of one: title, kernel, words, initrds.

    It needs a TIMEOUT, or writes down the default alone; it splits no list of initrds, and leaves initrd= where it is.
    """
    tool = debian.package("grub-common") / "usr/bin/grub-syslinux2cfg"
    folder = f"/{config}".rpartition("/")[0] or "/"
    done = subprocess.run([str(tool), "-r", str(tree), "-T", folder, str(tree / config)],
                          capture_output=True, text=True, check=True)
    made: list[Read] = []
    title = ""
    for line in map(str.strip, done.stdout.splitlines()):
        if line.startswith("menuentry"):
            title = shlex.split(line)[1]
        elif line.startswith("linux$"):
            _, kernel, *words = [word for word in shlex.split(line) if not word.startswith("initrd=")]
            made.append((title, normal(kernel), " ".join(words), ()))
        elif line.startswith("initrd$"):
            made[-1] = (*made[-1][:3], tuple(map(normal, shlex.split(line)[1:])))
    return made


def normal(path: str) -> str:
    return re.sub("//+", "/", path)


def both(files: dict[str, bytes], config: str, tree: Path) -> tuple[set[Read], set[Read]]:
    for path, data in files.items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    ours = {(entry.title, entry.linux.path, entry.cmdline or "", tuple(ref.path for ref in entry.initrd))
            for entry in read_tree(tree).entries if entry.linux is not None}
    return ours, set(converted(tree, config))


@pytest.mark.parametrize("what", ["u-boot-update", "live-build"])
def test_grub_reads_the_same_titles_kernels_and_words(what: str, tmp_path: Path) -> None:
    """WITNESS: grub-syslinux2cfg of Debian's grub-common, an implementation of its own."""
    if what == "live-build":
        files, config = live_tree(LIVE, ("amd64", "686")), "isolinux/isolinux.cfg"
        files[f"/{config}"] = files[f"/{config}"].replace(b"timeout 0", b"timeout 50")
    else:
        config = "boot/extlinux/extlinux.conf"
        files = {f"/{config}": make_extlinux_conf().encode(), **boot_files()}
    ours, theirs = both(files, config, tmp_path)
    assert len(theirs) > 3
    if what == "live-build":  # it knows no MENU BEGIN: the MENU LABEL in there is the title of the label before
        ours, theirs = ({("", *row[1:]) for row in rows} for rows in (ours, theirs))
    assert ours == theirs


@pytest.mark.parametrize("label", [
    "KERNEL /vmlinuz", "kernel vmlinuz\nappend ro", "LINUX /vmlinuz\nINITRD /initrd.img\nAPPEND ro quiet",
    "KERNEL /vmlinuz\nAPPEND initrd=/initrd.img ro", "KERNEL /vmlinuz\nAPPEND ro initrd=/initrd.img quiet",
    "MENU LABEL A ^title\nKERNEL /vmlinuz", "KERNEL /vmlinuz\nTEXT HELP\nx\nENDTEXT",
    "KERNEL /vmlinuz\nAPPEND a\nAPPEND b", "  linux\t/vmlinuz\n\tappend\tro",
])
def test_grub_reads_the_same_of_a_label(label: str, tmp_path: Path) -> None:
    """WITNESS: the same, label by label."""
    text = f"TIMEOUT 50\nPROMPT 1\nDEFAULT x\nLABEL x\n{label}\nLABEL y\nKERNEL /vmlinuz\nAPPEND y\n"
    files = {f"/{name}": b"x" for name in ("vmlinuz", "initrd.img", "ucode.img")} | {"/syslinux.cfg": text.encode()}
    ours, theirs = both(files, "syslinux.cfg", tmp_path)
    assert len(theirs) == 2
    assert ours == theirs


def test_the_command_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "boot/extlinux"
    tree.mkdir(parents=True)
    (tree / "extlinux.conf").write_text(make_extlinux_conf(KERNELS[:1]))
    for path, data in boot_files().items():
        (tmp_path / path.lstrip("/")).write_bytes(data)
    assert main(["entries", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "l0r" in shown
    assert f"root=UUID={UUID} ro" in shown
