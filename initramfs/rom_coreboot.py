"""A ROM for QEMU's q35 machine: coreboot from Debian's source package, and two slots with the boot shim as payload.

coreboot is built once and kept by what goes into it; the payload is put in by the same build's cbfstool, in no time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from initramfs.sources import HERE, cached, fetch_source, read_lock, unpack
from initramfs.steps import run
from shim.errors import FormatError, ShimError
from shim.formats.bzimage import parse_bzimage
from shim.formats.cbfs import find_file
from shim.formats.fmap import find_map, write_region
from shim.formats.slot import SLOTS, build_slot

SOURCE = HERE / "coreboot"
NAMES = ("q35.config", "bootshim-16M.fmd", "slots.patch")
BOARD = "coreboot-q35"
SLOT = SLOTS[0]
FIRST_VERSION = 1
# cbfstool 4.15, util/cbfstool/linux_trampoline and cbfs-payload-linux.c: the kernel at 16 MiB, the initrd at 64 MiB.
KERNEL_START, INITRD_START = 16 << 20, 64 << 20
SCRATCH_SIZE = "0xf00000"
PAYLOAD = "fallback/payload"
MAKE = ("make", "UPDATED_SUBMODULES=1", "BUILD_TIMELESS=1")


def build_coreboot(kernel: bytes, initramfs: bytes, cmdline: str) -> bytes:
    """Return the ROM, with the payload in the first slot as version 1."""
    rom = (build_firmware() / "coreboot.rom").read_bytes()
    payload = linux_payload(kernel, initramfs, cmdline)
    region = find_map(rom).region(SLOT)
    return write_region(rom, region, build_slot(payload, FIRST_VERSION, BOARD, region.size))


def linux_payload(kernel: bytes, initramfs: bytes, cmdline: str) -> bytes:
    """Return kernel, initramfs and command line as a payload of coreboot. Raises FormatError for a kernel too large."""
    needed, room = parse_bzimage(kernel).init_size, INITRD_START - KERNEL_START
    if needed > room:
        raise FormatError("the kernel needs the memory where cbfstool puts the initramfs", limit=room, init_size=needed)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("kernel", kernel), ("initramfs", initramfs)):
            Path(folder, name).write_bytes(data)
        tool, scratch = str(build_firmware() / "cbfstool"), "scratch.cbfs"
        run([tool, scratch, "create", "-m", "x86", "-s", SCRATCH_SIZE], Path(folder))
        run([tool, scratch, "add-payload", "-f", "kernel", "-n", PAYLOAD, "-I", "initramfs", "-C", cmdline],
            Path(folder))
        return find_file(Path(folder, scratch).read_bytes(), PAYLOAD)


def build_firmware() -> Path:
    """Return the directory with coreboot.rom, without a payload, and cbfstool."""
    pinned = read_lock(HERE / "rom.lock")["coreboot"]
    compiler = run(["gcc", "--version"], HERE)
    texts = (" ".join((pinned.sha256, compiler, *MAKE)).encode(), *((SOURCE / name).read_bytes() for name in NAMES))
    return cached("coreboot", b"\0".join(texts), _build)


def _build(work: Path) -> None:
    source = unpack(fetch_source(read_lock(HERE / "rom.lock")["coreboot"]), work / "source")
    for name in NAMES:
        (source / name).write_bytes((SOURCE / name).read_bytes())
    run(["patch", "-p1", "--input", NAMES[2]], source)
    makefile = source / "Makefile.inc"
    text = makefile.read_text()
    # gcc 12 warns where coreboot 4.15 did not know that it would.
    if text.count("CFLAGS_common += -Werror\n") != 1:
        raise ShimError("coreboot's Makefile.inc is not the one that was known")
    makefile.write_text(text.replace("CFLAGS_common += -Werror\n", "\n"))
    programs = source / "programs"
    programs.mkdir()
    (programs / "python").symlink_to("/usr/bin/python3")
    environment = {"PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}
    runtime = run(["gcc", "-m32", "-print-libgcc-file-name"], source).strip()
    run([*MAKE, f"KBUILD_DEFCONFIG={source / NAMES[0]}", "defconfig"], source, environment)
    run([*MAKE, f"-j{os.cpu_count() or 1}", f"COMPILER_RT_x86_32={runtime}"], source, environment)
    for name in ("coreboot.rom", "cbfstool"):
        (source / "build" / name).rename(work / name)
    run(["rm", "-rf", str(work / "source")], work)
