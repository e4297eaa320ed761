"""`bootshim entries`: the boot entries of directory trees, in the order in which they would be tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shim.entries import DIALECTS, read_entries
from shim.errors import ConfigError, printable
from shim.model import PartitionKind, Volume
from shim.report import entry_json
from shim.system.files import TreeFiles
from shim.ui.columns import pad

if TYPE_CHECKING:
    import argparse

    from shim.entries import EntryList
    from shim.model import Entry

HELP = "list the boot entries of directory trees, each standing for a mounted volume, in boot order"
SCHEMA = "bootshim.entries/1"
# What may be said of a volume that is only a directory here.
KEYS: dict[str, Callable[[str], Any]] = {
    "uuid": str, "label": str, "fstype": str, "disk": str, "number": int, "table": str, "partuuid": str,
    "partlabel": str, "kind": PartitionKind,
}
COLUMNS = (("", 2), ("id", 28), ("title", 24), ("version", 18), ("tries", 5))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("tree", nargs="*", help="a directory that stands for a mounted volume (the ESP, /boot, …)")
    parser.add_argument("--volume", action="append", default=[], metavar="NAME=DIRECTORY[,KEY=VALUE]…",
                        help=f"likewise, with a name and what else is known of the volume: {', '.join(KEYS)}")
    parser.add_argument("--default", metavar="GLOB", help="try the first entry whose id matches before all others")
    parser.add_argument("--dialect", action="append", default=[], choices=[dialect.name for dialect in DIALECTS],
                        help="read only this kind of configuration; may be given again")
    parser.add_argument("--architecture", default="x64", help="entries for another one are hidden (default: x64)")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """List the entries; exit 0 when at least one can be tried."""
    volumes = [(Volume(name=tree), TreeFiles(tree)) for tree in args.tree] + [
        (volume, TreeFiles(tree)) for volume, tree in map(parse_volume, args.volume)]
    if not volumes:
        raise ConfigError("no volume: give a directory, or --volume")
    found = read_entries(volumes, dialects=args.dialect, default=args.default, architecture=args.architecture)
    if args.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        show(found)
    return 0 if any(entry.hidden is None for entry in found.entries) else 1


def parse_volume(text: str) -> tuple[Volume, str]:
    """Return the volume and the directory of NAME=DIRECTORY,uuid=…,label=…. Raises ConfigError for what is none.

    With `disk` and `number` it is a partition, as a script's (hd0,gpt2) names one; the first volume's disk is hd0.
    """
    place, *facts = text.split(",")
    name, equals, directory = place.partition("=")
    known = dict(fact.partition("=")[::2] for fact in facts)
    if not equals or not name or not directory or not KEYS.keys() >= known.keys() or len(known) != len(facts):
        raise ConfigError("a volume is NAME=DIRECTORY[,KEY=VALUE]…", found=text, keys=" ".join(KEYS))
    try:
        return Volume(name=name, **{key: KEYS[key](value) for key, value in known.items()}), directory
    except ValueError as problem:
        raise ConfigError("a volume's facts do not make sense", found=text, problem=str(problem)) from problem


def as_json(found: EntryList) -> dict[str, Any]:
    """Return the list in the schema bootshim.entries/1."""
    return {
        "schema": SCHEMA,
        "entries": [entry_json(entry) for entry in found.entries],
        "problems": [problem.as_dict() for problem in found.problems],
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
