"""Configurations as real systems carry them: Debian's by grub-mkconfig, Fedora's, the installer's, live ISOs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from shim.model import PartitionKind, Volume
from tests.builders import debian, grubconfig
from tests.builders import grubwitness as witness
from tests.builders.grubconfig import BTRFS, KERNELS, LVM, UUID, make_grub_cfg
from tests.unit.grub import ADVANCED, SIMPLE, boot_files, read_all, volume

pytestmark = [pytest.mark.tools]
@pytest.fixture(scope="module")
def debian_cfg() -> str:
    return make_grub_cfg(others=True)


def test_what_grub_mkconfig_makes_of_three_kernels(debian_cfg: str) -> None:
    """The newest kernel first, then all of them in the submenu: each plain, and for recovery."""
    found = read_all((volume(uuid=UUID), {"/boot/grub/grub.cfg": debian_cfg.encode(), **boot_files()}))
    tried = [entry for entry in found.entries if entry.hidden is None]
    first, rest = tried[0], tried[1:]
    assert not found.problems
    assert found.timeout == 5.0
    assert (first.id, first.default, str(first.linux)) == (SIMPLE, True, "vda2:/boot/vmlinuz-6.1.0-27-amd64")
    assert [str(ref) for ref in first.initrd] == ["vda2:/boot/initrd.img-6.1.0-27-amd64"]
    assert first.cmdline == f"root=UUID={UUID} ro quiet"
    versions = [entry.id.removeprefix(f"{ADVANCED}>gnulinux-").split("-amd64")[0] for entry in rest]
    assert list(dict.fromkeys(versions)) == ["6.1.0-27", "6.1.0-9", "5.10.0-30"]
    assert {entry.cmdline for entry in rest if "recovery" in entry.id} == {f"root=UUID={UUID} ro single"}
    assert any("the uuid" in sentence and "vda2" in sentence for sentence in first.trace)


def test_what_os_prober_found_is_explained(debian_cfg: str) -> None:
    fedora = volume("vda3", uuid="99999999-0000-4000-8000-000000000003")
    found = read_all(
        (volume("vda1", kind=PartitionKind.ESP, uuid="1234-ABCD"), {"/EFI/Microsoft/Boot/bootmgfw.efi": b"MZ"}),
        (volume(uuid=UUID), {"/boot/grub/grub.cfg": debian_cfg.encode(), **boot_files()}),
        (fedora, {"/boot/vmlinuz-6.5": b"k", "/boot/initramfs-6.5.img": b"i"}))
    windows = next(entry for entry in found.entries if "Windows" in entry.title)
    assert windows.hidden == "vda1:/EFI/Microsoft/Boot/bootmgfw.efi is an EFI program that only firmware can start"
    other, = [entry for entry in found.entries if entry.id.startswith("osprober-gnulinux-simple")]
    assert (str(other.linux), other.cmdline, other.hidden) == ("vda3:/boot/vmlinuz-6.5", "root=/dev/vda3 ro rhgb", None)


@pytest.mark.parametrize(("default", "expected"), [
    ("saved", f"{ADVANCED}>gnulinux-6.1.0-9-amd64-advanced-{UUID}"), ("1>4", "6.1.0-9-amd64"),
    (f"{ADVANCED}>gnulinux-5.10.0-30-amd64-recovery-{UUID}", "5.10.0-30-amd64-recovery"),
    ("Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 5.10.0-30-amd64", "5.10.0-30-amd64-advanced"),
])
def test_grub_default_is_the_default(default: str, expected: str) -> None:
    saved = f"{ADVANCED}>gnulinux-6.1.0-9-amd64-advanced-{UUID}"
    text = make_grub_cfg(defaults={"GRUB_DEFAULT": default})
    found = read_all((volume(uuid=UUID), {"/boot/grub/grub.cfg": text.encode(), **boot_files(),
                                          "/boot/grub/grubenv": witness.block(saved_entry=saved)}))
    assert expected in found.entries[0].id
    assert found.entries[0].default
    assert found.entries[0].trace[-1].startswith("the default: /boot/grub/grub.cfg:")
    assert ("saved_entry of /boot/grub/grubenv" in found.entries[0].trace[-1]) == (default == "saved")


def test_grub_reboot_holds_for_the_next_boot() -> None:
    """And is told, for nothing is written: it holds for the boots after that one, too."""
    text = make_grub_cfg(defaults={"GRUB_DEFAULT": "saved"})
    found = read_all((volume(uuid=UUID), {"/boot/grub/grub.cfg": text.encode(), **boot_files(),
                                          "/boot/grub/grubenv": witness.block(next_entry=f"{ADVANCED}>2")}))
    assert "recovery" in found.entries[0].id
    assert any("next_entry" in sentence for sentence in found.entries[0].trace)


def test_an_lvm_root_is_searched_by_its_uuid() -> None:
    text = make_grub_cfg(LVM)
    assert "lvmid/" in text
    root = Volume(name="dm-0", device="/dev/mapper/vg-root", fstype="ext4", uuid=UUID)
    found = read_all((root, {"/boot/grub/grub.cfg": text.encode(), **boot_files()}))
    assert (str(found.entries[0].linux), found.entries[0].cmdline) == (
        "dm-0:/boot/vmlinuz-6.1.0-27-amd64", "root=/dev/mapper/vg-root ro quiet")


@pytest.mark.parametrize("mounted", ["", "/@rootfs"])
def test_btrfs_paths_begin_at_the_top_of_the_file_system(mounted: str) -> None:
    """Whether the top is mounted or the subvolume, the kernel of a path that names the subvolume is found."""
    text = make_grub_cfg(BTRFS, subvolume="/@rootfs")
    assert "/@rootfs/boot/vmlinuz" in text
    files = {f"{mounted}/boot/grub/grub.cfg": text.encode(), **boot_files(mounted)}
    first = read_all((volume(fstype="btrfs", uuid=UUID), files)).entries[0]
    assert str(first.linux) == f"vda2:{mounted}/boot/vmlinuz-6.1.0-27-amd64"
    assert first.hidden is None
    assert "rootflags=subvol=@rootfs" in (first.cmdline or "")


@pytest.mark.parametrize("default", ["0", "1>0", "1>5", f"gnulinux-advanced-{witness.EXT_UUID}>2", "nonsense"])
def test_grub_itself_boots_the_same_of_grub_mkconfigs_menu(default: str, tmp_path: Path) -> None:
    """In grub-emu, with functions for what it cannot load."""
    text = make_grub_cfg(uuid=witness.EXT_UUID, defaults={
        "GRUB_DEFAULT": default, "GRUB_TIMEOUT": "0", "GRUB_TERMINAL": "console"})
    functions = 'function linux { echo ":$root"; for i in "$@"; do echo ":$i"; done; }\nfunction initrd { halt; }\n'
    said = witness.said_by_grub(functions + text, tmp_path, witness.make_witness_disk(tmp_path), str(tmp_path))
    found = read_all((volume(uuid=witness.EXT_UUID), {"/boot/grub/grub.cfg": text.encode(), **boot_files()}))
    entry = found.entries[0]
    assert entry.linux is not None
    words = ["hd0,gpt2", entry.linux.path, *(entry.cmdline or "").split()]
    assert said == [f":{word}" for word in words]


# As Fedora's 10_linux writes it, where the entries are files of the Boot Loader Specification.
FEDORA = """set pager=1
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  fi
}
terminal_output console
if [ x$feature_timeout_style = xy ] ; then
  set timeout_style=menu
  set timeout=5
