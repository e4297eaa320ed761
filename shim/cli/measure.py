"""Say which PCR values a boot of a kernel, UKI or OS package leaves in a TPM, by the code that measures at boot.

  bootshim measure linux.efi
  bootshim measure linux.efi --profile 1 --bank sha256 --bank sha384
  bootshim measure vmlinuz --initrd initrd.img --cmdline "root=/dev/vda2 ro"
  bootshim measure linux.efi --config my.toml --entry linux.efi
  bootshim measure /EFI/Linux/linux.efi --root /efi

With --root, IMAGE is a path in the ESP that is mounted there, and what lies beside a UKI (add-ons, credentials,
extensions) is measured as well; all of it, as if the policy took it.

A value is what a PCR holds when nothing else was extended into it: so it is for PCR 11, and for 8, 9 and 12 where the
firmware started the boot shim itself, without a boot loader between. PCR 8 takes the configuration and the entry, so
it is told only with --config or --entry. docs/measuring.md has the plan.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from shim.cli.verify import FILE_SIZE_LIMIT, read_file, read_text, role_of
from shim.config import override, parse_config
from shim.errors import ConfigError
from shim.fetch import fetch_entry
from shim.formats.banks import SHA256_BANK, SIZES
from shim.formats.ospkg import unpack_package
from shim.formats.tcglog import LogEvent, replay
from shim.measure.pcrs import ENTRY
from shim.measure.plan import measure_candidate, measure_config
from shim.model import Artifact, Candidate, Entry, Event, Extra, FileRef, Role
from shim.report import event_json
from shim.system.blobs import MemoryBlob, MemoryBlobs
from shim.system.files import TreeFiles

HELP = "predict the PCR values of a boot"
SCHEMA = "bootshim.measure/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("image", metavar="IMAGE", help="the kernel, UKI or OS package")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the ESP in which IMAGE is a path")
    parser.add_argument("--profile", type=int, metavar="N", help="the UKI's profile (default: 0)")
    parser.add_argument("--initrd", action="append", default=[], metavar="FILE",
                        help="an initrd beside it; may be given again")
    parser.add_argument("--cmdline", metavar="TEXT",
                        help="the command line that the entry gives (default: that of the UKI or package, else empty)")
    parser.add_argument("--devicetree", metavar="FILE", help="the entry's device tree")
    parser.add_argument("--config", metavar="CONFIG.toml", help="the boot shim's configuration")
    parser.add_argument("--override", action="append", default=[], metavar="TABLE.KEY=VALUE",
                        help="a word of the command line that the configuration allows; may be given again")
    parser.add_argument("--entry", metavar="ID", help="the entry's id, as `bootshim entries` tells it")
    parser.add_argument("--bank", choices=list(SIZES), action="append", default=[],
                        help="default: sha256; may be given again")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(arguments: argparse.Namespace) -> int:
    """Print the values, one a line as BANK and PCR; exit 0."""
    banks = arguments.bank or [SHA256_BANK]
    events = predict(arguments, banks)
    logged = [LogEvent(pcr_index=event.pcr, event_type=event.event_type, digests=event.digests, event=event.data)
              for event in events]  # fmt: skip
    values = {bank: dict(sorted(replay(logged, bank, hashlib.sha256).items())) for bank in banks}
    if arguments.json:
        pcrs = {bank: {str(pcr): value.hex() for pcr, value in row.items()} for bank, row in values.items()}
        print(json.dumps({"schema": SCHEMA, "pcrs": pcrs, "events": [event_json(event) for event in events]}, indent=2))
    else:
        for bank, row in values.items():
            for pcr, value in row.items():
                print(f"{pcr}:{bank}={value.hex()}")
    return 0


def predict(arguments: argparse.Namespace, banks: list[str]) -> list[Event]:
    """Return the events of a boot of these files."""
    found = list(measure_candidate(read_candidate(arguments)))
    if arguments.entry is None:
        found = [one for one in found if one.pcr != ENTRY.pcr]
    if arguments.config is not None:
        found[:0] = measure_config(read_config(Path(arguments.config), arguments.override))
    return [one.event(banks, hashlib.sha256) for one in found]


def read_candidate(arguments: argparse.Namespace) -> Candidate:
    """Return the files as the boot would have them."""
    path = arguments.image if arguments.root is None else str(arguments.root / arguments.image.lstrip("/"))
    image = read_file(path)
    role = role_of(image)
    name = arguments.entry or Path(arguments.image).name
    given = arguments.cmdline
    return Candidate(
        entry=Entry(id=name, dialect="", volume="", source=""),
        kernel=_artifact(role, arguments.image, image),
        initrds=tuple(_artifact(Role.INITRD, path, read_file(path)) for path in arguments.initrd),
        cmdline=given if given is not None or role is not Role.KERNEL else "",
        devicetree=None if arguments.devicetree is None else
        _artifact(Role.DEVICETREE, arguments.devicetree, read_file(arguments.devicetree)),
        profile=arguments.profile,
        extras=read_extras(arguments) if role is Role.UKI and arguments.root is not None else (),
        package=unpack_package(image, FILE_SIZE_LIMIT) if role is Role.OSPKG else None,
    )  # fmt: skip


def read_extras(arguments: argparse.Namespace) -> tuple[Extra, ...]:
    """Return what lies beside a UKI in its ESP, as the boot finds it; what cannot be read is told."""
    ref = FileRef(volume="esp", path=f"/{arguments.image.lstrip('/')}")
    entry = Entry(id=ref.path, dialect="", volume="esp", source="", uki=ref)
    candidate = fetch_entry(entry, {"esp": TreeFiles(str(arguments.root))}, MemoryBlobs(), hashlib.sha256)
    for problem in candidate.passed_over:
        print(f"bootshim measure: passed over: {problem.source}: {problem.error}", file=sys.stderr)
    return candidate.extras


def read_config(path: Path, words: list[str]) -> tuple[tuple[str, bytes], ...]:
    """Return a configuration and the files that it names, as they would be baked, and the overrides."""
    config = parse_config(read_text(path), path.name, lambda name: read_file(str(path.parent / name)))
    config = override(config, " ".join(f"bootshim.{word}" for word in words))
    if config.refused:
        raise ConfigError(f"--override would not be obeyed: {config.refused[0]}")
    return config.content


def _artifact(role: Role, name: str, data: bytes) -> Artifact:
    return Artifact(role=role, name=name, size=len(data), sha256=hashlib.sha256(data).digest(), blob=MemoryBlob(data))
