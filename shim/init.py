"""PID 1 of the initramfs: start the machine's edge, boot, and never end in silence."""

from __future__ import annotations

from shim.boot import Boot
from shim.config import Config, override, parse_config
from shim.errors import ShimError, printable
from shim.report import Report
from shim.system.machine import LinuxMachine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Machine

CONFIG_DIRECTORY = "/etc/bootshim"
CONFIG_LIMIT = 1 << 20
NAMED_FILE_LIMIT = 4 << 20
LAST_RESORT_DELAY = 10.0


def main() -> None:
    """Run as /init. Never returns on a real machine."""
    machine = LinuxMachine()
    try:
        report = Report(machine.clock)
        with report.stage("start"):
            report.problems.extend(machine.start())
            config = read_config(machine)
            report.problems.extend(machine.open_console(config.console.devices))
        report.configured(config)
        Boot(machine, config, report).run()
    except Exception as problem:  # PID 1 must not end: whatever it was is told, and the machine is reset
        last_resort(machine, problem)
    machine.power.reset()


def read_config(machine: Machine) -> Config:
    """Read the baked configuration and what the command line may change of it."""
    facts = machine.facts

    def read_named(name: str) -> bytes:
        return facts.read(f"{CONFIG_DIRECTORY}/{name}", NAMED_FILE_LIMIT)

    path = f"{CONFIG_DIRECTORY}/config.toml"
    try:
        text = facts.read(path, CONFIG_LIMIT).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ShimError("the configuration is not UTF-8", file=path, at=problem.start) from problem
    cmdline = facts.read("/proc/cmdline", CONFIG_LIMIT).decode("utf-8", "replace")
    return override(parse_config(text, path, read_named), cmdline)


def last_resort(machine: LinuxMachine, problem: Exception) -> None:
    """Say what ended the boot, where, and wait long enough for it to be read."""
    trace = problem.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    kind = "" if isinstance(problem, ShimError) else f"{type(problem).__name__}: "
    sentence = printable(f"{kind}{problem}", 2048)
    lines = [f"bootshim: cannot go on: {sentence}", *(f"bootshim:   at {place}" for place in places[-6:])]
    machine.console.write("\n".join([*lines, f"bootshim: reset in {LAST_RESORT_DELAY:g} s\n"]))
    machine.clock.sleep(LAST_RESORT_DELAY)