fi
insmod part_gpt
insmod ext2
search --no-floppy --fs-uuid --set=root BOOT-UUID
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=UUID=fallback ro "
fi
insmod blscfg
blscfg
if [ "${boot_success}" = "1" -o "${boot_indeterminate}" = "1" ]; then
  set menu_hide_ok=1
fi
if [ "$grub_platform" = "efi" ]; then
  fwsetup --is-supported
  if [ "$?" = 0 ]; then
    menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' { fwsetup; }
  fi
fi
"""
FEDORA_STUB = """search --no-floppy --root-dev-only --fs-uuid --set=dev BOOT-UUID
set prefix=($dev)/grub2
export $prefix
configfile $prefix/grub.cfg
"""
BLS = """title Fedora Linux ({version})
version {version}
linux /vmlinuz-{version}
initrd /initramfs-{version}.img $tuned_initrd
options $kernelopts $tuned_params rhgb
grub_users $grub_users
grub_arg --unrestricted
grub_class fedora
"""
FEDORA_VERSIONS = ("6.5.6-300.fc39", "6.11.4-100.fc39", "0-rescue-4098")


def fedora_disk(grubenv: bytes) -> list[tuple[Volume, Mapping[str, bytes]]]:
    files = {"/grub2/grub.cfg": FEDORA.encode(), "/grub2/grubenv": grubenv, "/tuned.img": b"t"}
    for version in FEDORA_VERSIONS:
        files |= {f"/vmlinuz-{version}": b"k", f"/initramfs-{version}.img": b"i",
                  f"/loader/entries/4098-{version}.conf": BLS.format(version=version).encode()}
    return [(volume("vda1", kind=PartitionKind.ESP, uuid="AAAA-BBBB"), {"/EFI/fedora/grub.cfg": FEDORA_STUB.encode()}),
            (volume(uuid="boot-uuid"), files)]


def test_fedoras_entries_take_their_variables_from_grub() -> None:
    grubenv = witness.block(saved_entry="4098-6.5.6-300.fc39", kernelopts="root=/dev/vda3 ro",
                            tuned_params="skew_tick=1", tuned_initrd="/tuned.img")
    found = read_all(*fedora_disk(grubenv))
    assert not found.problems
    first = found.entries[0]
    assert (first.id, first.default, first.source) == (
        "4098-6.5.6-300.fc39", True, "/loader/entries/4098-6.5.6-300.fc39.conf:1")
    assert first.cmdline == "root=/dev/vda3 ro skew_tick=1 rhgb"
    assert [ref.path for ref in first.initrd] == ["/initramfs-6.5.6-300.fc39.img", "/tuned.img"]
    assert [entry.id for entry in found.entries[1:]] == ["4098-6.11.4-100.fc39", "4098-0-rescue-4098"]
    assert all(entry.hidden is None for entry in found.entries)
    assert any("bls1 reads it, too" in sentence for sentence in first.trace)


def test_fedoras_fallback_for_a_grubenv_that_is_lost() -> None:
    found = read_all(*fedora_disk(b""))
    assert found.entries[0].cmdline == "root=UUID=fallback ro rhgb"
    assert found.timeout == 5.0


def test_an_entry_that_needs_no_variable_is_one_for_both_dialects() -> None:
    trees = fedora_disk(witness.block(saved_entry="4098-6.5.6-300.fc39"))
    files = dict(trees[1][1])
    for version in FEDORA_VERSIONS:
        files[f"/loader/entries/4098-{version}.conf"] = (
            f"title Fedora\nversion {version}\nlinux /vmlinuz-{version}\noptions ro\n").encode()
    found = read_all(trees[0], (trees[1][0], files))
    assert [(entry.dialect, entry.id) for entry in found.entries] == [
        ("bls1", f"4098-{version}.conf") for version in FEDORA_VERSIONS]
    assert any("grub has it, too" in sentence for sentence in found.entries[0].trace)
    assert "says 4098-6.5.6-300.fc39" in found.entries[0].trace[-1]


@pytest.mark.parametrize("flavour", ["text", "gtk"])
def test_the_installers_menu(flavour: str) -> None:
    """Debian's netboot tree, whose stub for EFI leads to a file that is not there."""
    tree = debian.package("debian-installer-12-netboot-amd64") / "usr/lib/debian-installer/images/12/amd64" / flavour
    grub = tree / "debian-installer/amd64/grub"
    files = {"/boot/grub/grub.cfg": Path(grub, "grub.cfg").read_bytes(),
             "/grub/grub.cfg": Path(grub, "x86_64-efi/grub.cfg").read_bytes().replace(b"/boot/grub/", b"/absent/"),
             "/debian-installer/amd64/linux": b"k", "/debian-installer/amd64/initrd.gz": b"i"}
    found = read_all((volume(), files))
    titles = [entry.title for entry in found.entries]
    assert len(titles) == files["/boot/grub/grub.cfg"].count(b"menuentry ")
    assert all(entry.hidden is None for entry in found.entries)
    assert found.entries[0].cmdline == "vga=788 --- quiet"
    assert sum("theme=dark" in (entry.cmdline or "") for entry in found.entries) == 4
    assert [problem.source for problem in found.problems] == ["vda2:/grub/grub.cfg:12"]


