"""An extlinux.conf as Debian's own u-boot-update makes it, and a live image's isolinux tree out of live-build.

u-boot-update runs unchanged in a root of its own, with linux-version of linux-base. No root, no disk.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.builders import debian

UUID = "5f1a3c70-6d2e-4b8a-9c11-0123456789ab"
KERNELS = ("6.1.0-9-amd64", "6.1.0-27-amd64", "5.10.0-30-amd64")
SCRIPT = """
set -eu
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir -p host usr/bin usr/sbin usr/share boot etc/default dev proc tmp var
mount --rbind / host
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s host/usr/lib64 lib64
mkdir usr/lib; ln -s ../host/usr/lib64 usr/lib64; ln -s ../host/usr/share/perl usr/share/perl
(cd host/usr/bin; printf '/host/usr/bin/%s\\0' *) | xargs -0 ln -st usr/bin/
(cd host/usr/lib; printf '/host/usr/lib/%s\\0' *) | xargs -0 ln -st usr/lib/
ln -s /host/dev/null dev/null
cp --remove-destination "host$2/usr/sbin/u-boot-update" usr/sbin/
rm -f usr/bin/linux-version
cp --remove-destination "host$3/usr/bin/linux-version" usr/bin/
cp -r "host$3/usr/share/perl5" usr/share/perl5
cp -r --remove-destination "host$4/." .
chroot . /usr/sbin/u-boot-update >&2
cat boot/extlinux/extlinux.conf
"""


def make_extlinux_conf(
    kernels: Sequence[str] = KERNELS, settings: Mapping[str, str] = {}, more: Mapping[str, str] = {}
) -> str:
    """Return the extlinux.conf of a system with these kernels in /boot, and `more` files."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        for version in kernels:
            for name in ("vmlinuz", "initrd.img"):
                _put(tree / f"boot/{name}-{version}", "x\n")
        _put(tree / "etc/fstab", f"UUID={UUID} / ext4 defaults 0 1\n")
        _put(tree / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
        _put(tree / "etc/default/u-boot", "".join(f'{name}="{value}"\n' for name, value in settings.items()))
        for path, text in more.items():
            _put(tree / path.lstrip("/"), text)
        root = Path(folder, "root")
        root.mkdir()
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "bash", "-c", SCRIPT, "-", str(root),
             str(debian.package("u-boot-menu")), str(debian.package("linux-base")), str(tree)],
            capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"u-boot-update: {done.stderr}")
    return done.stdout


def live_tree(append: str, flavours: Sequence[str] = ("amd64",)) -> dict[str, bytes]:
    """Return the isolinux directory of a live image, live-build's templates filled in as lb binary_syslinux does."""
    loaders = debian.package("live-build") / "usr/share/live/build/bootloaders"
    texts = {path.name: path.read_text() for folder in ("isolinux", "syslinux_common")
             for path in sorted((loaders / folder).glob("*.cfg*"))}
    template = texts.pop("live.cfg.in")
    texts["live.cfg"] = "\n".join(
        _filled(template if flavour == flavours[0] else template.replace("\tmenu default\n", ""), {
            "FLAVOUR": flavour, "LINUX": f"/live/vmlinuz-{flavour}", "INITRD": f"/live/initrd.img-{flavour}",
            "APPEND_LIVE": append, "APPEND_LIVE_FAILSAFE": f"{append} nomodeset"}) for flavour in flavours)
    texts["menu.cfg"] = texts["menu.cfg"].replace("@OPTIONAL_INSTALLER_INCLUDE@\n", "")
    texts["utilities.cfg"] = texts["utilities.cfg"].replace("@OPTIONAL_MEMTEST_INCLUDE@\n", "")
    files = {f"/isolinux/{name}": text.encode() for name, text in texts.items()}
    for flavour in flavours:
        files |= {f"/live/{name}-{flavour}": b"x" for name in ("vmlinuz", "initrd.img")}
    return files


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
