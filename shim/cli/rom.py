"""Look into a firmware image made of EFI firmware volumes, and change what is in it.

  bootshim rom list OVMF_CODE_4M.fd
  bootshim rom extract OVMF_CODE_4M.fd 7c04a583-9e3e-4f1c-ad65-e05268d0b4d1 --output shell.efi
  bootshim rom replace OVMF_CODE_4M.fd 7c04a583-9e3e-4f1c-ad65-e05268d0b4d1 linux.efi --size 16M --output rom.fd
  bootshim rom drop OVMF_CODE_4M.fd 93b80004-9fb3-11d4-9a3a-0090273fc14d --output smaller.fd

A file is named by its GUID, wherever in the volumes it lies. What cannot be written back byte for byte is not
changed, and what is not on the way to the changed file stays as it is. Nothing here touches hardware. docs/flash.md
tells what to do with an image.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli import rom_pcrs, rom_update
from shim.errors import ConfigError, FormatError, printable
from shim.formats.efi_encapsulation import NAMES
from shim.formats.efi_file import PAD, FirmwareFile
from shim.formats.efi_file import TYPES as FILE_TYPES
from shim.formats.efi_image import (
    IMAGE_SIZE_MAX,
    Image,
    drop,
    edit_image,
    find_file,
    parse_image,
    replace_section,
    walk,
)
from shim.formats.efi_section import TYPES as SECTION_TYPES
from shim.formats.efi_section import parse_sections
from shim.formats.efi_volume import FILE_SYSTEMS, Volume
from shim.formats.fmap import find_map
from shim.formats.guid import guid_bytes
from shim.formats.slot import SLOTS, Slot, chosen, read_slots

if TYPE_CHECKING:
    from shim.formats.efi_image import Edit, Node

HELP = "look into a firmware image, and change what is in it"
SCHEMA = "bootshim.rom/1"
SECTIONS = {name: number for number, name in SECTION_TYPES.items() if name in ("pe32", "te", "raw", "ui", "version")}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parts = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    part = parts.add_parser("list", help="say what is in an image")
    part.add_argument("image", type=Path, metavar="IMAGE", help="the firmware image")
    part.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")
    part.set_defaults(act=list_image)
    part = parts.add_parser("extract", help="write a file's section, or the whole file")
    _common(part)
    part.add_argument("name", type=guid, metavar="GUID", help="the file")
    part.add_argument("--section", choices=[*SECTIONS, "all"], default="pe32",
                      help="default: pe32, the program; all: the file with its header")
    part.set_defaults(act=extract)
    part = parts.add_parser("replace", help="give a file another program")
    _common(part)
    part.add_argument("name", type=guid, metavar="GUID", help="the file")
    part.add_argument("file", type=Path, metavar="FILE", help="what its section will hold")
    part.add_argument("--section", choices=list(SECTIONS), default="pe32", help="default: pe32, the program")
    part.add_argument("--drop", type=guid, action="append", default=[], metavar="GUID",
                      help="drop this file as well, to make room; may be given again")
    part.add_argument("--size", type=size, metavar="SIZE", help="make the image so long, at its bottom: 16M, for one")
    part.set_defaults(act=replace)
    part = parts.add_parser("drop", help="take files out")
    _common(part)
    part.add_argument("name", type=guid, nargs="+", metavar="GUID", help="the files")
    part.set_defaults(act=drop_files)
    part = parts.add_parser("regions", help="list the FMAP of an image, and what is in its slots")
    part.add_argument("image", type=Path, metavar="IMAGE", help="an image of the whole flash chip")
    part.set_defaults(act=list_regions)
    rom_update.add_arguments(parts.add_parser(
        "update", help="make, check and apply signed updates of a board with slots", description=rom_update.__doc__,
        formatter_class=parser.formatter_class))
    rom_pcrs.add_arguments(parts.add_parser(
        "pcrs", help="say what the firmware measures of the payload", description=rom_pcrs.__doc__,
        formatter_class=parser.formatter_class))


def _common(part: argparse.ArgumentParser) -> None:
    part.add_argument("image", type=Path, metavar="IMAGE", help="the firmware image; it is not changed")
    part.add_argument("--output", type=Path, required=True, metavar="FILE", help="what to write")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; exit 0 when it is done."""
    status: int = args.act(args)
    return status