# The shape of Fedora CoreOS's: the volume for /boot by its label, unless a file beside says which.
COREOS = """search --label boot --set prefix --no-floppy
set prefix=($prefix)/grub2
if [ -f $prefix/bootuuid.cfg ]; then
  source $prefix/bootuuid.cfg
fi
if [ -n "${BOOT_UUID}" ]; then
  search --fs-uuid "${BOOT_UUID}" --set boot --no-floppy
else
  search --label boot --set boot --no-floppy
fi
set root=$boot
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ -f $prefix/console.cfg ]; then source $prefix/console.cfg; fi
set timeout=1
blscfg
"""
OSTREE = """title Fedora CoreOS 39 (ostree:0)
version 1
options rw mitigations=auto ostree=/ostree/boot.1/fedora-coreos/1234/0
linux /ostree/fedora-coreos-1234/vmlinuz-6.5.6
initrd /ostree/fedora-coreos-1234/initramfs-6.5.6.img
"""


@pytest.mark.parametrize("uuid", ["", UUID])
def test_coreos_finds_the_boot_volume_by_label_or_uuid(uuid: str) -> None:
    esp = volume("vda2", kind=PartitionKind.ESP, label="EFI-SYSTEM")
    files = {"/grub2/console.cfg": b"terminal_output console\n", "/loader.1/entries/ostree-1.conf": OSTREE.encode(),
             "/loader/entries/ostree-1-fedora-coreos.conf": OSTREE.encode(),
             "/ostree/fedora-coreos-1234/vmlinuz-6.5.6": b"k",
             "/ostree/fedora-coreos-1234/initramfs-6.5.6.img": b"i"}
    if uuid:
        files["/grub2/bootuuid.cfg"] = f'set BOOT_UUID="{uuid}"\n'.encode()
    boot = volume("vda3", label="boot", uuid=UUID)
    found = read_all((esp, {"/EFI/fedora/grub.cfg": COREOS.encode()}), (boot, files))
    assert not found.problems
    assert found.timeout == 1.0
    entry, = found.entries
    assert (str(entry.linux), entry.default) == ("vda3:/ostree/fedora-coreos-1234/vmlinuz-6.5.6", True)
    assert any("grub has it, too: /loader/entries" in sentence for sentence in entry.trace)


