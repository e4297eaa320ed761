"""`make rom-demo`: a machine that has a ROM and a disk, and nothing else, comes up to the second kernel.

`python -m tests.vm.rom BOARD=ovmf-q35 [KERNEL=build/bzImage] [BUILD=only]` makes the demo's disk, an initramfs that
trusts what is on it, and the ROM of the board; then power-on. The exit status is 0 only when the second kernel
printed the token that was made for this run. BUILD=only stops when the ROM is made.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from initramfs.kernel import IMAGE, build_kernel
from initramfs.rom import BOARDS, build_rom
from shim.cli.qemu import Disk, MachineSpec, Qemu
from shim.cli.run import find_report
from shim.errors import ShimError
from shim.ui.timeline import timeline
from tests.builders.target import END, parse_facts
from tests.vm.demo import IDS, command, compose, say

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "build" / "rom"
ENTRY = "bls"
SECONDS = 180.0
MEMORY = 1024
TRYING = r"bootshim: trying "
# What the firmware says last; where it says nothing, its time is part of the kernel's.
STARTED = {"ovmf-q35": r"BdsDxe: starting ", "coreboot-q35": r"bootshim: BOOTSHIM_[AB], version "}


class Powered(NamedTuple):
    """A machine that was switched on: what it said, and when (in seconds of the host) what was first seen."""

    serial: str
    seen: dict[str, float]


def main(arguments: list[str]) -> int:
    """Run the demo; return its exit status."""
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    board = given.get("BOARD", "")
    if board not in BOARDS or len(given) != len(arguments) or set(given) - {"BOARD", "KERNEL", "BUILD"}:
        print(f"usage: rom BOARD={'|'.join(BOARDS)} KERNEL=bzImage BUILD=only", file=sys.stderr)
        return 2
    kernel = Path(given.get("KERNEL") or flash_kernel())
    if not kernel.is_file():
        print(f"rom: there is no flash kernel at {kernel}: make kernel", file=sys.stderr)
        return 1
    try:
        rom, disk, token = make(DIRECTORY, board, kernel)
        if given.get("BUILD") == "only":
            return 0
        say(f"power-on: the ROM, the disk, and nothing else; the second kernel must print {token}")
        return show(power_on(rom, disk, board, token), board, token)
    except ShimError as problem:
        print(f"rom: {problem}", file=sys.stderr)
        return 1


def flash_kernel() -> Path:
    """Return our own, built where it is not in the cache."""
    return build_kernel() / IMAGE


def make(directory: Path, board: str, kernel: Path) -> tuple[Path, Path, str]:
    """Return the ROM, the disk, and the token of the disk's entry. The ROM trusts that disk alone."""
    demo = compose(directory / f"{board}.disk", "auto", ENTRY)
    initramfs = demo.directory / "initramfs.xz"
    if command("build", "--config", demo.config, "--output", initramfs) != 0:
        raise ShimError("no initramfs was built", config=str(demo.config))
    return build_rom(board, kernel, initramfs, directory / f"{board}.rom"), demo.disk, demo.tokens[ENTRY]


def power_on(rom: Path, disk: Path, board: str, token: str, extra: tuple[str, ...] = ()) -> Powered:
    """Run until the token was printed, or the time is over."""
    spec = MachineSpec(rom=rom, disks=(Disk(path=disk),), memory=MEMORY, extra=extra)
    seen: dict[str, float] = {}
    with Qemu(spec) as machine:
        for name, pattern in (("kernel", STARTED[board]), ("trying", TRYING), ("token", f"token={token}")):
            # What the firmware says is not waited for: a quiet one says nothing.
            wanted = pattern if name != "kernel" else f"{pattern}|{TRYING}"
            if machine.read_until(wanted, SECONDS - machine.seconds) is None:
                break
            seen[name] = machine.seconds
        if "token" in seen:
            machine.read_until(f"\n{END}\r?\n", SECONDS - machine.seconds)
        return Powered(machine.serial, seen)


def show(run: Powered, board: str, token: str) -> int:
    """Print the timeline and the verdict."""
    report, facts = find_report(run.serial), parse_facts(run.serial)
    if report is None or facts is None or facts.token != token:
        print(run.serial[-3000:], file=sys.stderr)
        print(f"rom: FAILED: the second kernel did not print {token}", file=sys.stderr)
        return 1
    print(timeline(stages(run, report)), end="")
    print(f"rom: {board}: the second kernel printed the token of {IDS[ENTRY]} {run.seen['token']:.1f} s after power-on")
    return 0


def stages(run: Powered, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the whole boot on the host's clock: the boot shim's own stages are moved to where it said "trying"."""
    own = report["stages"]
    shift = run.seen["trying"] - next(stage["start"] for stage in own if stage["name"] == "fetch")
    moved = [{**stage, "start": stage["start"] + shift, "end": stage["end"] + shift} for stage in own]
    begin, end = moved[0]["start"], moved[-1]["end"]
    kernel = min(run.seen["kernel"], begin)
    before = [{"name": "firmware", "start": 0.0, "end": kernel}, {"name": "kernel", "start": kernel, "end": begin}]
    return [*before, *moved, {"name": "second", "start": end, "end": max(run.seen["token"], end)}]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
