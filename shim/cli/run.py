"""Boot a disk image through the boot shim in QEMU, and say what came of it.

  bootshim run image.raw --expect "login:"
  bootshim run image.raw --engine file --policy policy.toml --expect REGEX --junit result.xml --keep DIR
  bootshim run --kernel K --initramfs I --disk image.raw

With IMAGE a boot shim is made for the purpose: it shows no menu, takes the engine and the policy that are asked for
(without --policy it takes everything unsigned, and says so), and resets when nothing boots. REGEX counts only after
the jump. With --initramfs the boot shim is the one that `bootshim build` made, and REGEX counts from the beginning.

The kernel is the boot shim's own, the one that the firmware would start. No image is written to. The machine is ended
when the expected text has come, when it switches itself off or resets, or when the time is over.

KVM is used where it carries this kernel, which is tried once, else emulation; BOOTSHIM_ACCEL=kvm or tcg overrides that.

Exit status of this verb: 0 the text was seen; 1 a kernel was started and ended without it, or the machine failed;
3 the boot shim started nothing; 4 the time was over; 2 wrong usage or input.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli.qemu import FIRMWARES, INTERFACES, Disk, MachineSpec, Qemu
from shim.cli.run_image import build_initramfs, credential_arguments, default_kernel, keep, write_junit
from shim.errors import ConfigError, printable
from shim.report import BEGIN_LINE, END_LINE
from shim.ui.table import TABLE_BEGIN, TABLE_END, report_table
from shim.values import Value

if TYPE_CHECKING:
    import argparse

HELP = "boot a disk image through the boot shim in QEMU, with the boot report printed"
SCHEMA = "bootshim.run/1"
BASE_CMDLINE = "console=ttyS0 quiet"
ENGINES = ("auto", "load", "file")
# Without --expect: a kernel says hello after the boot shim tried an entry.
DEFAULT_EXPECT = r"bootshim: trying [\s\S]*Linux version "
DEFAULT_EXPECT_AFTER_JUMP = "login:"
STATUS = {"seen": 0, "failed": 1, "refused": 3, "timeout": 4}
NOTHING_BOOTED = "bootshim: nothing was booted"
TRYING = "bootshim: trying "
TARGET_COPY = re.compile(r"bootshim-target-report-begin\r?\n(.*?)\r?\nbootshim-target-report-end", re.DOTALL)


class Outcome(Value):
    """What came of a run. `verdict` is a key of STATUS, `sentence` says it; `match` is what was seen."""

    verdict: str
    sentence: str
    serial: str
    report: dict[str, Any] | None
    seconds: float
    ended: str | None
    match: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="a raw disk image: the one to boot")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="with IMAGE: who loads (default: auto)")
    parser.add_argument("--policy", type=Path, metavar="FILE",
                        help="with IMAGE: TOML with the tables [policy…]; files that it names lie beside it")
    parser.add_argument("--kernel", type=Path, metavar="FILE",
                        help="the boot shim's own kernel (default with IMAGE: this machine's newest in /boot)")
    parser.add_argument("--kernel-modules", type=Path, metavar="DIR",
                        help="with IMAGE: its /lib/modules/VERSION (default: the one that belongs to its name)")
    parser.add_argument("--initramfs", type=Path, metavar="FILE", help="what `bootshim build` made")
    parser.add_argument("--disk", type=Path, action="append", default=[], metavar="FILE",
                        help="a raw disk image, after IMAGE; may be given again")
    parser.add_argument("--disk-interface", choices=list(INTERFACES), default="virtio", help="default: virtio")
    parser.add_argument("--memory", type=int, default=2048, metavar="MiB", help="default: 2048")
    parser.add_argument("--firmware", choices=FIRMWARES, default="bios", help="default: bios")
    parser.add_argument("--append", default="", help=f"more for the command line of the boot shim's kernel "
                                                     f"(it has: {BASE_CMDLINE})")
    parser.add_argument("--credential", action="append", default=[], metavar="NAME=VALUE",
                        help="a credential for the booted system, through SMBIOS; may be given again")
    parser.add_argument("--expect", metavar="REGEX",
                        help=f"what must come out of the serial port (default with IMAGE: "
                             f"{DEFAULT_EXPECT_AFTER_JUMP} else the greeting of a second kernel)")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="default: 120")
    parser.add_argument("--serial", type=Path, metavar="FILE", help="keep everything the serial port said")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the result as JUnit XML")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep serial.log and report.json there")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Boot; exit 0 only when the expected text was seen."""
    check_files(args)
    with tempfile.TemporaryDirectory(prefix="bootshim-run-") as folder:
        outcome = boot(spec_of(args, Path(folder)), args.expect, args.timeout, after_jump=args.initramfs is None)
    if args.serial is not None:
        args.serial.write_text(outcome.serial, encoding="utf-8")
    if args.keep is not None:
        keep(args.keep, outcome)
    if args.junit is not None:
        write_junit(args.junit, args.image or args.disk[0], outcome)
    if args.json:
        print(json.dumps({
            "schema": SCHEMA, "seen": outcome.verdict == "seen", "verdict": outcome.verdict, "ended": outcome.ended,
            "seconds": round(outcome.seconds, 2), "report": outcome.report}, indent=2))  # fmt: skip
    else:
        show(outcome)
    return STATUS[outcome.verdict]