# The shape of NixOS's, whose kernels lie in a store.
NIXOS = """search --set=drive1 --fs-uuid UUID
if [ -s $prefix/grubenv ]; then load_env; fi
if [ "${next_entry}" ]; then set default="${next_entry}"; else set default="0"; set timeout=5; fi
if [ "${grub_platform}" = "efi" ]; then
  insmod efi_gop
fi
menuentry "NixOS - Default" --class nixos --unrestricted {
search --set=drive1 --fs-uuid UUID
  linux ($drive1)//kernels/abc-linux-6.6-bzImage init=/nix/store/abc-nixos/init loglevel=4
  initrd ($drive1)//kernels/abc-initrd-linux-6.6-initrd
}
submenu "NixOS - All configurations" --class submenu {
menuentry "NixOS - Configuration 1 (2024-01-01)" --class nixos {
  search --set=drive1 --fs-uuid UUID
  linux ($drive1)//kernels/abc-linux-6.6-bzImage init=/nix/store/def-nixos/init
  initrd ($drive1)//kernels/abc-initrd-linux-6.6-initrd
}
}
"""


def test_nixos() -> None:
    files = {"/grub/grub.cfg": NIXOS.replace("UUID", UUID).encode(), "/kernels/abc-linux-6.6-bzImage": b"k",
             "/kernels/abc-initrd-linux-6.6-initrd": b"i"}
    found = read_all((volume(uuid=UUID), files))
    assert not found.problems
    assert [(str(entry.linux), entry.hidden) for entry in found.entries] == [
        ("vda2:/kernels/abc-linux-6.6-bzImage", None)] * 2
    assert found.entries[0].cmdline == "init=/nix/store/abc-nixos/init loglevel=4"


LIVE = """if loadfont $prefix/unicode.pf2 ; then
  function gfx {
    set gfxmode=auto
    terminal_output gfxterm
  }
  gfx
fi
search --no-floppy --set=root -l 'LIVE-39'
set default="1"
set timeout=60
for image in /boot/x86_64 /images/pxeboot; do
  if [ -d $image ]; then
    for kernel in $image/vmlinuz*; do
      menuentry "Try $kernel" --class live "$kernel" "$image" {
        set gfxpayload=keep
        linux ($root)$2 root=live:CDLABEL=LIVE-39 rd.live.image quiet iso-scan/filename=${iso_path}
        initrd ($root)$3/initrd.img
      }
    done
  fi
done
submenu 'Troubleshooting -->' {
  menuentry 'Test a file' --class=live { linux16 /images/pxeboot/memtest; }
  menuentry 'Boot first drive' { set root=(hd0); chainloader +1; }
}
"""


def test_a_live_image() -> None:
    iso = Volume(name="sr0", fstype="iso9660", label="LIVE-39", uuid="2023-10-01-00-00-00-00")
    found = read_all((iso, {"/boot/grub2/grub.cfg": LIVE.encode(), "/images/pxeboot/vmlinuz": b"k",
                            "/images/pxeboot/vmlinuz-debug": b"k", "/images/pxeboot/initrd.img": b"i",
                            "/images/pxeboot/memtest": b"m"}))
    assert not found.problems
    assert found.timeout == 60.0
    first = found.entries[0]
    assert (first.title, str(first.linux), first.default) == (
        "Try /images/pxeboot/vmlinuz-debug", "sr0:/images/pxeboot/vmlinuz-debug", True)
    assert first.cmdline == "root=live:CDLABEL=LIVE-39 rd.live.image quiet iso-scan/filename="
    assert [entry.title for entry in found.entries] == [
        "Try /images/pxeboot/vmlinuz-debug", "Try /images/pxeboot/vmlinuz", "Test a file", "Boot first drive"]
    assert found.entries[-1].hidden is not None


def test_grub_mkconfig_is_debians_own() -> None:
    assert debian.version("grub-common") == debian.version("grub-emu")
    assert "DO NOT EDIT THIS FILE" in make_grub_cfg(kernels=KERNELS[:1], defaults=grubconfig.DEFAULTS)
