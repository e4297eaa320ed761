"""Write a manifest: what a boot consists of, for a signature over all of it together.

  bootshim manifest --root /boot --version 7 --cmdline "root=/dev/vda2 ro" vmlinuz initrd.img > /boot/manifest.toml
  minisign -S -s release.key -m /boot/manifest.toml

Put it where policy.manifest.path says, on the volume that the kernels lie on, with the signature beside it. The version
is a number of your own that grows with each manifest; policy.manifest.minimum_version refuses older ones.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from shim.errors import ConfigError
from shim.formats.manifest import Manifest, ManifestFile, build_manifest

if TYPE_CHECKING:
    import argparse

HELP = "write a manifest of files and command lines, to be signed"
SCHEMA = "bootshim.manifest/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR",
                        help="where the volume is mounted (default: /); files are named relative to it")
    parser.add_argument("--version", type=int, required=True, metavar="N", help="the version of this manifest")
    parser.add_argument("--cmdline", action="append", default=[], metavar="TEXT",
                        help="a whole command line that goes with the files; may be given again")
    parser.add_argument("--json", action="store_true", help=f"print JSON in place of TOML, schema {SCHEMA}")
    parser.add_argument("file", nargs="+", metavar="FILE", help="a file below DIR")


def run(args: argparse.Namespace) -> int:
    """Print the manifest."""
    if args.version < 0:
        raise ConfigError("a version is not negative", found=args.version)
    files = tuple(read_row(args.root, name) for name in args.file)
    manifest = Manifest(version=args.version, files=files, cmdlines=tuple(args.cmdline))
    if args.json:
        rows = [{**row.as_dict(), "sha256": row.sha256.hex()} for row in files]
        print(json.dumps({"schema": SCHEMA, "version": manifest.version, "cmdline": list(manifest.cmdlines),
                          "file": rows}, indent=2))
    else:
        print(build_manifest(manifest), end="")
    return 0


def read_row(root: Path, name: str) -> ManifestFile:
    """Return the row of a file, named by its path in the volume."""
    path = root / name.lstrip("/")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError("a file of a manifest is named without ..", name=name)
    return ManifestFile(name="/" + "/".join(parts), size=path.stat().st_size, sha256=digest)
