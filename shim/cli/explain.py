"""Say why the boot entries of disk images, ISO files and directory trees are what they are, and which one would boot.

  bootshim explain disk.img
  bootshim explain debian-live.iso --json
  bootshim explain /efi --entry "debian*"

For each entry: the statements that made it, with file and line; what was decided, and why it stands where it stands;
why it is hidden; which of its files are not there. Then what was looked for and not found, and what was passed over.
The reading is that of `bootshim entries`, and of the boot itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shim.cli.colour import Palette, palette_for
from shim.cli.volumes import Opened, add_volume_arguments, open_volumes, volume_line
from shim.entries import EntryList, read_entries
from shim.entries.rank import goes_by, why_before
from shim.errors import ShimError, printable
from shim.images.watched import WatchedFiles
from shim.report import entry_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from shim.model import Entry, FileRef
    from shim.ports import Files

HELP = "say why the entries of an image or tree are what they are, and which one would boot"
SCHEMA = "bootshim.explain/1"
STATEMENT_FILE_SIZE_MAX = 1 << 20
STATEMENTS_MAX = 100
# Dialects of which a file describes one entry and nothing else: all its lines belong to the entry.
FILE_IS_ENTRY = ("bls1",)
SEARCHED_MAX = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    add_volume_arguments(parser)
    parser.add_argument("--entry", metavar="GLOB", help="explain only entries whose id matches")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Explain; exit 0 when an entry (of those asked for) would boot as far as this can tell."""
    opened = open_volumes(args.source, args.volume)
    watched = {volume.name: WatchedFiles(files) for volume, files in opened.volumes}
    found = read_entries([(volume, watched[volume.name]) for volume, _files in opened.volumes],
                         dialects=args.dialect, default=args.default, architecture=args.architecture)
    found = found.replace(problems=(*opened.problems, *found.problems))
    facts = explain(found, opened, watched, args.entry)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        for line in text_of(facts, palette_for()):
            print(line)
    return 0 if any(entry["hidden"] is None and not entry["missing"] for entry in facts["entries"]) else 1


def explain(
    found: EntryList, opened: Opened, watched: Mapping[str, WatchedFiles], wanted: str | None
) -> dict[str, Any]:
    """Return what docs/entries.md calls bootshim.explain/1."""
    searched = [{"volume": name, "path": path} for name, files in watched.items() for path in files.absent]
    files: dict[str, Files] = {volume.name: tree for volume, tree in opened.volumes}
    following = dict(zip((entry.id for entry in found.entries), found.entries[1:], strict=False))
    missing = {entry.id: [str(ref) for ref in _refs(entry) if not _is_there(ref, files)] for entry in found.entries}
    first = next((entry for entry in found.entries if entry.hidden is None and not missing[entry.id]), None)
    return {
        "schema": SCHEMA,
        "boots": first.id if first else None,
        "timeout": found.timeout,
        "entries": [
            {
                **entry_json(entry),
                "volume": entry.volume,
                "before": _before(entry, following.get(entry.id)),
                "statements": list(_statements(entry, files)),
                "missing": missing[entry.id],
            }
            for entry in found.entries if wanted is None or goes_by(entry, wanted)
        ],
        "searched": searched,
        "problems": [problem.as_dict() for problem in found.problems],
        "volumes": opened.as_json(),
    }


def _before(entry: Entry, following: Entry | None) -> dict[str, str] | None:
    return None if following is None else {"id": following.id, "why": why_before(entry, following)}


def _statements(entry: Entry, files: Mapping[str, Files]) -> Iterator[dict[str, Any]]:
    """Yield the lines of configuration that an entry is made of, with file and line."""
    path, _, number = entry.source.rpartition(":")
    if not number.isdecimal() or not int(number):
        return  # an image or a kernel: not made of lines
    try:
        data = files[entry.volume].read(path, STATEMENT_FILE_SIZE_MAX)
    except ShimError:
        return
    lines = data.decode("utf-8", "replace").splitlines()
    whole = entry.dialect in FILE_IS_ENTRY
    for at, line in enumerate(lines[:STATEMENTS_MAX] if whole else lines, 1):
        if (whole and line.strip() and not line.lstrip().startswith("#")) or (not whole and at == int(number)):
            yield {"file": f"{entry.volume}:{path}", "line": at, "text": line.strip()}


def _refs(entry: Entry) -> list[FileRef]:
    refs = (entry.kernel, *entry.initrd, *entry.modules, entry.devicetree, *entry.devicetree_overlay)
    return [ref for ref in refs if ref is not None]


def _is_there(ref: FileRef, files: Mapping[str, Files]) -> bool:
    return ref.volume in files and files[ref.volume].exists(ref.path)


def text_of(facts: dict[str, Any], palette: Palette) -> Iterator[str]:
    """Yield the lines for people."""
    yield palette.head("volumes")
    for row in facts["volumes"]:
        yield f"  {volume_line(row)}" + ("" if row["read"] else palette.bad("  not read"))
    if facts["boots"] is None:
        yield palette.bad("nothing would boot")
    else:
        yield f"{palette.good('would boot')} {printable(facts['boots'])}"
    for entry in facts["entries"]:
        yield ""
        yield from _entry_lines(entry, palette)
    if facts["searched"]:
        yield ""
        yield palette.head("looked for and not there")
        for row in facts["searched"][:SEARCHED_MAX]:
            yield printable(f"  {row['volume']}:{row['path']}")
        if len(facts["searched"]) > SEARCHED_MAX:
            yield f"  and {len(facts['searched']) - SEARCHED_MAX} more (--json has them all)"
    if facts["problems"]:
        yield ""
        yield palette.head("passed over")
        for row in facts["problems"]:
            yield palette.bad(printable(f"  {row['source']}: {row['error']}"))


def _entry_lines(entry: dict[str, Any], palette: Palette) -> Iterator[str]:
    mark = "-" if entry["hidden"] is not None else str(entry["rank"])
    yield palette.head(printable(f"{mark} {entry['id']}")) + printable(f"  {entry['title']}")
    if entry["hidden"] is not None:
        yield palette.bad(printable(f"    hidden: {entry['hidden']}"))
    for missing in entry["missing"]:
        yield palette.bad(printable(f"    not there: {missing}"))
    for statement in entry["statements"]:
        yield printable(f"    {statement['file']}:{statement['line']}  {statement['text']}")
    for sentence in entry["trace"]:
        yield printable(f"    why: {sentence}")
    if entry["before"] is not None:
        yield printable(f"    before {entry['before']['id']}: {entry['before']['why']}")
