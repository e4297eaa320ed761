"""Say what a ROM's firmware measures of the payload, and the PCR values that can be known from the image.

  bootshim rom pcrs build/rom/ovmf-q35.rom
  bootshim rom pcrs build/rom/ovmf-q35.rom --bank sha256 --json

These are the values when the boot shim begins: it extends PCR 8, 9 and 12 by what it boots, as docs/measuring.md says.

Spec: TCG PC Client Platform Firmware Profile 1.06, 3.3.4 (what belongs into which PCR), as EDK II of 2022 follows it
(SecurityPkg: Tcg2Pei, Tcg2Dxe, DxeTpm2MeasureBootLib); systemd-stub 257; Linux 6.1, drivers/firmware/efi/libstub.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from shim.errors import ConfigError, FormatError
from shim.formats.authenticode import hashed_ranges, update_hash
from shim.formats.banks import SHA256_BANK, SIZES, bank_digest, new_bank_hash
from shim.formats.efi_image import Image, find_file, parse_image, walk
from shim.formats.efi_section import PE32, parse_sections
from shim.formats.efi_volume import Volume
from shim.formats.fmap import find_map
from shim.formats.guid import guid_bytes
from shim.formats.pe import parse_pe
from shim.formats.slot import SLOTS
from shim.formats.stub import pack_embedded
from shim.formats.tcglog import EV_EVENT_TAG, EV_IPL, EV_SEPARATOR, LogEvent, replay
from shim.formats.uki import split_uki
from shim.measure.plan import measure_uki, utf16

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SCHEMA = "bootshim.rom.pcrs/1"
SHELL = "7c04a583-9e3e-4f1c-ad65-e05268d0b4d1"
EV_EFI_VARIABLE_DRIVER_CONFIG, EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000001, 0x80000003
EV_EFI_ACTION, EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000007, 0x80000008
SEPARATOR = bytes(4)
GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
# The ROM has no store of variables, so secure boot is off and its databases are empty.
SECURE_BOOT = (("SecureBoot", GLOBAL_VARIABLE, b"\0"), ("PK", GLOBAL_VARIABLE, b""), ("KEK", GLOBAL_VARIABLE, b""),
               ("db", SECURITY_DATABASE, b""), ("dbx", SECURITY_DATABASE, b""))
CALLING = b"Calling EFI Application from Boot Option"
EXITING = (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success")
UNKNOWN = {
    0: "the PEI volume is measured when its modules have already written into it; the event for the DXE volume, "
       "with the payload in it, is known",
    1: "boot options are measured here, which depend on the devices that are found",
}
NOTHING = (
    "coreboot from Debian, without vboot, measures nothing: when the boot shim begins, every PCR holds the TPM's "
    "initial value, whatever lies in flash. What the boot shim measures itself (docs/measuring.md) is worth no more "
    "than the flash's write protection"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `bootshim rom pcrs` takes."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a ROM that `make rom` made")
    parser.add_argument("--bank", choices=list(SIZES), action="append", default=[],
                        help="default: sha256; may be given again")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")
    parser.set_defaults(act=show)


def show(args: argparse.Namespace) -> int:
    """Print the events and values."""
    data = args.image.read_bytes()
    banks = args.bank or [SHA256_BANK]
    if _has_slots(data):
        print(json.dumps({"schema": SCHEMA, "events": [], "pcrs": {}, "unknown": {"all": NOTHING}}) if args.json
              else NOTHING)
        return 0
    events = [(name, event) for name, event in predict(parse_image(data), banks)]
    values = {bank: values_of([event for _, event in events], bank) for bank in banks}
    if args.json:
        rows = [{"pcr": event.pcr_index, "event_type": event.event_type, "description": name,
                 "digests": {bank: digest.hex() for bank, digest in event.digests.items()}} for name, event in events]
        pcrs = {bank: {str(pcr): value.hex() for pcr, value in row.items()} for bank, row in values.items()}
        print(json.dumps({"schema": SCHEMA, "events": rows, "pcrs": pcrs,
                          "unknown": {str(pcr): reason for pcr, reason in UNKNOWN.items()}}, indent=2))
        return 0
    for name, event in events:
        print(f"PCR {event.pcr_index:2}  {name}")
    for pcr, reason in UNKNOWN.items():
        print(f"PCR {pcr:2}  value not known: {reason}")
    for bank, row in values.items():
        for pcr, value in row.items():
            print(f"{pcr}:{bank}={value.hex()}")
    return 0


def values_of(events: list[LogEvent], bank: str) -> dict[int, bytes]:
    """Return the values by PCR, without those of which not every event is known."""
    found = replay(events, bank, hashlib.sha256)
    return {pcr: value for pcr, value in sorted(found.items()) if pcr not in UNKNOWN}


def predict(image: Image, banks: list[str]) -> Iterator[tuple[str, LogEvent]]:
    """Yield what is measured up to the boot shim's start, PCR by PCR in order, each with what it is."""
    uki = payload_of(image)
    parts = split_uki(uki)

    def event(pcr: int, kind: int, name: str, content: bytes) -> tuple[str, LogEvent]:
        digests = {bank: bank_digest(bank, content, hashlib.sha256) for bank in banks}
        return name, LogEvent(pcr_index=pcr, event_type=kind, digests=digests, event=b"")

    def program(name: str, content: bytes) -> tuple[str, LogEvent]:
        digests = {bank: _image_digest(bank, content) for bank in banks}
        return name, LogEvent(pcr_index=4, event_type=EV_EFI_BOOT_SERVICES_APPLICATION, digests=digests, event=b"")

    yield event(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, "the DXE volume, with the payload in it", _volume_around(image).raw)
    for pcr in (2, 3, 6):
        yield event(pcr, EV_SEPARATOR, "separator", SEPARATOR)
    yield event(4, EV_EFI_ACTION, CALLING.decode(), CALLING)
    yield event(4, EV_SEPARATOR, "separator", SEPARATOR)
    yield program("the UKI in the place of the Shell, as Authenticode has it", uki)
    yield program("the kernel in the UKI, likewise", bytes(parts.linux))
    yield event(5, EV_SEPARATOR, "separator", SEPARATOR)
    for text in EXITING:
        yield event(5, EV_EFI_ACTION, text.decode(), text)
    for name, vendor, content in SECURE_BOOT:
        yield event(7, EV_EFI_VARIABLE_DRIVER_CONFIG, f"variable {name}", _variable(name, vendor, content))
    yield event(7, EV_SEPARATOR, "separator", SEPARATOR)
    yield event(9, EV_EVENT_TAG, "command line, by the kernel's EFI stub", utf16(parts.command_line()))
    initrd = bytes(parts.initrd or b"")  # systemd-stub fills it up to a multiple of four bytes, and appends its own
    yield event(9, EV_EVENT_TAG, "initramfs, by the kernel's EFI stub",
                initrd + bytes(-len(initrd) % 4) + pack_embedded(parts))
    for one in measure_uki(uki, None):
        measured = one.event(banks, hashlib.sha256)
        yield f"{one.description}, by systemd-stub", LogEvent(pcr_index=measured.pcr, event_type=EV_IPL,
                                                              digests=measured.digests, event=measured.data)


