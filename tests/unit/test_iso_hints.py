"""What finds an ISO again: the table, and two initramfs of Debian that say what they take from the command line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shim.entries import read_entries
from shim.entries.iso_hints import HINTS, complete_for_iso, find_hint
from shim.model import Entry, FileRef, Volume
from shim.system.memory_files import MemoryFiles
from tests.builders import debian
from tests.builders.extlinuxconfig import live_tree

DISK = Volume(name="sda2", uuid="5f1a3c70-6d2e-4b8a-9c11-0123456789ab", label="DATA")
ISO = "/boot/iso/x.iso"
DEVICE = f"/dev/disk/by-uuid/{DISK.uuid}"
SCAN = f"iso-scan/filename={ISO}"
ARCH = f"img_dev={DEVICE} img_loop={ISO}"


def entry(cmdline: str | None, kernel: str = "/kernel") -> Entry:
    return Entry(id="a", dialect="syslinux", volume="iso", source="/isolinux.cfg:1", cmdline=cmdline,
                 linux=FileRef(volume="iso", path=kernel), trace=("read",))


@pytest.mark.parametrize(("name", "given", "kernel", "expected"), [
    ("casper", "boot=casper quiet --- ", "/casper/vmlinuz", f"boot=casper quiet {SCAN} ---"),
    ("casper", "quiet splash ---", "/casper/vmlinuz", f"quiet splash {SCAN} ---"),
    ("casper", "boot=casper live-media-path=/casper_pop-os", "/casper_pop-os/vmlinuz",
     f"boot=casper live-media-path=/casper_pop-os {SCAN}"),
    ("live-boot", "boot=live components quiet", "/live/vmlinuz", f"boot=live components quiet findiso={ISO}"),
    ("live-boot", "", "/live/vmlinuz", f"findiso={ISO} boot=live"),
    ("archiso", "archisobasedir=arch archisolabel=ARCH_202405", "/arch/boot/x86_64/vmlinuz-linux",
     f"archisobasedir=arch archisolabel=ARCH_202405 {ARCH}"),
    ("archiso", "archisobasedir=sysresccd", "/sysresccd/boot/x86_64/vmlinuz", f"archisobasedir=sysresccd {ARCH}"),
    ("miso", "misobasedir=manjaro misolabel=M", "/boot/vmlinuz-x86_64", f"misobasedir=manjaro misolabel=M {ARCH}"),
    ("artix", "artixlabel=X", "/boot/vmlinuz-x86_64", f"artixlabel=X {ARCH}"),
    ("nixos", "init=/nix/store/abc-nixos/init root=LABEL=nixos", "/boot/bzImage",
     f"init=/nix/store/abc-nixos/init root=LABEL=nixos findiso={ISO}"),
    ("genkernel", "root=/dev/ram0 cdroot looptype=squashfs", "/boot/gentoo",
     f"root=/dev/ram0 cdroot looptype=squashfs isoboot={ISO}"),
    ("minios", "quiet", "/minios/boot/vmlinuz", f"quiet from={ISO}"),
    ("anaconda", "inst.stage2=hd:LABEL=Fedora quiet", "/images/pxeboot/vmlinuz",
     f"inst.stage2=hd:LABEL=Fedora quiet {SCAN}"),
    ("dracut", "root=live:CDLABEL=Fedora rd.live.image quiet", "/images/pxeboot/vmlinuz",
     f"root=live:CDLABEL=Fedora rd.live.image quiet {SCAN}"),
    ("dracut", "rd.live.image", "/boot/vmlinuz", f"rd.live.image {SCAN} root=live:CDLABEL=THE_ISO"),
])
def test_every_row_of_the_table(name: str, given: str, kernel: str, expected: str) -> None:
    told = entry(given, kernel)
    hint = find_hint(told)
    assert hint is not None
    assert hint.name == name
    made = complete_for_iso(told, DISK, ISO, "THE_ISO")
    assert (made.cmdline, made.hidden) == (expected, None)
    assert made.trace[0] == "read"
    assert made.trace[-1].startswith(f"out of sda2:{ISO}: ")
    assert complete_for_iso(made, DISK, ISO, "THE_ISO").cmdline == expected


def test_each_row_has_a_source_and_is_tried_above() -> None:
    tried = test_every_row_of_the_table.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {hint.name for hint in HINTS} == {row[0] for row in tried}
    assert all(hint.source and hint.adds and (hint.words or hint.directories) for hint in HINTS)


def test_what_a_loopback_cfg_says_already_stays() -> None:
    for cmdline in ("boot=casper iso-scan/filename=/other.iso", "boot=live fromiso=/dev/sda1/x.iso",
                    "archisobasedir=arch img_loop=/x img_dev=/dev/sda1"):
        made = complete_for_iso(entry(cmdline), DISK, ISO)
        assert made.cmdline == cmdline
        assert "says so already" in made.trace[-1]


def test_a_kernel_of_no_known_family_stays_as_it_is() -> None:
    made = complete_for_iso(entry("loglevel=3", "/boot/vmlinuz64"), DISK, ISO)
    assert (made.cmdline, made.hidden) == ("loglevel=3", None)
    assert "nothing is added" in made.trace[-1]


def test_a_command_line_of_a_uki_is_not_touched() -> None:
    made = complete_for_iso(entry(None), DISK, ISO)
    assert (made.cmdline, made.hidden) == (None, None)
    assert "stays as it is" in made.trace[-1]


@pytest.mark.parametrize(("volume", "path", "label", "cmdline", "hidden"), [
    (Volume(name="a"), ISO, None, "archisobasedir=arch", "nothing is known to say in img_dev={device}"),
    (DISK, "/my iso.iso", None, "boot=live", "cannot be said"), (DISK, "x.iso", None, "boot=live", "cannot be said"),
    (DISK, "/x\n.iso", None, "boot=live", "cannot be said"),
    (DISK, "/" + "x" * 2000, None, "boot=live", "cannot be said"),
    (DISK, ISO, None, "rd.live.image", "nothing is known to say in root=live:CDLABEL={label}"),
    (DISK, ISO, "a b", "rd.live.image", "nothing is known to say in root=live"),
    (Volume(name="a", uuid="a b", label="c/d"), ISO, None, "misolabel=x", "nothing is known"),
])
def test_what_cannot_be_said_hides_the_entry(volume: Volume, path: str, label: str | None, cmdline: str, hidden: str
                                             ) -> None:
    made = complete_for_iso(entry(cmdline), volume, path, label)
    assert hidden in (made.hidden or "")
    assert made.cmdline == cmdline


def test_a_volume_without_a_uuid_goes_by_its_label() -> None:
    made = complete_for_iso(entry("archisobasedir=arch"), Volume(name="a", label="STICK"), ISO)
    assert "img_dev=/dev/disk/by-label/STICK" in (made.cmdline or "")


def live_entries(append: str) -> list[str]:
    found = read_entries([(Volume(name="iso", fstype="iso9660"), MemoryFiles(live_tree(append)))])
    made = [complete_for_iso(one, DISK, ISO, "DEBIAN_LIVE") for one in found.entries if one.hidden is None]
    assert len(made) == 2
    return [one.cmdline or "" for one in made]


@pytest.mark.tools
def test_live_boot_takes_the_iso_from_what_is_added() -> None:
    """WITNESS: live-boot's own reader of the command line (Debian 12), on entries of live-build's isolinux tree."""
    reader = debian.package("live-boot") / "lib/live/boot/9990-cmdline-old"
    for cmdline in live_entries("boot=live components quiet splash"):
        done = subprocess.run(["sh", "-c", f'. {reader}; Cmdline_old; echo "$FINDISO"'], capture_output=True, text=True,
                              check=True, env={**os.environ, "LIVE_BOOT_CMDLINE": cmdline})
        assert done.stdout.strip() == ISO


@pytest.mark.tools
def test_dracut_takes_the_iso_and_its_root_from_what_is_added(tmp_path: Path) -> None:
    """WITNESS: dracut's dmsquash-live module (Debian 12), its script that finds the root and its getarg."""
    core, live = debian.package("dracut-core"), debian.package("dracut-live")
    modules = "usr/lib/dracut/modules.d"
    for name in ("dracut-getarg", "dracut-getargs"):
        (tmp_path / name).symlink_to(core / "usr/lib/dracut/dracut-util")
    script = f'''. {core}/{modules}/99base/dracut-lib.sh
getcmdline() {{ printf %s "$WORDS"; }}
modprobe() {{ :; }}; wait_for_dev() {{ :; }}; info() {{ :; }}
export PATH={tmp_path}:$PATH
getarg iso-scan/filename
. {live}/{modules}/90dmsquash-live/parse-dmsquash-live.sh
echo "$root"'''
    cmdline, _ = live_entries("rd.live.image quiet")
    cmdline = cmdline.replace("boot=live ", "")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "WORDS": cmdline})
    assert done.stdout.split() == [ISO, "live:/dev/disk/by-label/DEBIAN_LIVE"]