def spec_of(args: argparse.Namespace, folder: Path) -> MachineSpec:
    """Return the machine that is asked for; with IMAGE its initramfs is built into `folder`."""
    initramfs = args.initramfs
    if initramfs is None:
        initramfs = folder / "initramfs"
        build_initramfs(initramfs, engine=args.engine, policy=args.policy, kernel=args.kernel,
                        modules=args.kernel_modules, interface=args.disk_interface)
    disks = [*([args.image] if args.image else []), *args.disk]
    return MachineSpec(
        kernel=args.kernel, initramfs=initramfs, memory=args.memory, firmware=args.firmware,
        cmdline=f"{BASE_CMDLINE} {args.append}".strip(), extra=credential_arguments(args.credential),
        disks=tuple(Disk(path=path, interface=args.disk_interface) for path in disks),
    )  # fmt: skip


def boot(spec: MachineSpec, expect: str, timeout: float, *, after_jump: bool) -> Outcome:
    """Start the machine and wait for the expected text; say what came of it."""
    with Qemu(spec) as machine:
        found = _wait(machine, expect, timeout, after_jump)
        verdict = "seen" if found else _verdict(machine.serial, machine.ended)
        ending = {None: "the machine was still running", "off": "the machine switched itself off",
                  "reset": "the machine reset itself", "failed": "the machine failed"}[machine.ended]
        what = {"seen": "seen", "failed": "NOT seen", "timeout": "NOT seen in time",
                "refused": "NOT seen: the boot shim started nothing"}[verdict]
        return Outcome(
            verdict=verdict, serial=machine.serial, report=find_report(machine.serial), seconds=machine.seconds,
            ended=machine.ended, match=found,
            sentence=f"{what} after {machine.seconds:.1f} s ({ending}): {expect}",
        )  # fmt: skip


def _wait(machine: Qemu, expect: str, timeout: float, after_jump: bool) -> str | None:
    """Return what was seen of the expected text, None if it did not come; with `after_jump` of the target alone."""
    start = 0
    while True:
        left = timeout - machine.seconds
        if after_jump:
            jump = machine.read_until(rf"{END_LINE}\r?\n|{NOTHING_BOOTED}", left, start)
            if jump is None or jump[0] == NOTHING_BOOTED:
                return None
            start = jump.end()
        found = machine.read_until(expect, timeout - machine.seconds, start)
        if found is None:
            return None
        if not after_jump or TRYING not in machine.serial[start : found.end()]:
            return found[0]
        start = machine.serial.index(TRYING, start)


def _verdict(serial: str, ended: str | None) -> str:
    """Say why the text did not come: a boot shim that gives up says so, after its last try."""
    if NOTHING_BOOTED in serial:
        return "refused"
    return "failed" if ended is not None else "timeout"


def check_files(args: argparse.Namespace) -> None:
    """Refuse what QEMU would only say in riddles, and fill in what was not said."""
    if args.image is None and args.initramfs is None:
        raise ConfigError("name a disk image, or an initramfs")
    if args.expect is None:
        args.expect = DEFAULT_EXPECT_AFTER_JUMP if args.initramfs is None else DEFAULT_EXPECT
    if args.kernel is None:
        args.kernel = default_kernel()
    try:
        re.compile(args.expect)
    except re.error as problem:
        raise ConfigError("--expect is not a regular expression", found=args.expect, problem=str(problem)) from problem
    for path in (args.kernel, args.initramfs, args.image, args.policy, *args.disk):
        if path is not None and not path.is_file():
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


def show(outcome: Outcome) -> None:
    """Print what happened: the report as a table, with the times of its stages, else the end of the serial output."""
    if outcome.report is not None:
        print(report_table(outcome.report), end="")
    else:
        for line in find_table(outcome.serial) or outcome.serial.splitlines()[-40:]:
            print(printable(line, 200))
    print(f"bootshim run: {outcome.sentence}")
    sys.stdout.flush()
