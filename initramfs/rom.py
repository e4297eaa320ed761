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
from initramfs.steps import put
from shim.errors import ConfigError, ShimError

if TYPE_CHECKING:
    from collections.abc import Callable

    Board = Callable[[bytes, bytes, str], bytes]

ROOT = HERE.parent
CMDLINE = "console=ttyS0 quiet"
BOARDS: dict[str, Board] = {"ovmf-q35": build_ovmf, "coreboot-q35": build_coreboot}
PAYLOADS: dict[str, Board] = {"coreboot-q35": linux_payload}  # boards with slots


def build_rom(board: str, kernel: Path, initramfs: Path, output: Path, cmdline: str = CMDLINE) -> Path:
    """Write the ROM of a board; for one with slots the payload as well, beside it: an update carries that.

    Raises ConfigError for a board that is not known.
    """
    if board not in BOARDS:
        raise ConfigError("no such board", found=board, known=" ".join(BOARDS))
    started = time.monotonic()
    parts = kernel.read_bytes(), initramfs.read_bytes(), cmdline
    for path, made in {output: BOARDS, output.with_suffix(".payload"): PAYLOADS}.items():
        if board in made:
            put(made[board](*parts), path)
    print(f"{output}: {output.stat().st_size} bytes (kernel {len(parts[0])}, initramfs {len(parts[1])}), "
          f"in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return output


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m initramfs.rom", description="Build a ROM.")
    parser.add_argument("board", choices=list(BOARDS))
    parser.add_argument("--kernel", type=Path, default=ROOT / "build/bzImage", help="default: build/bzImage")
    parser.add_argument("--initramfs", type=Path, required=True, help="what `bootshim build` made")
    parser.add_argument("--cmdline", default=CMDLINE, help=f"the kernel's command line (default: {CMDLINE})")
    parser.add_argument("--output", type=Path, help="default: build/rom/BOARD.rom")
    args = parser.parse_args()
    try:
        build_rom(args.board, args.kernel, args.initramfs, args.output or ROOT / f"build/rom/{args.board}.rom",
                  args.cmdline)
    except (ShimError, OSError) as problem:
        print(f"rom: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
