"""An initramfs that is a shell script: Debian's static busybox, kernel modules in load order, and more programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from initramfs.pack import find_modules
from shim.formats.cpio import CpioEntry, build_cpio
from tests.builders import debian

DIRECTORIES = ("bin", "dev", "lib", "lib/modules", "mnt", "proc", "sys")
# What every such script begins with: the programs, the kernel's own file systems, the modules.
PRELUDE = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /lib/modules/*.ko; do insmod "$module"; done
"""


def busybox_initramfs(
    script: str, kernel: debian.Kernel, modules: Sequence[str] = (), programs: Mapping[str, bytes] | None = None
) -> bytes:
    """Return the archive, not compressed. `script` goes on behind PRELUDE; `programs` lie in /bin."""
    files = {"init": (PRELUDE + script).encode(),
             "bin/busybox": (debian.package("busybox-static") / "bin/busybox").read_bytes(),
             **{f"bin/{name}": data for name, data in (programs or {}).items()}}
    baked = find_modules(kernel.modules, modules) if modules else []
    return build_cpio([
        *(CpioEntry.directory(path) for path in DIRECTORIES), CpioEntry.node("dev/console", 5, 1),
        *(CpioEntry.file(path, data, 0o755) for path, data in files.items()),
        *(CpioEntry.file(f"lib/modules/{number:02}-{name}.ko", data) for number, (name, data) in enumerate(baked)),
    ])  # fmt: skip
