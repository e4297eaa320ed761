"""Boot a disk image without a machine: find, choose, fetch, verify and plan, as the boot shim would, and show it all.

  bootshim plan disk.img
  bootshim plan disk.img --policy my.toml --entry "debian*"
  bootshim plan disk.img --memmap iomem.txt --emit segments --json

The stages are those of the boot itself, line for line, over a machine that only records: the entries of the image, the
digests of what they name, the verdict of the policy, where each segment goes, boot_params and the purgatory's
arguments. Without --policy nothing is verified, and that is said.

--memmap takes /proc/iomem as root reads it, the BIOS-e820 lines of dmesg, or JSON; without it a PC with 2 GiB is
planned for. What only the machine knows is stood in for: boot_params of its kernel (blank; --boot-params), random bytes
for the next kernel, the times in the report that is handed over. docs/entries.md says more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.boot import Boot
from shim.cli.colour import Palette, palette_for
from shim.cli.plan_facts import plan_json, plan_parts
from shim.cli.verify import read_file, read_text
from shim.config import Config, parse_config
from shim.entries.rank import goes_by
from shim.errors import ConfigError, printable
from shim.formats.bootparams import SIZE
from shim.images.machine import ImageMachine
from shim.images.pc import MEMMAP_SIZE_MAX, default_map, facts_of, parse_memmap
from shim.load.engines import ENGINES
from shim.model import Role
from shim.report import Report
from shim.units import size_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from shim.entries import EntryList

HELP = "boot a disk image without a machine: what would be loaded, and where"
SCHEMA = "bootshim.plan/1"
STAND_INS = (
    "the random bytes for the next kernel are the same in every plan",
    "the report that is handed over has no times",
    "nothing is measured: there is no TPM",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a raw disk image or an ISO file")
    parser.add_argument("--policy", metavar="CONFIG.toml", help="judge by this configuration, and follow its [boot]")
    parser.add_argument("--entry", metavar="GLOB", help="try only entries whose id matches")
    parser.add_argument("--engine", choices=ENGINES, help="default: the configuration's, else auto")
    parser.add_argument("--memmap", metavar="FILE", help="the machine's memory: /proc/iomem, e820 lines, or JSON")
    parser.add_argument("--boot-params", metavar="FILE", help="/sys/kernel/boot_params/data of the machine's kernel")
    parser.add_argument("--emit", metavar="DIR", help="write the bytes of each segment there, and plan.json")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Plan; exit 0 when something would be loaded."""
    boot, problems = plan_boot(args)
    facts = {"schema": SCHEMA, **plan_json(boot, problems), "stand_ins": _stand_ins(args)}
    if args.emit:
        emit(Path(args.emit), boot, facts)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        for line in text_of(facts, palette_for()):
            print(line)
    return 0 if facts["loaded"] else 1


def plan_boot(args: argparse.Namespace) -> tuple[Boot, list[str]]:
    """Go through the stages for the first entry that works; return the boot, and what there is to say of the images."""
    rows = default_map()
    if args.memmap:
        data = read_file(args.memmap, MEMMAP_SIZE_MAX)
        rows = parse_memmap(data.decode("utf-8", "replace"), args.memmap)
    running = read_file(args.boot_params, SIZE) if args.boot_params else None
    if folder := next((name for name in args.image if Path(name).is_dir()), None):
        raise ConfigError("a directory has no disk to boot from: name a disk image", path=folder)
    images = ImageMachine(args.image, facts_of(rows, running))
    config = read_config(args)
    report = Report(images.machine.clock)
    report.configured(config)
    boot = Boot(images.machine, config, report)
    found = boot.find(0.0)
    try_entries(boot, found, args.entry)
    said = [*images.problems, *report.problems]
    return boot, list(dict.fromkeys(printable(f"{problem.source}: {problem.error}") for problem in said))


