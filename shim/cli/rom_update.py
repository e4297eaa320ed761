"""Make, check and apply signed updates of a board with slots, on images of the whole flash chip; never on hardware.

  bootshim manifest --root build/rom --version 2 coreboot-q35.payload > update.toml
  minisign -S -s release.key -m update.toml
  bootshim rom update make update.toml --root build/rom --output coreboot-q35-2.update
  bootshim rom update check coreboot-q35-2.update --policy my.toml
  bootshim rom update apply coreboot-q35-2.update read.rom --policy my.toml --output write.rom
  flashrom -p internal --fmap -i BOOTSHIM_B -N -w write.rom

The slot that the firmware runs from is never written: an update goes into the other one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from shim.cli.verify import SIGNATURE_SIZE_MAX, read_file, read_text, sentence
from shim.config import parse_config
from shim.errors import ConfigError, FormatError, VerifyError
from shim.formats.fmap import find_map, write_region
from shim.formats.manifest import Manifest, parse_manifest
from shim.formats.rom_update import Update, board_of, build_update, parse_update
from shim.formats.slot import SLOTS, Slot, build_slot, chosen, read_slots
from shim.model import Role
from shim.verify import judge_piece
from shim.verify.manifest import read_manifest
from shim.verify.piece import Piece

if TYPE_CHECKING:
    import argparse

SUFFIXES = (".minisig", ".sig", ".asc")
IMAGE_SIZE_MAX = 256 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `bootshim rom update` takes."""
    parts = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    part = parts.add_parser("make", help="put a signed manifest and its payload into one file")
    part.add_argument("manifest", type=Path, metavar="MANIFEST.toml", help="signed; the signature lies beside it")
    part.add_argument("--root", type=Path, default=Path("."), metavar="DIR", help="where the payload lies (default: .)")
    part.add_argument("--output", type=Path, required=True, metavar="FILE", help="the update file to write")
    part.set_defaults(act=make)
    part = parts.add_parser("check", help="say whether an update is trusted")
    part.add_argument("update", type=Path, metavar="UPDATE", help="the update file")
    _policy(part)
    part.set_defaults(act=check)
    part = parts.add_parser("apply", help="write an image with the update in the slot that is not in use")
    part.add_argument("update", type=Path, metavar="UPDATE", help="the update file")
    part.add_argument("image", type=Path, metavar="IMAGE", help="what was read from the chip; it is not changed")
    _policy(part)
    part.add_argument("--output", type=Path, required=True, metavar="FILE", help="the image to write")
    part.set_defaults(act=apply)


def _policy(part: argparse.ArgumentParser) -> None:
    part.add_argument("--policy", required=True, metavar="CONFIG.toml",
                      help="the configuration whose policy.manifest judges the signature")


def make(args: argparse.Namespace) -> int:
    """Write an update file."""
    manifest = read_file(str(args.manifest))
    parsed = parse_manifest(manifest)
    board = board_of(parsed)
    signatures = [suffix for suffix in SUFFIXES if Path(f"{args.manifest}{suffix}").is_file()]
    if len(signatures) != 1:
        raise ConfigError("one signature must lie beside the manifest", manifest=str(args.manifest),
                          suffixes=" ".join(SUFFIXES), found=len(signatures))
    payload = read_file(str(args.root / parsed.files[0].name.lstrip("/")))
    _check_payload(parsed, payload)
    signature = read_file(f"{args.manifest}{signatures[0]}", SIGNATURE_SIZE_MAX)
    update = Update(manifest=manifest, signature=signature, suffix=signatures[0], payload=payload)
    _write(args.output, build_update(update))
    print(f"{args.output}: version {parsed.version} for {board}, {len(payload)} bytes of payload")
    return 0


def check(args: argparse.Namespace) -> int:
    """Say what an update is; exit 0 only when it is trusted and whole."""
    try:
        manifest, update = _trusted(args)
    except VerifyError as problem:
        print(problem)
        return 1
    print(f"{args.update}: version {manifest.version} for {board_of(manifest)}, {len(update.payload)} bytes of payload")
    return 0


def apply(args: argparse.Namespace) -> int:
    """Write the image with the update in it; exit 1 when the update is not trusted, or not newer."""
    try:
        manifest, update = _trusted(args)
        name, made = updated(read_file(str(args.image), IMAGE_SIZE_MAX), manifest, update.payload)
    except VerifyError as problem:
        print(problem)
        return 1
    _write(args.output, made)
    print(f"{args.output}: version {manifest.version} in {name}; no byte outside of it is changed. To flash it:")
    print(f"  flashrom -p internal --fmap -i {name} -N -w {args.output}")
    return 0


def updated(image: bytes, manifest: Manifest, payload: bytes) -> tuple[str, bytes]:
    """Return the slot that was written, and the image.

    Raises VerifyError for another board's update and for one that is not newer than what runs, FormatError for an
    image without slots.
    """
    slots = read_slots(image)
    running = chosen(slots)
    if running is None:
        raise FormatError("no slot of the image is whole: an update would leave none to fall back to",
                          **{name.lower(): str(slots[name]) for name in SLOTS})
    now, board = slots[running], board_of(manifest)
    if isinstance(now, Slot) and board != now.board:
        raise VerifyError("the update is for another board", expected=now.board, found=board)
    if isinstance(now, Slot) and manifest.version <= now.version:
        raise VerifyError("the update is not newer than what runs", running=now.version, found=manifest.version)
    target = next(name for name in SLOTS if name != running)
    region, kept = find_map(image).region(target), find_map(image).region(running)
    if region.offset < kept.end and kept.offset < region.end:
        raise FormatError("the slots overlap: an update would damage what runs", slot=target, running=running)
    return target, write_region(image, region, build_slot(payload, manifest.version, board, region.size))


def _trusted(args: argparse.Namespace) -> tuple[Manifest, Update]:
    """Return what an update holds once its signature is trusted. Raises VerifyError, FormatError."""
    source = Path(args.policy)
    policy = parse_config(read_text(source), str(source), lambda name: read_file(str(source.parent / name))).policy
    update = parse_update(read_file(str(args.update)))
    piece = Piece(Role.MANIFEST, str(args.update), update.manifest, hashlib.sha256(update.manifest).digest(),
                  hashlib.sha256, {update.suffix: update.signature})
    verdict = judge_piece(piece, policy)
    print(sentence(verdict))
    proof = read_manifest(piece, verdict, policy)
    if proof.manifest is None:
        raise VerifyError(proof.problem)
    board_of(proof.manifest)
    _check_payload(proof.manifest, update.payload)
    return proof.manifest, update


def _check_payload(manifest: Manifest, payload: bytes) -> None:
    row, found = manifest.files[0], hashlib.sha256(payload).digest()
    if (row.size, row.sha256) != (len(payload), found):
        raise VerifyError("the payload is not what the manifest lists", expected=row.sha256, found=found)


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)