def list_image(args: argparse.Namespace) -> int:
    """Print everything that is in an image."""
    image = read_image(args.image)
    if args.json:
        rows = [_row(node) for node in walk(image)]
        json.dump({"schema": SCHEMA, "size": len(image.raw), "content": rows}, sys.stdout, indent=2)
        print()
        return 0
    for node in walk(image):
        row = _row(node)
        words = [f"{'  ' * node.depth}{row['at']:#x}", row["kind"], row["type"], row.get("guid") or "",
                 f"{row['size']} bytes", printable(row.get("name") or "", 80)]
        if isinstance(node.thing, Volume):
            words.append(f"{node.thing.used * 100 // node.thing.length} % used")
        if node.problem:
            words.append(f"not taken apart: {node.problem}")
        print("  ".join(word for word in words if word))
    return 0


def extract(args: argparse.Namespace) -> int:
    """Write a part of a file."""
    file = find_file(read_image(args.image), args.name)
    if args.section == "all":
        data = file.raw
    else:
        found = [one for one in parse_sections(file.body) if one.type == SECTIONS[args.section]]
        if len(found) != 1:
            raise ConfigError("the file has not just one section of this type", file=args.name, type=args.section,
                              found=len(found))
        data = found[0].content
    write(args.output, data)
    print(f"{args.output}: {len(data)} bytes")
    return 0


def replace(args: argparse.Namespace) -> int:
    """Write an image in which a file has other content."""
    edits: dict[str, Edit] = dict.fromkeys(args.drop, drop)
    edits[args.name] = replace_section(SECTIONS[args.section], args.file.read_bytes())
    return _write_edited(args, edits, args.size)


def drop_files(args: argparse.Namespace) -> int:
    """Write an image without some files."""
    return _write_edited(args, dict.fromkeys(args.name, drop), None)


def list_regions(args: argparse.Namespace) -> int:
    """Print the regions of a chip by its FMAP, and what is in those that are slots."""
    image = args.image.read_bytes()
    flash = find_map(image)
    names = {region.name for region in flash.regions}
    slots = read_slots(image) if names.issuperset(SLOTS) else {}
    running = chosen(slots)
    for region in flash.regions:
        words = [f"{region.offset:#010x}", f"{region.size:#010x}", printable(region.name, 32), *region.flag_names]
        slot = slots.get(region.name)
        if isinstance(slot, Slot):
            runs = ", runs" if region.name == running else ""
            words.append(f"version {slot.version} for {printable(slot.board, 40)}{runs}")
        elif slot is not None:
            words.append(str(slot))
        print("  ".join(words))
    return 0


def _write_edited(args: argparse.Namespace, edits: dict[str, Edit], length: int | None) -> int:
    made = edit_image(read_image(args.image), edits, length)
    write(args.output, made.raw)
    print(f"{args.output}: {len(made.raw)} bytes")
    for node in walk(made):
        if isinstance(node.thing, Volume) and not node.problem:
            used = node.thing.used * 100 // node.thing.length
            print(f"  volume {node.name}: {node.thing.length} bytes, {used} % used")
    return 0


def read_image(path: Path) -> Image:
    """Return the image in a file."""
    if path.stat().st_size > IMAGE_SIZE_MAX:
        raise ConfigError("the firmware image is too long", path=str(path), limit=IMAGE_SIZE_MAX)
    return parse_image(path.read_bytes())


def write(path: Path, data: bytes) -> None:
    """Write a file so that there is the old one or the new one, never half of it."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)


def guid(text: str) -> str:
    """Return a GUID in lower case, for argparse."""
    try:
        guid_bytes(text)
    except FormatError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    return text.lower()


def size(text: str) -> int:
    """Return a size in bytes, for argparse."""
    found = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([KM]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"not a size, a number with K or M behind it: {text}")
    return int(found[1], 0) * UNITS[found[2]]


def _row(node: Node) -> dict[str, Any]:
    thing = node.thing
    row: dict[str, Any] = {"depth": node.depth, "at": node.at}
    if isinstance(thing, Volume):
        kind = FILE_SYSTEMS.get(thing.file_system, thing.file_system)
        row |= {"kind": "volume", "type": kind, "guid": thing.name, "size": thing.length, "used": thing.used}
    elif isinstance(thing, FirmwareFile):
        name = None if thing.type == PAD else thing.name
        row |= {"kind": "file", "type": FILE_TYPES.get(thing.type, hex(thing.type)), "guid": name,
                "size": len(thing.raw), "name": node.name}
    else:
        row |= {"kind": "section", "type": SECTION_TYPES.get(thing.type, hex(thing.type)), "guid": thing.guid,
                "size": thing.size, "name": NAMES.get(thing.guid or "")}
    return {**row, "problem": node.problem}
