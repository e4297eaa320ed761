"""`bootshim run`: boot an initramfs and a disk image in QEMU, and say what the boot shim reported.

The kernel is the boot shim's own, the one that the firmware would start. The disk is not written. The machine is
ended when the expected text has come, when it switches itself off or resets, or when the time is over.

KVM is used where it carries this kernel, which is tried once, else emulation; BOOTSHIM_ACCEL=kvm or tcg overrides that.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli.qemu import FIRMWARES, INTERFACES, Disk, MachineSpec, Qemu
from shim.errors import ConfigError, printable
from shim.report import BEGIN_LINE, END_LINE
from shim.ui.table import TABLE_BEGIN, TABLE_END, report_table

if TYPE_CHECKING:
    import argparse

HELP = "boot an initramfs and a disk image in QEMU, with the boot report printed"
SCHEMA = "bootshim.run/1"
BASE_CMDLINE = "console=ttyS0 quiet"
# Without --expect: a kernel says hello after the boot shim tried an entry.
DEFAULT_EXPECT = r"bootshim: trying [\s\S]*Linux version "
TARGET_COPY = re.compile(r"bootshim-target-report-begin\r?\n(.*?)\r?\nbootshim-target-report-end", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--kernel", type=Path, required=True, help="the boot shim's own kernel")
    parser.add_argument("--initramfs", type=Path, required=True, help="what `bootshim build` made")
    parser.add_argument("--disk", type=Path, action="append", default=[], help="a raw disk image; may be given again")
    parser.add_argument("--disk-interface", choices=list(INTERFACES), default="virtio", help="default: virtio")
    parser.add_argument("--memory", type=int, default=2048, metavar="MiB", help="default: 2048")
    parser.add_argument("--firmware", choices=FIRMWARES, default="bios", help="default: bios")
    parser.add_argument("--append", default="", help=f"more for the command line of the boot shim's kernel "
                                                     f"(it has: {BASE_CMDLINE})")
    parser.add_argument("--expect", default=DEFAULT_EXPECT, metavar="REGEX",
                        help="what must come out of the serial port (default: the greeting of a second kernel)")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="default: 120")
    parser.add_argument("--serial", type=Path, metavar="FILE", help="keep everything the serial port said")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Boot; exit 0 only when the expected text was seen."""
    check_files(args)
    spec = MachineSpec(
        kernel=args.kernel, initramfs=args.initramfs, memory=args.memory, firmware=args.firmware,
        cmdline=f"{BASE_CMDLINE} {args.append}".strip(),
        disks=tuple(Disk(path=path, interface=args.disk_interface) for path in args.disk),
    )  # fmt: skip
    with Qemu(spec) as machine:
        seen = machine.read_until(args.expect, args.timeout) is not None
        seconds = machine.seconds
    if args.serial is not None:
        args.serial.write_text(machine.serial, encoding="utf-8")
    report = find_report(machine.serial)
    if args.json:
        outcome = {"schema": SCHEMA, "seen": seen, "ended": machine.ended, "seconds": round(seconds, 2),
                   "report": report}
        print(json.dumps(outcome, indent=2))
    else:
        show(machine, report, seen, args.expect, seconds)
    return 0 if seen else 1


def check_files(args: argparse.Namespace) -> None:
    """Refuse what QEMU would only say in riddles."""
    try:
        re.compile(args.expect)
    except re.error as problem:
        raise ConfigError("--expect is not a regular expression", found=args.expect, problem=str(problem)) from problem
    for path in (args.kernel, args.initramfs, *args.disk):
        if not path.is_file():
            raise ConfigError("there is no such file", path=str(path))


def find_report(serial: str) -> dict[str, Any] | None:
    """Return the last boot report that was printed as JSON, by the boot shim or by the one who got it; else None."""
    text = serial.replace("\r", "")
    printed = [part.partition(f"\n{END_LINE}")[0] for part in text.split(f"{BEGIN_LINE}\n")[1:]]
    for candidate in reversed([*(found[1] for found in TARGET_COPY.finditer(text)), *printed]):
        try:
            report: dict[str, Any] = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        return report
    return None


def find_table(serial: str) -> list[str]:
    """Return the lines of the last boot report that was printed as a table; none where there is no whole one."""
    lines = serial.replace("\r", "").splitlines()
    begins = [at for at, line in enumerate(lines) if line.startswith(TABLE_BEGIN)]
    if not begins or TABLE_END not in lines[begins[-1] :]:
        return []
    return lines[begins[-1] : lines.index(TABLE_END, begins[-1]) + 1]


def show(machine: Qemu, report: dict[str, Any] | None, seen: bool, expect: str, seconds: float) -> None:
    """Print what happened: the report as a table, else the end of the serial output."""
    if report is not None:
        print(report_table(report), end="")
    else:
        for line in find_table(machine.serial) or machine.serial.splitlines()[-40:]:
            print(printable(line, 200))
    ending = {None: "the machine was still running", "off": "the machine switched itself off",
              "reset": "the machine reset itself", "failed": "the machine failed"}[machine.ended]
    print(f"bootshim run: {'seen' if seen else 'NOT seen'} after {seconds:.1f} s ({ending}): {expect}")
    sys.stdout.flush()
