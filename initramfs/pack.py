"""Put the initramfs together: the runtime, the configuration, the kernel modules; then compress it.

The same inputs give the same bytes. xz carries a CRC-32 and a dictionary of 1 MiB: the kernel checks no other sum, and
a small machine cannot unpack with a larger one.
"""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from shim.errors import ConfigError, FormatError, ShimError, SystemError_
from shim.formats.cpio import CpioEntry, build_cpio
from shim.formats.kmod import Module, load_order, normalised, parse_module

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIRECTORIES = ("dev", "etc", "etc/bootshim", "lib", "lib/modules", "mnt", "proc", "run", "sys")
DICTIONARY_SIZE = 1 << 20
ZSTD_LEVEL = 19
COMPRESSIONS = ("xz", "zstd", "none")
SUFFIXES = (".ko", ".ko.xz", ".ko.zst")
CONSOLE, NULL = (5, 1), (1, 3)
# What the kernel would ask modprobe or udev for when it is used, so that the module itself does not name it: the
# character sets of Linux's own defaults (fs/fat/Kconfig), and the driver of the disks behind a SCSI host.
COMPANIONS = {
    "vfat": ("nls_cp437", "nls_ascii", "nls_iso8859_1"),
    **dict.fromkeys(("ahci", "usb_storage", "uas", "virtio_scsi", "megaraid_sas", "mpt3sas"), ("sd_mod",)),
}


def pack(
    runtime: bytes, config: bytes, files: Mapping[str, bytes], modules: Sequence[tuple[str, bytes]]
) -> bytes:
    """Return the archive. `files` lie beside the configuration; `modules` are (name, bytes) in load order."""
    entries = [CpioEntry.directory(path) for path in DIRECTORIES]
    entries += [
        CpioEntry.node("dev/console", *CONSOLE), CpioEntry.node("dev/null", *NULL, mode=0o666),
        CpioEntry.file("init", runtime, 0o755), CpioEntry.file("etc/bootshim/config.toml", config),
    ]
    for name, data in sorted(files.items()):
        if "/" in name or name in (".", "..", "config.toml"):
            raise ConfigError("a file that the configuration names must lie beside it", name=name)
        entries.append(CpioEntry.file(f"etc/bootshim/{name}", data))
    entries += [
        CpioEntry.file(f"lib/modules/{number:02}-{name}.ko", data) for number, (name, data) in enumerate(modules)]
    return build_cpio(entries)


def compress(data: bytes, how: str) -> bytes:
    """Return the archive compressed: xz, zstd or none. Raises SystemError_ where zstd(1) is missing."""
    if how == "none":
        return data
    if how == "xz":
        filters = [{"id": lzma.FILTER_X86}, {
            "id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": DICTIONARY_SIZE}]
        return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)
    return _zstd(["--quiet", f"-{ZSTD_LEVEL}", "--stdout"], data)


def find_modules(directory: Path, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return the wanted modules of a kernel, with what they depend on, in load order, uncompressed.

    `directory` is the kernel's /lib/modules/VERSION. Raises ShimError for one that is not there.
    """
    tree = ModuleTree(directory)
    built_in = _built_in(directory)
    names: dict[str, None] = {}
    for name in map(normalised, wanted):
        here = [companion for companion in COMPANIONS.get(name, ()) if companion in tree.paths]
        names.update(dict.fromkeys((*here, name)))
    order = load_order([name for name in names if name not in built_in], tree.find)
    return [(module.name, tree.read(module.name)[1]) for module in order]


class ModuleTree:
    """The modules of one kernel, each read when it is asked for; `paths` by name."""

    def __init__(self, directory: Path) -> None:
        files = [path for path in sorted(directory.rglob("*.ko*")) if path.name.endswith(SUFFIXES)]
        self.paths = {normalised(path.name.partition(".")[0]): path for path in files}
        if not self.paths:
            raise ShimError("no kernel modules in the directory", path=directory)
        self._read: dict[str, tuple[Module, bytes]] = {}
        self._aliases: dict[str, str] | None = None

    def find(self, name: str) -> Module | None:
        """Return a module by its name or, for what the kernel's crypto layer is asked for, by an alias."""
        if name not in self.paths:
            name = self.aliases().get(name, "")
        return self.read(name)[0] if name else None

    def read(self, name: str) -> tuple[Module, bytes]:
        """Return what a module says of itself, and its bytes."""
        if name not in self._read:
            data = _read_module(self.paths[name])
            try:
                self._read[name] = parse_module(data), data
            except FormatError as problem:
                raise problem.about(file=self.paths[name].name) from None
        return self._read[name]

    def aliases(self) -> dict[str, str]:
        """Return the names of algorithms and who has them, the one that runs on every CPU before all others."""
        if self._aliases is None:
            crypto = [name for name, path in self.paths.items() if "crypto" in path.parts]
            crypto.sort(key=lambda name: name.endswith("_generic"))
            self._aliases = {alias: name for name in crypto for alias in self.read(name)[0].aliases}
        return self._aliases


def _built_in(directory: Path) -> set[str]:
    listed = directory / "modules.builtin"
    if not listed.exists():
        return set()
    return {normalised(Path(line).name.removesuffix(".ko")) for line in listed.read_text().splitlines()}


def _read_module(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        return _zstd(["--quiet", "--decompress", "--stdout"], data)
    return data


def _zstd(arguments: list[str], data: bytes) -> bytes:
    try:
        return subprocess.run(["zstd", *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout
    except OSError as problem:
        raise SystemError_("cannot run zstd", problem.errno or 0) from problem
    except subprocess.CalledProcessError as problem:
        raise ShimError("zstd failed", status=problem.returncode) from problem
