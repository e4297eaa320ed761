"""List the boot entries of disk images, ISO files and directory trees, in the order in which they would be tried.

  bootshim entries disk.img
  bootshim entries debian-live.iso --json
  bootshim entries /efi /boot
  bootshim entries --volume esp=/efi,type=esp,label=ESP --volume boot=/boot,type=xbootldr

Images are read without root and without mounting: GPT and MBR, FAT, ext2 to ext4, ISO 9660. A whole disk gives all its
volumes. docs/entries.md says more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shim.cli.volumes import add_volume_arguments, open_volumes
from shim.entries import read_entries
from shim.errors import printable
from shim.report import entry_json
from shim.ui.columns import pad

if TYPE_CHECKING:
    import argparse

    from shim.cli.volumes import Opened
    from shim.entries import EntryList
    from shim.model import Entry

HELP = "list the boot entries of disk images, ISO files and directory trees, in boot order"
SCHEMA = "bootshim.entries/1"
COLUMNS = (("", 2), ("id", 28), ("title", 24), ("version", 18), ("tries", 5))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    add_volume_arguments(parser)
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """List the entries; exit 0 when at least one can be tried."""
    opened, found = read_volumes(args)
    if args.json:
        print(json.dumps(as_json(found, opened), indent=2))
    else:
        show(found)
    return 0 if any(entry.hidden is None for entry in found.entries) else 1


def read_volumes(args: argparse.Namespace) -> tuple[Opened, EntryList]:
    """Return the volumes that were named, and their entries with all problems."""
    opened = open_volumes(args.source, args.volume)
    found = read_entries(
        opened.volumes, dialects=args.dialect, default=args.default, architecture=args.architecture)
    return opened, found.replace(problems=(*opened.problems, *found.problems))


def as_json(found: EntryList, opened: Opened) -> dict[str, Any]:
    """Return the list in the schema bootshim.entries/1."""
    return {
        "schema": SCHEMA,
        "entries": [{**entry_json(entry), "volume": entry.volume} for entry in found.entries],
        "problems": [problem.as_dict() for problem in found.problems],
        "volumes": opened.as_json(),
    }


def show(found: EntryList) -> None:
    """Print the list for people: a table, then each entry with the reasons for what it is, then the problems."""
    if not found.entries:
        print("no boot entry was found")
    else:
        print(_row(*(name for name, _width in COLUMNS)))
        for entry in found.entries:
            tries = "" if entry.tries_left is None else f"{entry.tries_left}-{entry.tries_done}"
            print(_row(_mark(entry), entry.id, entry.title, entry.version or "", tries))
        for entry in found.entries:
            _explain(entry)
    for problem in found.problems:
        print(printable(f"! {problem.source}: {problem.error}"))


def _row(*cells: str) -> str:
    return "  ".join(pad(cell, width) for cell, (_name, width) in zip(cells, COLUMNS, strict=True)).rstrip()


def _mark(entry: Entry) -> str:
    """Return the rank of an entry, - for a hidden one, with * behind that of the default."""
    return "-" if entry.hidden is not None else f"{entry.rank}{'*' if entry.default else ''}"


def _explain(entry: Entry) -> None:
    print()
    print(printable(f"{_mark(entry)} {entry.id}"))
    rows = [
        ("from", f"{entry.volume}:{entry.source}"), ("starts", str(entry.kernel or "")),
        *(("initrd", str(ref)) for ref in entry.initrd),
        ("options", (entry.own_cmdline if entry.cmdline is None else entry.cmdline) or ""),
        ("hidden", entry.hidden or ""), *(("why", sentence) for sentence in entry.trace),
    ]
    for name, value in rows:
        if value:
            print(f"    {name:8} {printable(value)}")
