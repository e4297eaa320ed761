"""`bootshim build`: a configuration and a kernel's modules, to an initramfs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from shim.config import parse_config
from shim.errors import ConfigError

if TYPE_CHECKING:
    import argparse

HELP = "check a configuration and bake it into an initramfs"
NAMED_FILE_LIMIT = 4 << 20
SCHEMA = "bootshim.build/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the initramfs to write")
    parser.add_argument("--compress", choices=("xz", "zstd", "none"), default="xz", help="default: xz, the smallest")
    parser.add_argument("--kernel-modules", type=Path, metavar="DIR",
                        help="/lib/modules/VERSION of the kernel that the initramfs is for")
    parser.add_argument("--module", action="append", default=[], metavar="NAME",
                        help="a kernel module to take along, with what it depends on; may be given again")
    parser.add_argument("--runtime", type=Path, metavar="FILE",
                        help="a frozen runtime (default: it is built, or taken from the cache)")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Build; exit 0 when the initramfs is written."""
    from initramfs.pack import compress, find_modules, pack

    config, files = read_config(args.config)
    if args.module and args.kernel_modules is None:
        raise ConfigError("--module needs --kernel-modules: the kernel that the modules are for")
    modules = find_modules(args.kernel_modules, args.module) if args.module else []
    archive = pack(_runtime(args.runtime), config, files, modules)
    written = compress(archive, args.compress)
    _write(args.output, written)
    result = {"schema": SCHEMA, "output": str(args.output), "size": len(written), "unpacked_size": len(archive),
              "modules": [name for name, _data in modules], "files": sorted(files)}
    print(json.dumps(result) if args.json else
          f"{args.output}: {len(written)} bytes ({len(archive)} unpacked), modules: {len(modules)}")
    return 0


def read_config(path: Path, text: bytes | None = None) -> tuple[bytes, dict[str, bytes]]:
    """Return the configuration and the files that it names, both checked as the machine will check them.

    `text` stands in for what is in the file.
    """
    files: dict[str, bytes] = {}

    def read_named(name: str) -> bytes:
        named = path.parent / name
        if named.stat().st_size > NAMED_FILE_LIMIT:
            raise ConfigError("the file is too long", name=name, limit=NAMED_FILE_LIMIT)
        files[name] = named.read_bytes()
        return files[name]

    text = path.read_bytes() if text is None else text
    try:
        parse_config(text.decode("utf-8"), path.name, read_named)
    except UnicodeDecodeError as problem:
        raise ConfigError("the configuration is not UTF-8", file=path.name, at=problem.start) from problem
    return text, files


def _runtime(given: Path | None) -> bytes:
    if given is not None:
        return given.read_bytes()
    from initramfs.runtime import build_runtime

    with tempfile.TemporaryDirectory() as work:
        return build_runtime(Path(work, "init")).read_bytes()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)
