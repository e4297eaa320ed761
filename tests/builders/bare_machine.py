"""Run bytes on a machine without an operating system: QEMU, a multiboot loader that does what kexec does, a probe.

The probe stands for the kernel: it prints a token and the state it was entered in. See bare_machine.S.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shim.purgatory.flatten import Flat, flatten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shim.model import SegmentsPlan

HERE = Path(__file__).parent
LOADER, PROBE, TABLES, RESULTS, STACK = 0x100000, 0x180000, 0x200000, 0x300000, 0x380000
RESULT_NAMES = ("mode", "si", "bx", "bp", "di", "cs", "ss", "ds", "cr0", "cr4", "flags", "efer")
PROBE_EXIT = 0x10 << 1 | 1  # isa-debug-exit: twice the value written, and one
RESET_EXIT = 0  # with -no-reboot


class Outcome(NamedTuple):
    """What came out of the serial port, how QEMU ended, and what it says of resets."""

    serial: str
    code: int
    log: str

    def state(self, token: str) -> dict[str, int]:
        """Return the registers that the probe printed behind its token; KeyError when it was not entered."""
        for line in self.serial.splitlines():
            if line.startswith(token):
                return dict(zip(RESULT_NAMES, (int(word, 16) for word in line.split()[1:]), strict=True))
        raise KeyError(token)


@cache
def _assemble(entry: int) -> Flat:
    names = {"LOADER": LOADER, "PROBE": PROBE, "TABLES": TABLES, "RESULTS": RESULTS, "STACK": STACK, "ENTRY": entry}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "bare_machine.o")
        subprocess.run(["gcc", *(f"-D{name}={value}" for name, value in names.items()), "-c", "-o", target,
                        HERE / "bare_machine.S"], check=True)
        with target.open("rb") as stream:
            return flatten(stream)


def probe(token: str) -> tuple[bytes, int, int]:
    """Return the probe's bytes for address PROBE, and its 64-bit and 32-bit entry addresses."""
    flat = _assemble(0)
    code = bytearray(flat.code)
    at = flat.symbols["token"]
    code[at:at + len(token)] = token.encode("ascii")
    return bytes(code), PROBE + flat.symbols["probe_64"], PROBE + flat.symbols["probe_32"]


def multiboot_elf(memory: Mapping[int, bytes], entry: int) -> bytes:
    """Return an ELF32 that multiboot loads: `memory` by physical address, entered at `entry` in 64-bit mode."""
    pieces = {LOADER: _assemble(entry).code, **memory}
    offset = 52 + 32 * len(pieces)
    headers, body = b"", b""
    for address, data in pieces.items():
        headers += struct.pack("<8I", 1, offset + len(body), address, address, len(data), len(data), 7, 4)
        body += data
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, LOADER, 52, 0, 0, 52, 32, len(pieces), 40, 0, 0)
    return ident + header + headers + body


def loaded(plan: SegmentsPlan, directory: Path) -> tuple[str, ...]:
    """Return QEMU's arguments for a machine in which a plan has been carried out: it starts in the purgatory.

    The firmware has run before, so that the kernel finds its tables; the segments lie where the plan has them.
    """
    kernel = directory / "loader.elf"
    kernel.write_bytes(multiboot_elf({}, plan.entry_address))
    words = ["-kernel", str(kernel)]
    for segment in plan.segments:
        held = directory / f"{segment.name}.segment"
        held.write_bytes(segment.data)
        words += ["-device", f"loader,file={held},addr={segment.range.start:#x},force-raw=on"]
    return tuple(words)


def run(memory: Mapping[int, bytes], entry: int, options: Sequence[str] = ()) -> Outcome:
    """Run `memory` from `entry` until the probe leaves, the machine resets, or a minute is over."""
    with tempfile.TemporaryDirectory() as folder:
        kernel, serial, log = Path(folder, "kernel"), Path(folder, "serial"), Path(folder, "log")
        kernel.write_bytes(multiboot_elf(memory, entry))
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "128", "-nodefaults", "-display", "none",
             "-no-reboot", "-serial", f"file:{serial}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
             "-d", "cpu_reset", "-D", log, "-kernel", kernel, *options],
            check=False, timeout=60, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.stderr:
            raise RuntimeError(done.stderr)
        text = serial.read_bytes().decode("ascii", "backslashreplace")
        return Outcome(text, done.returncode, log.read_text("utf-8"))
