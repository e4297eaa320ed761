"""Put the boot shim on this machine's EFI system partition, with a boot entry for it.

  bootshim install bootshim-uki.efi --dry-run
  bootshim install bootshim-uki.efi
  bootshim install bootshim-uki.efi --tree DIR

It writes EFI/bootshim/bootshim.efi; where there is a loader/entries, an entry for boot loaders that read it; and with
efibootmgr a boot entry of the firmware, the first in its order. No other file is touched. A file is written beside its
place, synced and renamed, so that a machine that stops meanwhile has the old one or the new one. --tree takes a
directory that becomes an ESP later, of an image say, and leaves the firmware alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from shim.cli import esp
from shim.cli.verify import read_file
from shim.errors import ConfigError
from shim.formats.uki import has_linux_section

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Step = tuple[str, Callable[[], None]]

HELP = "put the boot shim on this machine's EFI system partition"
SCHEMA = "bootshim.install/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("uki", metavar="UKI", help="the boot shim as a unified kernel image")
    add_place(parser)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare where, and whether at all."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--esp", type=Path, metavar="DIR", help="where the ESP is mounted (default: it is looked for)")
    place.add_argument("--tree", type=Path, metavar="DIR", help="a directory in place of a mounted ESP")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Install; exit 0 when everything is in place."""
    data = read_file(args.uki)
    if not has_linux_section(data):
        raise ConfigError("it is no unified kernel image", file=args.uki)
    return do(args, plan(args, data))


def plan(args: argparse.Namespace, data: bytes) -> list[Step]:
    """Return the steps, in their order: what a boot entry points at is in place before it."""
    mount = None if args.tree else esp.check_esp(args.esp or esp.find_esp())
    root: Path = args.tree or args.esp or esp.find_esp()
    if not root.is_dir():
        raise ConfigError("there is no such directory", path=str(root))
    image, entry = root / esp.IMAGE, root / esp.ENTRY
    esp.check_room(root, len(data))
    steps: list[Step] = [(f"write {image} ({len(data)} bytes)", lambda: esp.write_atomic(image, data))]
    if entry.parent.is_dir():
        if entry.exists() and not esp.is_ours(entry):
            raise ConfigError("somebody else wrote this boot entry", path=str(entry))
        steps.append((f"write {entry}", lambda: esp.write_atomic(entry, esp.ENTRY_TEXT.encode())))
    if mount is not None:
        numbers = esp.boot_numbers()
        if numbers is None:
            steps.append(("make no boot entry of the firmware: no EFI variables here, or no efibootmgr", _nothing))
        elif not numbers:
            steps.append((f"make a boot entry of the firmware: {esp.LABEL}", lambda: esp.add_boot_entry(mount)))
    return steps


def do(args: argparse.Namespace, steps: list[Step]) -> int:
    """Take the steps, or only say them; each is said before it is taken."""
    if args.json:
        print(json.dumps({"schema": SCHEMA, "done": not args.dry_run, "steps": [text for text, _step in steps]}))
    for text, step in steps:
        if not args.json:
            print(f"{'would ' if args.dry_run else ''}{text}")
        if not args.dry_run:
            step()
    return 0


def _nothing() -> None:
    return None
