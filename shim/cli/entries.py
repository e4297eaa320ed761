"""`bootshim entries`: the boot entries of directory trees, in the order in which they would be tried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shim.entries import DIALECTS, read_entries
from shim.errors import printable
from shim.model import Volume
from shim.report import entry_json
from shim.system.files import TreeFiles

if TYPE_CHECKING:
    import argparse

    from shim.entries import EntryList

HELP = "list the boot entries of directory trees, each standing for a mounted volume, in boot order"
SCHEMA = "bootshim.entries/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("tree", nargs="+", help="a directory that stands for a mounted volume (the ESP, /boot, …)")
    parser.add_argument("--default", metavar="GLOB", help="try the first entry whose id matches before all others")
    parser.add_argument("--dialect", action="append", default=[], choices=[dialect.name for dialect in DIALECTS],
                        help="read only this kind of configuration; may be given again")
    parser.add_argument("--architecture", default="x64", help="entries for another one are hidden (default: x64)")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """List the entries; exit 0 when at least one can be tried."""
    volumes = [(Volume(name=tree), TreeFiles(tree)) for tree in args.tree]
    found = read_entries(volumes, dialects=args.dialect, default=args.default, architecture=args.architecture)
    if args.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        show(found)
    return 0 if any(entry.hidden is None for entry in found.entries) else 1


def as_json(found: EntryList) -> dict[str, Any]:
    """Return the list in the schema bootshim.entries/1."""
    return {
        "schema": SCHEMA,
        "entries": [entry_json(entry) for entry in found.entries],
        "problems": [problem.as_dict() for problem in found.problems],
    }


def show(found: EntryList) -> None:
    """Print the list for people."""
    for entry in found.entries:
        mark = "-" if entry.hidden is not None else "*" if entry.default else " "
        print(printable(f"{mark} {entry.rank}  {entry.id}  {entry.title}"))
        kernel = entry.kernel
        rows = [("from", f"{entry.volume}:{entry.source}"), ("starts", str(kernel) if kernel else "nothing"),
                *(("initrd", str(ref)) for ref in entry.initrd), ("options", entry.cmdline or "")]
        rows += [("hidden", entry.hidden or "")] + [("why", sentence) for sentence in entry.trace]
        for name, value in rows:
            if value:
                print(printable(f"       {name:8} {value}"))
    for problem in found.problems:
        print(printable(f"! {problem.source}: {problem.error}"))
    if not found.entries:
        print("no boot entry was found")