def payload_of(image: Image) -> bytes:
    """Return the UKI that lies in the place of the Shell. Raises ConfigError where that is none."""
    programs = [one.content for one in parse_sections(find_file(image, SHELL).body) if one.type == PE32]
    try:
        split_uki(programs[0] if programs else b"")
    except FormatError as problem:
        raise ConfigError(f"there is no UKI in the place of the Shell: {problem}", file=SHELL) from problem
    return programs[0]


def _volume_around(image: Image) -> Volume:
    """Return the innermost volume that has the payload in it."""
    return next(node.thing for node in walk(image)
                if isinstance(node.thing, Volume) and any(file.name == SHELL for file in node.thing.files))


def _image_digest(bank: str, content: bytes) -> bytes:
    running = new_bank_hash(bank, hashlib.sha256)
    return update_hash(running, content, hashed_ranges(parse_pe(content), len(content)))


def _variable(name: str, vendor: str, content: bytes) -> bytes:
    """Return how a variable is measured. Spec: the profile, 10.2.6 (UEFI_VARIABLE_DATA)."""
    text = name.encode("utf-16-le")
    return guid_bytes(vendor) + len(name).to_bytes(8, "little") + len(content).to_bytes(8, "little") + text + content


def _has_slots(data: bytes) -> bool:
    try:
        return {region.name for region in find_map(data).regions}.issuperset(SLOTS)
    except FormatError:
        return False
