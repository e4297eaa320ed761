"""How long each loader takes: all of them in turn, on one disk and one machine, as often as asked for.

Seconds inside the first kernel are its own ("Run /init" to "Starting new kernel", by the times of its log); those
across the jump are the host's, from one line on the serial port to the next.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shim.cli.accel import CHOICES, accelerator
from shim.cli.qemu import Disk, MachineSpec, Qemu, program
from tests.bench.peers import peer_initramfs
from tests.bench.sizes import MODULES
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.target import make_token, parse_facts, target_initrd
from tests.vm.scene import bls
from tests.vm.shimmed import debian_ca, make_shim, policy_text

MEMORY = 512
CMDLINE = "console=ttyS0"  # of both kernels; without quiet, because their lines are the clock
TIMEOUT = 120.0
RUN_INIT = r"\[ *(\d+\.\d+)\] Run /init as init process"
JUMP = r"\[ *(\d+\.\d+)\] kexec_core: Starting new kernel"
SECOND = r"Linux version "
FIGURES = {"init_to_jump": "Run /init -> Starting new kernel", "jump_to_second": "jump -> second kernel",
           "init_to_second": "Run /init -> second kernel"}


class Contender(NamedTuple):
    """A loader with one engine, and the initramfs that holds it."""

    loader: str
    engine: str
    initramfs: Path


class Run(NamedTuple):
    """Seconds of one boot; `stages` by name, from the boot shim's report, empty for the others."""

    init_to_jump: float
    jump_to_second: float
    init_to_second: float
    stages: dict[str, float]


class Bench(NamedTuple):
    """What all contenders start from."""

    directory: Path
    disk: Path
    token: str
    initrd: bytes


def make_bench(directory: Path) -> Bench:
    """Make the disk: an ESP with nothing on it, and /boot (ext4) with an entry for Debian's kernel."""
    directory.mkdir(parents=True, exist_ok=True)
    token = make_token()
    initrd = target_initrd(token)
    boot = {"vmlinuz": debian.kernel().image, "initrd": initrd,
            "loader/entries/target.conf": bls("/vmlinuz", "/initrd", options=CMDLINE)}
    disk = make_disk(directory / "disk.img", [Partition("esp", "vfat"), Partition("xbootldr", "ext4", boot)])
    return Bench(directory, disk, token, initrd)


def make_contenders(bench: Bench) -> list[Contender]:
    """Return both engines of the boot shim and of kexec-tools."""
    policy = policy_text(anchors=["ca.der"], cmdlines=[CMDLINE], initrds=[bench.initrd])
    made = []
    for engine in ("load", "file"):
        config = f'[boot]\ntimeout = 0\n\n[load]\nengine = "{engine}"\n\n{policy}\n'
        shim = make_shim(bench.directory / f"shim-{engine}", config, {"ca.der": debian_ca().read_bytes()})
        made.append(Contender("bootshim", engine, shim.initramfs))
        peer = bench.directory / f"peer-{engine}"
        peer.write_bytes(peer_initramfs(engine, MODULES))
        made.append(Contender("kexec-tools", engine, peer))
    return made


def run_all(bench: Bench, contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[Contender, Run]]:
    """Boot all of them, in turn, `rounds` times."""
    for _ in range(rounds):
        for contender in contenders:
            yield contender, run_one(bench, contender)


def run_one(bench: Bench, contender: Contender) -> Run:
    """Boot once. Raises RuntimeError where the second kernel did not print the token."""
    kernel = debian.kernel().image
    spec = MachineSpec(kernel=kernel, initramfs=contender.initramfs, cmdline=CMDLINE, disks=(Disk(path=bench.disk),),
                       memory=MEMORY, extra=_cpu(kernel))
    with Qemu(spec) as machine:
        lines, moments, at = [], [], 0
        for pattern in (RUN_INIT, JUMP, SECOND):
            found = machine.read_until(pattern, TIMEOUT, at)
            if found is None:
                raise RuntimeError(f"{contender.loader} ({contender.engine}) did not get to {pattern!r}:\n"
                                   f"{machine.serial[-2000:]}")
            lines.append(found)
            moments.append(machine.seconds)
            at = found.end()
        machine.wait(TIMEOUT)
        facts = parse_facts(machine.serial)
    if facts is None or facts.token != bench.token:
        raise RuntimeError(f"{contender.loader} ({contender.engine}) did not boot its target")
    return Run(float(lines[1][1]) - float(lines[0][1]), moments[2] - moments[1], moments[2] - moments[0],
               _stages(machine.serial))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the minimum, the median and the maximum."""
    return min(values), statistics.median(values), max(values)


def _cpu(kernel: Path) -> tuple[str, ...]:
    """Under emulation, `rep movsb` is slower than any machine's: leave it out, for everybody."""
    emulated = accelerator(program(), kernel) == CHOICES["tcg"]
    return ("-cpu", "max,-erms") if emulated else ()


def _stages(serial: str) -> dict[str, float]:
    """Return the seconds of each stage from the table that the boot shim prints before the jump."""
    found = re.findall(r"^  (\w+) +\d+\.\d+ s +(\d+\.\d+) ms \|", serial.replace("\r", ""), re.MULTILINE)
    total: dict[str, float] = {}
    for name, milliseconds in found:
        total[name] = total.get(name, 0.0) + float(milliseconds) / 1000
    return total
