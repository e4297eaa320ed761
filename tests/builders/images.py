"""The images of mkosi.images: what they are made of, and one call of mkosi that makes them.

Targets do not hold the boot shim. They are built once for the same configuration and the same mkosi, and kept in the
cache; images of the boot shim are made anew each time. `python -m tests.builders.images [NAME...]` builds into
build/mkosi, and with --inputs only makes what mkosi reads.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from initramfs.pack import compress, find_modules, pack
from initramfs.runtime import build_runtime
from initramfs.sources import cached
from shim.cli.build import read_config
from shim.formats.cpio import S_IFDIR, S_IFMT, S_IFREG, parse_cpio
from tests.builders import debian
from tests.builders.mkosi import mkosi_tool, version_text

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build/mkosi"
INPUTS = ROOT / "build/mkosi-inputs"
SHIM_IMAGES = {"bootshim": "bootshim.cpio", "bootshim-uki": "bootshim-uki.efi", "bootshim-esp": "bootshim-esp.raw"}
TARGETS = ("bls", "fedora", "grub", "luks", "uki", "verity")
CONFIGURATION = ("mkosi.conf", "mkosi.target.conf", "mkosi.pkgmngr", "mkosi.images")
CONFIG = ROOT / "mkosi.images/bootshim/config.toml"
MODULES = ("virtio_pci", "virtio_blk", "vfat")  # of the boot shim's kernel, which has ext4 built in
STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
OS_RELEASE = 'ID=bootshim\nNAME=bootshim\nPRETTY_NAME="The boot shim"\n'
PASSPHRASE = "bootshim"  # of the target whose root is encrypted; the machine is given it, the image does not hold it
# What depmod would make, which mkosi calls where one is missing: the boot shim's own modules are indexed by nobody.
INDEXES = ("modules.dep", "modules.dep.bin", "modules.symbols", "modules.symbols.bin")


@cache
def target_image(name: str) -> Path:
    """Return a target's disk image, from the cache or built together with all others."""
    return cached("targets", _inputs_of_targets(), _build_targets) / f"{name}.raw"


def shim_images(output: Path = OUTPUT, config: Path = CONFIG) -> dict[str, Path]:
    """Build the images of the boot shim into a directory; return them by name."""
    output.mkdir(parents=True, exist_ok=True)
    with _inputs_locked():
        make_inputs(config)
        run_mkosi(SHIM_IMAGES, output, "--cache-only=always")
    return {name: output / file for name, file in SHIM_IMAGES.items()}


def run_mkosi(names: Iterable[str], output: Path, *more: str) -> None:
    """Build images, and what they depend on, into a directory. Raises RuntimeError with the end of what mkosi said."""
    command = [str(mkosi_tool() / "mkosi"), f"--output-dir={output}", f"--dependency={','.join(names)}", *more,
               "--force", "build"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-4000:]}")


def make_inputs(config: Path = CONFIG) -> None:
    """Make what mkosi reads besides its configuration: the initramfs as a tree, a kernel, a passphrase."""
    INPUTS.mkdir(parents=True, exist_ok=True)
    unpack(initramfs(config), INPUTS / "initramfs")
    release = INPUTS / "initramfs/usr/lib/os-release"
    release.parent.mkdir(parents=True)
    release.write_text(OS_RELEASE)
    kernel = debian.kernel()
    tree = INPUTS / "kernel"
    shutil.rmtree(tree, ignore_errors=True)
    for path, source in {f"usr/lib/modules/{kernel.release}/vmlinuz": kernel.image,
                         STUB: debian.package("systemd-boot-efi") / STUB}.items():
        (tree / path).parent.mkdir(parents=True)
        shutil.copyfile(source, tree / path)
    for name in INDEXES:
        (tree / "usr/lib/modules" / kernel.release / name).touch()
    _make_passphrase()


def initramfs(config: Path = CONFIG) -> bytes:
    """Return the initramfs as `bootshim build` makes it of this configuration, not compressed."""
    text, files = read_config(config)
    runtime = build_runtime(ROOT / "build/init").read_bytes()
    return compress(pack(runtime, text, files, find_modules(debian.kernel().modules, MODULES)), "none")


def unpack(archive: bytes, tree: Path) -> None:
    """Unpack an archive into a directory, as far as one who is not root can: without its device nodes."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for entry in parse_cpio(archive):
        path, kind = tree / entry.path, entry.mode & S_IFMT
        if kind == S_IFDIR:
            path.mkdir()
        elif kind == S_IFREG:
            path.write_bytes(entry.data)
        else:
            continue
        path.chmod(stat.S_IMODE(entry.mode))


def _make_passphrase() -> None:
    """mkosi takes no passphrase that others can read."""
    path = INPUTS / "passphrase"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(PASSPHRASE)


@contextmanager
def _inputs_locked() -> Iterator[None]:
    """Let nobody else make inputs while mkosi reads them: tests run side by side."""
    INPUTS.parent.mkdir(exist_ok=True)
    with INPUTS.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _build_targets(work: Path) -> None:
    print("building the mkosi targets: some minutes, once", file=sys.stderr)
    with _inputs_locked():
        make_inputs()
        run_mkosi(TARGETS, work)
    for path in work.iterdir():
        if path.is_symlink() or path.suffix not in (".raw", ".efi"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _inputs_of_targets() -> bytes:
    """Return the bytes that decide what the targets are; which packages the mirror has is left out."""
    found = [path for name in CONFIGURATION for path in [ROOT / name, *sorted((ROOT / name).rglob("*"))]]
    files = [path for path in found
             if path.is_file() and not str(path.relative_to(ROOT)).startswith("mkosi.images/bootshim")]  # fmt: skip
    pieces = [f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111:o}\n".encode() + path.read_bytes()
              for path in files]  # fmt: skip
    return b"\0".join([version_text().encode(), PASSPHRASE.encode(), *pieces])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.builders.images", description="Build the mkosi images.")
    parser.add_argument("name", nargs="*", help=f"default: all of {' '.join([*SHIM_IMAGES, *TARGETS])}")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the boot shim's configuration")
    parser.add_argument("--inputs", action="store_true", help="make only what mkosi reads")
    given = parser.parse_args()
    unknown = set(given.name) - {*SHIM_IMAGES, *TARGETS}
    if unknown:
        parser.error(f"no such image: {' '.join(sorted(unknown))}")
    if given.inputs:
        make_inputs(given.config)
        print(INPUTS)
        return 0
    names = given.name or [*SHIM_IMAGES, *TARGETS]
    built = shim_images(OUTPUT, given.config) if set(names) & set(SHIM_IMAGES) else {}
    for name in names:
        print(built.get(name) or target_image(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
