"""The target: what the second kernel runs. Its initrd says what it was given, and a token that nobody else knows."""

from __future__ import annotations

import json
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shim.formats.cpio import CpioEntry, build_cpio

SOURCE = Path(__file__).with_name("target_init.c")
BEGIN, END = "bootshim-target-begin", "bootshim-target-end"
REPORT_BEGIN, REPORT_END = "bootshim-target-report-begin", "bootshim-target-report-end"
PREFIX = "target "


class Facts(NamedTuple):
    """What the target printed: its lines by name, and the boot report that it found."""

    lines: dict[str, str]
    report: dict[str, Any] | None

    @property
    def token(self) -> str:
        return self.lines["token"]

    def number(self, name: str) -> int:
        return int(self.lines[name], 0)


def make_token() -> str:
    return secrets.token_hex(16)


@cache
def target_init() -> bytes:
    """Return the target's /init, a static program."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "init")
        subprocess.run(["gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", output, SOURCE], check=True)
        return output.read_bytes()


def target_initrd(token: str, filling: int = 0, modules: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """Return an initrd whose /init prints `token`; `filling` bytes that do not compress make it larger.

    `modules` of the kernel, by name, are loaded in their order before anything is printed.
    """
    entries = [
        CpioEntry.directory("dev"),
        CpioEntry.node("dev/console", 5, 1),
        CpioEntry.file("init", target_init(), mode=0o755),
        CpioEntry.file("token", f"{token}\n".encode()),
    ]
    if modules:
        entries.append(CpioEntry.directory("modules"))
    entries += [CpioEntry.file(f"modules/{number:02}-{name}.ko", data) for number, (name, data) in enumerate(modules)]
    if filling:
        entries.append(CpioEntry.file("filling", secrets.token_bytes(filling)))
    return build_cpio(entries)


def second_initrd(text: str) -> bytes:
    """Return an archive with one more file, which the target prints: the second of two initrds."""
    return build_cpio([CpioEntry.file("second", f"{text}\n".encode())])


def parse_facts(serial: str) -> Facts | None:
    """Return what the target printed on the serial line; None when it did not get to its end."""
    text = serial.replace("\r", "")
    begin = text.rfind(f"\n{BEGIN}\n")
    end = text.find(f"\n{END}\n", begin)
    if begin < 0 or end < 0:
        return None
    part = text[begin:end]
    lines = dict(
        line.removeprefix(PREFIX).split("=", 1) for line in part.splitlines() if line.startswith(PREFIX)
    )
    _, found, rest = part.partition(f"\n{REPORT_BEGIN}\n")
    report = json.loads(rest.partition(f"\n{REPORT_END}\n")[0]) if found else None
    return Facts(lines, report)
