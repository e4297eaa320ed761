"""Say which PCR values a boot of a kernel, UKI or OS package leaves in a TPM, by the code that measures at boot.

  bootshim measure linux.efi
  bootshim measure linux.efi --profile 1 --bank sha256 --bank sha384
  bootshim measure vmlinuz --initrd initrd.img --cmdline "root=/dev/vda2 ro"
  bootshim measure linux.efi --config my.toml --entry linux.efi
  bootshim measure /EFI/Linux/linux.efi --root /efi

With --root, IMAGE is a path in the ESP that is mounted there, and what lies beside a UKI (add-ons, credentials,
extensions) is measured as well; all of it, as if the policy took it.

With --smbios, a device tree of the UKI (.dtbauto) is measured where it fits the machine whose SMBIOS texts are files in
that folder: /sys/class/dmi/id, or a copy of it.

A value is what a PCR holds when nothing else was extended into it: so it is for PCR 11, and for 8, 9 and 12 where the
firmware started the boot shim itself, without a boot loader between. PCR 8 takes the configuration and the entry, so
it is told only with --config or --entry. docs/measuring.md has the plan.

--sign prints what goes into a UKI's .pcrsig, as systemd-measure does: signatures for PCR 11 in phases of systemd's
boot. --pcrlock writes the measurements as components of systemd-pcrlock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from shim.cli.pcrlock import write_components
from shim.cli.pcrsig import PHASES, check_public_key, has_public_key, read_key, sign_pcr11
from shim.cli.verify import FILE_SIZE_LIMIT, read_file, read_text, role_of
from shim.config import override, parse_config
from shim.errors import ConfigError, FormatError
from shim.fetch import fetch_entry
from shim.formats.banks import SHA256_BANK, SIZES
from shim.formats.ospkg import unpack_package
from shim.formats.tcglog import LogEvent, replay
from shim.formats.uki import split_uki
from shim.measure.hardware import chids_from
from shim.measure.pcrs import ENTRY, SECTION
from shim.measure.plan import measure_candidate, measure_config
from shim.model import Artifact, Candidate, Entry, Event, Extra, FileRef, Role
from shim.report import event_json
from shim.system.blobs import MemoryBlob, MemoryBlobs
from shim.system.files import TreeFiles

HELP = "predict the PCR values of a boot"
SCHEMA = "bootshim.measure/1"
KEY_SIZE_MAX = 64 << 10
NOT_CARRIED = ("the UKI has no .pcrpkey, so the next OS must have the public key from elsewhere; adding one later "
               "changes PCR 11")  # fmt: skip
OTHER_CARRIED = "the UKI's .pcrpkey is another key than the one that signs"


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
    parser.add_argument("--config", "--policy", metavar="CONFIG.toml", help="the boot shim's configuration")
    parser.add_argument("--override", action="append", default=[], metavar="TABLE.KEY=VALUE",
                        help="a word of the command line that the configuration allows; may be given again")
    parser.add_argument("--entry", metavar="ID", help="the entry's id, as `bootshim entries` tells it")
    parser.add_argument("--bank", choices=list(SIZES), action="append", default=[],
                        help="default: sha256, with --sign or --pcrlock all; may be given again")
    parser.add_argument("--smbios", type=Path, metavar="DIR", help="the machine that the UKI's device trees are for")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")
    parser.add_argument("--pcrlock", type=Path, metavar="PATH",
                        help="write a component of systemd-pcrlock; into a directory, one for each PCR")
    signing = parser.add_argument_group("signing")
    signing.add_argument("--sign", metavar="KEY.pem", help="sign PCR 11 with this private key (RSA), by openssl")
    signing.add_argument("--public-key", metavar="PUB.pem", help="refuse a private key that does not belong to it")
    signing.add_argument("--phase", action="append", default=[], metavar="WORDS",
                         help=f"a phase of systemd, \"\" for none; may be given again (default: {' '.join(PHASES)})")
    signing.add_argument("--append", type=Path, metavar="FILE.json", help="keep the signatures of an earlier --sign")


def run(arguments: argparse.Namespace) -> int:
    """Print the values, one a line as BANK and PCR, or the signatures; exit 0."""
    if arguments.sign is None and (arguments.public_key or arguments.phase or arguments.append):
        raise ConfigError("--public-key, --phase and --append go with --sign")
    is_seal = arguments.sign is not None or arguments.pcrlock is not None
    banks = arguments.bank or (list(SIZES) if is_seal else [SHA256_BANK])
    candidate = read_candidate(arguments)
    events = predict(arguments, candidate, banks)
    if arguments.pcrlock is not None:
        for path in write_components(arguments.pcrlock, variant_of(candidate), events):
            print(f"bootshim measure: written: {path}", file=sys.stderr)
    logged = [LogEvent(pcr_index=event.pcr, event_type=event.event_type, digests=event.digests, event=event.data)
              for event in events]  # fmt: skip
    values = {bank: dict(sorted(replay(logged, bank, hashlib.sha256).items())) for bank in banks}
    if arguments.sign is not None:
        print(sign(arguments, candidate, {bank: row.get(SECTION.pcr) for bank, row in values.items()}))
    elif arguments.json:
        pcrs = {bank: {str(pcr): value.hex() for pcr, value in row.items()} for bank, row in values.items()}
        print(json.dumps({"schema": SCHEMA, "pcrs": pcrs, "events": [event_json(event) for event in events]}, indent=2))
    elif arguments.pcrlock is None:
        for bank, row in values.items():
            for pcr, value in row.items():
                print(f"{pcr}:{bank}={value.hex()}")
    return 0


def sign(arguments: argparse.Namespace, candidate: Candidate, values: Mapping[str, bytes | None]) -> str:
    """Return the signatures for these values of PCR 11; say so where the UKI does not carry the key's public half."""
    known = {bank: value for bank, value in values.items() if value is not None}
    if not known:
        raise ConfigError("only a UKI is measured into the PCR that is signed", file=arguments.image)
    key = read_key(arguments.sign)
    if arguments.public_key is not None:
        check_public_key(arguments.public_key, read_file(arguments.public_key, KEY_SIZE_MAX), key)
    carried = split_uki(candidate.kernel.blob.view(), candidate.profile).pcrpkey
    try:
        is_carried = carried is not None and has_public_key(bytes(carried).rstrip(b"\0"), key)
    except FormatError:
        is_carried = False
    if not is_carried:
        print(f"bootshim measure: {NOT_CARRIED if carried is None else OTHER_CARRIED}", file=sys.stderr)
    appended = None if arguments.append is None else read_text(arguments.append)
    return sign_pcr11(known, arguments.phase, key, appended)


def variant_of(candidate: Candidate) -> str:
    """Return what tells this boot from others of the same kind in a directory of components."""
    name = Path(candidate.entry.id).name.removesuffix(".efi")
    return f"{name}@{candidate.profile}" if candidate.profile and "@" not in name else name


def predict(arguments: argparse.Namespace, candidate: Candidate, banks: list[str]) -> list[Event]:
    """Return the events of a boot of these files."""
    found = list(measure_candidate(candidate, lambda: read_machine(arguments.smbios)))
    if arguments.entry is None:
        found = [one for one in found if one.pcr != ENTRY.pcr]
    if arguments.config is not None:
        found[:0] = measure_config(read_config(Path(arguments.config), arguments.override))
    return [one.event(banks, hashlib.sha256) for one in found]


def read_machine(smbios: Path | None) -> tuple[bytes, ...]:
    """Return the CHIDs of the machine that is meant, none for none."""
    return () if smbios is None else chids_from(TreeFiles(str(smbios)), "", hashlib.sha256)


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
