"""How large each initramfs is, packed as it would lie in flash: xz -9e and zstd -19; and the flash kernel with it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from initramfs.kernel import IMAGE, build_kernel
from initramfs.pack import compress, find_modules, pack
from initramfs.runtime import build_runtime
from tests.bench.peers import peer_initramfs
from tests.builders import debian

CONFIG = b'[policy]\nanchors = ["ca.der"]\n[policy.uki]\nrequire = ["authenticode"]\n'
MODULES = ("virtio_pci", "virtio_blk")
FLASH_LIMIT = 8 << 20


class Sizes(NamedTuple):
    """Bytes of one initramfs, with or without kernel modules."""

    loader: str
    modules: bool
    unpacked: int
    xz: int
    zstd: int


class Flash(NamedTuple):
    """Bytes of what a board carries: the flash kernel, and the initramfs without modules as xz."""

    kernel: int
    initramfs: int

    @property
    def total(self) -> int:
        return self.kernel + self.initramfs


def measure_flash(sizes: list[Sizes]) -> Flash:
    """Return the size of the flash kernel, beside that of our initramfs; it is built when it is not in the cache."""
    initramfs, = (row.xz for row in sizes if row.loader == "bootshim" and not row.modules)
    return Flash((build_kernel() / IMAGE).stat().st_size, initramfs)


def measure_sizes(directory: Path) -> list[Sizes]:
    """Return the sizes of both loaders, each without and with the modules of a virtio disk."""
    runtime = build_runtime(directory / "init").read_bytes()
    rows = []
    for names in ((), MODULES):
        modules = find_modules(debian.kernel().modules, names) if names else []
        made = {"bootshim": pack(runtime, CONFIG, {"ca.der": bytes(1024)}, modules),
                "kexec-tools": peer_initramfs("load", names)}
        rows += [Sizes(loader, bool(names), len(data), len(compress(data, "xz")), len(compress(data, "zstd")))
                 for loader, data in made.items()]
    return rows
