"""A target that opens a sealed volume: trixie's systemd-cryptenroll, systemd-cryptsetup and cryptsetup in its initrd,
with their libraries and the kernel's modules. The target's /init runs `/hook`, which is the script here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile

from initramfs.pack import find_modules
from shim.formats.cpio import CpioEntry, build_cpio
from tests.builders.debian import kernel, package
from tests.builders.target import target_initrd

SUITE = "trixie"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
MODULES = ("virtio_pci", "virtio_blk", "dm_mod", "dm_crypt", "xts", "algif_skcipher")
TOKENS = f"{LIBRARIES}/cryptsetup/libcryptsetup-token-systemd-tpm2.so"
PROGRAMS = ("usr/bin/systemd-cryptenroll", "usr/bin/systemd-cryptsetup", "usr/lib/systemd/systemd-pcrextend",
            "usr/sbin/cryptsetup", TOKENS)  # fmt: skip
# What systemd opens when it is needed (dlopen): no program names it.
OPENED = ("libtss2-esys.so.0", "libtss2-mu.so.0", "libtss2-rc.so.0", "libtss2-tcti-device.so.0")
PACKAGES = (
    "systemd", "systemd-cryptsetup", "cryptsetup-bin", "libsystemd-shared", "libcryptsetup12", "libc6", "libssl3t64",
    "libtss2-esys-3.0.2-0t64", "libtss2-mu-4.0.1-0t64", "libtss2-rc0t64", "libtss2-sys1t64", "libtss2-tcti-device0t64",
    "libtss2-tctildr0t64", "libacl1", "libaudit1", "libblkid1", "libcap2", "libcap-ng0", "libcrypt1",
    "libdevmapper1.02.1", "libjson-c5", "libmount1", "libpam0g", "libpcre2-8-0", "libpopt0", "libseccomp2",
    "libselinux1", "libudev1", "libuuid1", "libzstd1", "zlib1g",
)  # fmt: skip
SERIAL = "vault"  # by which the guest knows the disk
TOKEN_SIZE = 32

PAGE = Path(__file__).parents[2] / "docs/measuring.md"


def recipe() -> list[str]:
    """Return the commands of docs/measuring.md that seal a volume, as they stand there, continued lines joined."""
    part = PAGE.read_text().partition("\n## Seal a volume\n")[2].partition("\n## ")[0].replace("\\\n", " ")
    return [line.strip() for line in part.splitlines() if line.startswith("    ")]


def command(beginning: str) -> str:
    """Return the one command of the recipe that begins so."""
    found, = (line for line in recipe() if line.startswith(beginning))
    return found


def script() -> str:
    """Return what the target does, by the commands of the recipe.

    The first boot finds a disk that is no LUKS volume but holds a token: it makes the volume, seals it, puts the token
    inside. From then on only the TPM opens it.
    """
    return f"""#!/bin/busybox sh
export PATH=/usr/bin:/usr/sbin:/usr/lib/systemd:/bin
/bin/busybox --install -s /bin
mkdir -p /run /tmp /var/tmp
mount -t devtmpfs dev /dev
disk=/dev/$(grep -lx {SERIAL} /sys/block/*/serial | cut -d / -f 4)
attach() {{
  {command("systemd-cryptsetup attach")} > /run/said 2>&1
  cat /run/said
  test -e /dev/mapper/vault
}}
try() {{
  if attach; then
    echo "target $1=$(head -c {TOKEN_SIZE} /dev/mapper/vault)"
    systemd-cryptsetup detach vault
  else
    echo "target $1=closed: $(grep -o 'No TPM2 metadata matching the current system state' /run/said)"
  fi
}}
if ! cryptsetup isLuks $disk; then
  head -c {TOKEN_SIZE} $disk > /run/token
  head -c 32 /dev/urandom > /run/key
  cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $disk /run/key
  {command("systemd-cryptenroll")} && echo target sealed=yes
  attach && cat /run/token > /dev/mapper/vault && sync && systemd-cryptsetup detach vault
fi
try before
systemd-pcrextend enter-initrd
try unforced
export SYSTEMD_FORCE_MEASURE=1
systemd-pcrextend enter-initrd
try inside
systemd-pcrextend leave-initrd
try later
"""


def sealed_target(token: str) -> bytes:
    """Return the initrd, compressed by zstd."""
    found = dict(_with_libraries([*PROGRAMS, *(f"{LIBRARIES}/{name}" for name in OPENED)]))
    found["lib64/ld-linux-x86-64.so.2"] = _file(f"{LIBRARIES}/ld-linux-x86-64.so.2")
    busybox = package("busybox-static") / "bin/busybox"
    files = {"bin/busybox": busybox.read_bytes(), "hook": script().encode(), "etc/initrd-release": b"ID=target\n",
             **{name: path.read_bytes() for name, path in found.items()}}  # fmt: skip
    above = {str(parent) for name in files for parent in Path(name).parents if parent.name}
    entries = [*(CpioEntry.directory(name) for name in sorted(above)),
               *(CpioEntry.file(name, data, 0o755) for name, data in files.items())]  # fmt: skip
    whole = target_initrd(token, modules=find_modules(kernel().modules, MODULES)) + build_cpio(entries)
    return subprocess.run(["zstd", "-q", "-9"], input=whole, capture_output=True, check=True).stdout


def _with_libraries(names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Return the files with all libraries that they are linked with, by where they go."""
    waiting, seen = list(names), set(names)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        yield name, path
        for library in _needed(path):
            place = f"{LIBRARIES}/{library}"
            if place not in seen:
                seen.add(place)
                waiting.append(place)


def _needed(path: Path) -> list[str]:
    with path.open("rb") as stream:
        dynamic = ELFFile(stream).get_section_by_name(".dynamic")
        return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] if dynamic is not None else []


def _file(name: str) -> Path:
    """Return a file of one of the packages: a program by its path, a library by its name."""
    for folder in (package(package_name, suite=SUITE) for package_name in PACKAGES):
        for path in (folder / name, folder / LIBRARIES / "systemd" / Path(name).name):
            if path.exists():
                return path
    raise LookupError(f"none of the packages has {name}")