def try_entries(boot: Boot, found: EntryList, wanted: str | None) -> None:
    """Try the entries in their order, as a boot without a person does. Raises ConfigError when none is the wanted."""
    fitting = [entry for entry in found.entries if wanted is None or goes_by(entry, wanted)]
    if wanted is not None and not fitting:
        raise ConfigError("no entry goes by this id", entry=wanted,
                          known=", ".join(entry.id for entry in found.entries) or "none")
    for entry in fitting:
        if entry.hidden is not None and not boot.left:
            boot.report.notes.append(f"{entry.id} is not offered: {entry.hidden}")
        if boot.is_tried(entry) and not boot.left:
            boot.try_entry(entry)


def read_config(args: argparse.Namespace) -> Config:
    """Return the configuration, or one that takes everything; without a TPM and without waiting."""
    if args.policy:
        source = Path(args.policy)
        config = parse_config(read_text(source), str(source), lambda name: read_file(str(source.parent / name)))
    else:
        roles = [role.value for role in Role if role is not Role.MANIFEST]
        text = "".join(f'[policy.{role}]\nrequire = ["unsigned"]\n' for role in roles)
        config = parse_config(text, "no policy", read_file)
    engine = args.engine or config.load.engine
    return config.replace(load=config.load.replace(engine=engine), measure=config.measure.replace(tpm="off"))


def emit(directory: Path, boot: Boot, facts: dict[str, Any]) -> None:
    """Write the bytes that would be handed to the kernel, and the plan."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in plan_parts(boot).items():
        (directory / f"{name}.bin").write_bytes(data)
    (directory / "plan.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _stand_ins(args: argparse.Namespace) -> list[str]:
    said = [] if args.policy else ["no policy was given: NOTHING is verified"]
    said += [] if args.memmap else ["a PC with 2 GiB, made up (--memmap)"]
    said += [] if args.boot_params else ["boot_params of the running kernel are blank (--boot-params)"]
    return [*said, *STAND_INS]


def text_of(facts: dict[str, Any], palette: Palette) -> Iterator[str]:
    """Yield the lines for people."""
    for attempt in facts["attempts"]:
        yield from _attempt_lines(attempt, palette)
    if not facts["attempts"]:
        yield palette.bad("no entry was tried")
    loaded = facts["loaded"]
    if loaded:
        yield ""
        yield palette.head(f"{loaded['call']}, {len(loaded['segments'])} segments") + printable(f"  {loaded['why']}")
        for row in loaded["segments"]:
            where = f"{row['start']:#012x}-{row['end']:#012x}" if row["start"] is not None else "where the kernel wants"
            yield f"  {row['name']:12} {where}  {size_text(row['size']):>10}  sha256 {row['sha256']}"
        yield printable(f"  command line  {loaded['cmdline']}")
    for title in ("boot_params", "purgatory"):
        if loaded and loaded[title]:
            yield ""
            yield palette.head(title)
            yield from _field_lines(loaded[title])
    for title, rows in (("passed over", facts["problems"]), ("notes", facts["notes"]),
                        ("stood in for", facts["stand_ins"])):
        if rows:
            yield ""
            yield palette.head(title)
            yield from (printable(f"  {row}") for row in rows)


def _attempt_lines(attempt: dict[str, Any], palette: Palette) -> Iterator[str]:
    failed = attempt["error"] is not None
    yield palette.head(printable(attempt["entry"])) + ("" if failed else palette.good("  would be booted"))
    for item in attempt["artifacts"]:
        yield printable(f"  {item['role']:9} {item['name']}  {size_text(item['size'])}  sha256 {item['sha256']}")
    for verdict in attempt["verdicts"]:
        line = printable(f"  {verdict['role']}: {verdict['reason']}")
        yield line if verdict["accepted"] else palette.bad(line)
    if failed:
        yield palette.bad(printable(f"  {attempt['stage']}: {attempt['error']}"))


def _field_lines(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, list):
            yield f"  {name}"
            for row in value:
                yield printable("    " + "  ".join(f"{key} {_shown(item)}" for key, item in row.items()))
        else:
            yield printable(f"  {name:23} {_shown(value)}".rstrip())


def _shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
