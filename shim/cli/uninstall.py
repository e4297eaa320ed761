"""Take away what `bootshim install` put there: the image, its boot entries, its directory when nothing else is in it.

  bootshim uninstall --dry-run
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shim.cli import esp
from shim.cli.install import add_place, do
from shim.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from shim.cli.install import Step

HELP = "take away what `bootshim install` put there"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    add_place(parser)


def run(args: argparse.Namespace) -> int:
    """Uninstall; exit 0 when nothing of ours is left."""
    return do(args, plan(args))


def plan(args: argparse.Namespace) -> list[Step]:
    """Return the steps, in their order: no boot entry is left that points at nothing."""
    root: Path = args.tree or args.esp or esp.find_esp()
    if not root.is_dir():
        raise ConfigError("there is no such directory", path=str(root))
    image, entry, directory = root / esp.IMAGE, root / esp.ENTRY, root / esp.DIRECTORY
    steps: list[Step] = []
    if args.tree is None:
        esp.check_esp(root)
        steps += [_boot_entry(number) for number in esp.boot_numbers() or ()]
    if entry.exists() and esp.is_ours(entry):
        steps.append((f"remove {entry}", lambda: esp.remove(entry)))
    if image.exists():
        steps.append((f"remove {image}", lambda: esp.remove(image)))
    if directory.is_dir() and not {path.name for path in directory.iterdir()} - {image.name}:
        steps.append((f"remove {directory}", directory.rmdir))
    return steps


def _boot_entry(number: str) -> Step:
    return f"remove the firmware's boot entry {number}", lambda: esp.remove_boot_entry(number)
