"""A grub.cfg as Debian's own grub-mkconfig makes it, for a system that is laid down in a folder. No root, no disk.

The scripts of grub-common run unchanged in a root of their own. What they ask about disks (grub-probe, grub-mkrelpath,
os-prober) is answered by stand-ins, for there are none: they say what the caller gives.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.builders import debian

UUID = "5f1a3c70-6d2e-4b8a-9c11-0123456789ab"
PARTUUID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
HINTS = "--hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint-baremetal=ahci0,gpt2"
# What grub-probe says of the root file system: a partition; a logical volume; btrfs.
PARTITION = {"device": "/dev/vda2", "fs_uuid": UUID, "fs": "ext2", "partuuid": PARTUUID, "partmap": "gpt",
             "abstraction": "", "drive": "(hd0,gpt2)", "hints_string": HINTS, "compatibility_hint": "hd0,gpt2"}
LVM = {**PARTITION, "device": "/dev/mapper/vg-root", "partuuid": "", "abstraction": "lvm", "drive": "(lvm/vg-root)",
       "hints_string": "--hint='lvmid/aaaaaa/bbbbbb'", "compatibility_hint": "lvmid/aaaaaa/bbbbbb"}
BTRFS = {**PARTITION, "fs": "btrfs"}
KERNELS = ("6.1.0-9-amd64", "6.1.0-27-amd64", "5.10.0-30-amd64")
DEFAULTS = {"GRUB_DEFAULT": "0", "GRUB_TIMEOUT": "5", "GRUB_DISTRIBUTOR": "Debian",
            "GRUB_CMDLINE_LINUX_DEFAULT": "quiet", "GRUB_CMDLINE_LINUX": ""}
OTHERS = ("/dev/vda1@/EFI/Microsoft/Boot/bootmgfw.efi:Windows Boot Manager:Windows:efi",
          "/dev/vda3:Fedora Linux 39:Fedora:linux")
OTHER_DEVICES = {
    "/dev/vda1": {"device": "/dev/vda1", "fs_uuid": "1234-ABCD", "fs": "fat", "drive": "(hd0,gpt1)",
                  "hints_string": HINTS.replace("gpt2", "gpt1"), "compatibility_hint": "hd0,gpt1"},
    "/dev/vda3": {"device": "/dev/vda3", "fs_uuid": "99999999-0000-4000-8000-000000000003", "drive": "(hd0,gpt3)",
                  "hints_string": HINTS.replace("gpt2", "gpt3"), "compatibility_hint": "hd0,gpt3"},
}
OTHER_LINUX = "/dev/vda3:/dev/vda3:Fedora Linux:/boot/vmlinuz-6.5:/boot/initramfs-6.5.img:root=/dev/vda3 ro rhgb"

SCRIPT = """
set -eu
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir -p host usr/bin usr/sbin usr/share boot/grub etc/default dev/disk/by-uuid proc tmp var
mount --rbind / host
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s host/usr/lib64 lib64
ln -s ../host/usr/lib usr/lib; ln -s ../host/usr/lib64 usr/lib64
(cd host/usr/bin; printf '/host/usr/bin/%s\\0' *) | xargs -0 ln -st usr/bin/
ln -s /host/dev/null dev/null
cp -r "host$2/usr/share/grub" usr/share/grub
cp "host$2/usr/sbin/grub-mkconfig" usr/sbin/
cp -r "host$2/etc/grub.d" etc/grub.d
cp -r --remove-destination "host$3/." .
mkdir -p dev/mapper
touch "dev/disk/by-uuid/$4" "./$5"
exec chroot . /usr/sbin/grub-mkconfig
"""


def make_grub_cfg(
    probe: Mapping[str, str] = PARTITION, *, kernels: Sequence[str] = KERNELS, defaults: Mapping[str, str] = {},
    others: bool = False, subvolume: str = "", uuid: str | None = None,
) -> str:  # fmt: skip
    """Return the grub.cfg of a system with these kernels in /boot."""
    answers = {**probe, **({"fs_uuid": uuid} if uuid else {})}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        for version in kernels:
            for name in ("vmlinuz", "initrd.img", "config"):
                _put(tree / f"boot/{name}-{version}", "x\n")
        settings = {**DEFAULTS, "GRUB_DISABLE_OS_PROBER": str(not others).lower(), **defaults}
        _put(tree / "etc/default/grub", "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items()))
        _put(tree / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
        _put(tree / "usr/sbin/grub-probe", _probe(answers), program=True)
        _put(tree / "usr/bin/grub-mkrelpath", f'#!/bin/sh\necho "{subvolume}$1"\n', program=True)
        if others:
            lines = "".join(f"echo '{line}'\n" for line in OTHERS)
            _put(tree / "usr/bin/os-prober", f"#!/bin/sh\n{lines}", program=True)
            _put(tree / "usr/bin/linux-boot-prober", f"#!/bin/sh\necho '{OTHER_LINUX}'\n", program=True)
        root = Path(folder, "root")
        root.mkdir()
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "bash", "-c", SCRIPT, "-", str(root),
             str(debian.package("grub-common")), str(tree), answers["fs_uuid"], answers["device"]],
            capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"grub-mkconfig: {done.stderr}")
    return done.stdout


def _probe(answers: Mapping[str, str]) -> str:
    """Return a program that answers as grub-probe does: of the other systems' devices, and of the root's."""
    devices = {**{device: {**PARTITION, **more} for device, more in OTHER_DEVICES.items()}, "": answers}
    rows = "".join(f'  "{device} {name}") echo {shlex.quote(value)};;\n'
                   for device, known in devices.items() for name, value in known.items())
    others = "|".join(OTHER_DEVICES)
    return ('#!/bin/sh\nfor arg; do case "$before" in -t) t="$arg";; esac; before="$arg"\n'
            f'case "$arg" in --target=*) t="${{arg#*=}}";; {others}) d="$arg";; esac; done\n'
            f'case "$d $t" in\n{rows}esac\n')


def _put(path: Path, text: str, *, program: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if program:
        path.chmod(0o755)
