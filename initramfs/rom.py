"""Build a ROM: `python -m initramfs.rom BOARD --kernel bzImage --initramfs FILE` writes build/rom/BOARD.rom.

A board is a function of kernel, initramfs and command line that returns the image; docs/flash.md says what they are.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from initramfs.rom_coreboot import build_coreboot, linux_payload
from initramfs.rom_ovmf import build_ovmf
from initramfs.sources import HERE
from shim.errors import ConfigError, ShimError

if TYPE_CHECKING:
    from collections.abc import Callable

    Board = Callable[[bytes, bytes, str], bytes]

ROOT = HERE.parent
CMDLINE = "console=ttyS0 quiet"
BOARDS: dict[str, Board] = {"ovmf-q35": build_ovmf, "coreboot-q35": build_coreboot}
PAYLOADS: dict[str, Board] = {"coreboot-q35": linux_payload}  # boards with slots: what an update carries


def build_rom(
    board: str, kernel: Path, initramfs: Path, output: Path, cmdline: str = CMDLINE, *, payload_only: bool = False
) -> Path:
    """Write the ROM of a board, or only the payload of a slot. Raises ConfigError for a board that is not known."""
    boards = PAYLOADS if payload_only else BOARDS
    if board not in boards:
        raise ConfigError("no such board", found=board, known=" ".join(boards))
    started = time.monotonic()
    made = boards[board](kernel.read_bytes(), initramfs.read_bytes(), cmdline)
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(f"{output.name}.new")
    fresh.write_bytes(made)
    fresh.replace(output)
    print(f"{output}: {len(made)} bytes (kernel {kernel.stat().st_size}, initramfs {initramfs.stat().st_size}), "
          f"in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return output


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m initramfs.rom", description="Build a ROM.")
    parser.add_argument("board", choices=list(BOARDS))
    parser.add_argument("--kernel", type=Path, default=ROOT / "build/bzImage", help="default: build/bzImage")
    parser.add_argument("--initramfs", type=Path, required=True, help="what `bootshim build` made")
    parser.add_argument("--cmdline", default=CMDLINE, help=f"the kernel's command line (default: {CMDLINE})")
    parser.add_argument("--payload", action="store_true", help="make only what an update of a board with slots carries")
    parser.add_argument("--output", type=Path, help="default: build/rom/BOARD.rom, or .payload")
    args = parser.parse_args()
    output = args.output or ROOT / f"build/rom/{args.board}.{'payload' if args.payload else 'rom'}"
    try:
        build_rom(args.board, args.kernel, args.initramfs, output, args.cmdline, payload_only=args.payload)
    except (ShimError, OSError) as problem:
        print(f"rom: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
