"""Build the flash kernel: `python -m initramfs.kernel` writes build/bzImage, from Debian's source package.

Everything that is not in the fragment is off (allnoconfig). The build is kept by what goes into it; the same inputs
give the same bytes: no date, path, user or host gets in. A symbol that Kconfig dropped ends the build before it begins.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from initramfs.kconfig import FRAGMENT, as_allconfig, find_faults, read_fragments
from initramfs.sources import HERE, cached, digest_of, fetch_source, read_lock
from initramfs.steps import EPOCH, compiler_version, put, run
from shim.errors import ConfigError, ShimError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from initramfs.kconfig import Setting

ROOT = HERE.parent
LOCK = HERE / "kernel.lock"
SOURCE = "linux-source"
DAY = time.strftime("%Y-%m-%d", time.gmtime(int(EPOCH)))
ENVIRONMENT = {
    "KBUILD_BUILD_TIMESTAMP": DAY, "KBUILD_BUILD_USER": "bootshim", "KBUILD_BUILD_HOST": "bootshim",
    "KBUILD_BUILD_VERSION": "1",
}  # fmt: skip
# What is kept: the image, the configuration as Kconfig completed it, and the names of addresses for who reads a trace.
IMAGE, CONFIG, SYMBOLS = "bzImage", "bzImage.config", "bzImage.map"
MADE = {"arch/x86/boot/bzImage": IMAGE, ".config": CONFIG, "System.map": SYMBOLS}


def build_kernel(more: Sequence[Path] = ()) -> Path:
    """Return the directory with the kernel, its configuration and its symbols; `more` are fragments over our own.

    Raises ConfigError for a symbol that does not come out as it should, ShimError where the build fails.
    """
    settings = read_fragments([FRAGMENT, *more])
    return cached("kernel", inputs_of(settings), lambda work: _build(work, settings))


def _build(work: Path, settings: Sequence[Setting]) -> None:
    pinned = read_lock(LOCK)[SOURCE]
    started = time.monotonic()
    print(f"building the flash kernel from {pinned.name} {pinned.version}: many minutes, once", file=sys.stderr)
    source = _unpack(fetch_source(pinned), work)
    wanted = work / "wanted.config"
    wanted.write_text(as_allconfig(settings))
    run(["make", "allnoconfig"], source, {**ENVIRONMENT, "KCONFIG_ALLCONFIG": str(wanted)})
    faults = find_faults(settings, (source / ".config").read_text())
    if faults:
        raise ConfigError("\n".join(map(str, faults)))
    run(["make", f"-j{os.cpu_count() or 1}", "bzImage"], source, ENVIRONMENT)
    for name, kept in MADE.items():
        (source / name).rename(work / kept)
    shutil.rmtree(source.parent)
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr)


def _unpack(package: Path, work: Path) -> Path:
    """Unpack the source in Debian's package; return its folder."""
    folder = work / "source"
    folder.mkdir()
    run(["dpkg-deb", "--extract", str(package), str(folder / "package")], work)
    archive, = (folder / "package").glob("usr/src/linux-source-*.tar.xz")
    run(["tar", "--extract", "--file", str(archive)], folder)
    return folder / archive.name.removesuffix(".tar.xz")


def inputs_of(settings: Sequence[Setting]) -> bytes:
    """Return what a build is kept by."""
    linker = run(["ld", "--version"], HERE).splitlines()[0]
    # What a value names by its whole path (keys, firmware, an initramfs) goes into the kernel, too.
    named = [digest_of(Path(one.value.strip('"'))) for one in settings if one.value.startswith('"/')]
    pieces = (as_allconfig(settings), read_lock(LOCK)[SOURCE].sha256, compiler_version(), linker, *named,
              *(f"{name}={value}" for name, value in ENVIRONMENT.items()), *MADE.values())
    return "\n".join(pieces).encode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m initramfs.kernel", description="Build the flash kernel.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / IMAGE,
                        help=f"default: build/{IMAGE}; the configuration and the symbols come beside it")
    parser.add_argument("--more", type=Path, action="append", default=[], metavar="FILE",
                        help="a fragment over initramfs/kernel.config; may be given again")
    args = parser.parse_args()
    try:
        made = build_kernel(args.more)
    except (ShimError, OSError) as problem:
        print(f"kernel: {problem}", file=sys.stderr)
        return 1
    for name in MADE.values():
        put((made / name).read_bytes(), args.output.with_name(args.output.name + name.removeprefix(IMAGE)))
    print(f"{args.output}: {args.output.stat().st_size} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
