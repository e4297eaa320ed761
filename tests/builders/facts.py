"""The files in which a running kernel tells of its machine, for machines that are made up."""

from __future__ import annotations

from collections.abc import Sequence

from shim.formats.bootparams import BOOT_PARAMS

MIB, GIB = 1 << 20, 1 << 30
RAM, RESERVED = "System RAM", "Reserved"
Row = tuple[int, int, str]


def pc(memory: int) -> list[Row]:
    """Return the map of a PC with `memory` bytes, as QEMU's firmware draws it: a hole below 4 GiB, the rest above."""
    low = min(memory, 2 * GIB)
    rows = [(0, 0x9FC00, RAM), (0x9FC00, 0xA0000, RESERVED), (0xF0000, 0x100000, RESERVED),
            (0x100000, low - 0x20000, RAM), (low - 0x20000, low, RESERVED), (0xFEFFC000, 0xFF000000, RESERVED)]
    return rows + ([(4 * GIB, 4 * GIB + memory - low, RAM)] if memory > low else [])


def shattered(count: int) -> list[Row]:
    """Return a map of `count` ranges: RAM of 64 MiB each, with a reserved page between."""
    rows: list[Row] = []
    for number in range(count // 2):
        start = (1 + 65 * number) * MIB
        rows += [(start, start + 64 * MIB, RAM), (start + 64 * MIB, start + 64 * MIB + 4096, RESERVED)]
    return rows


def shattered_pc(memory: int, pieces: int) -> list[Row]:
    """Return the map of a PC with up to 2 GiB whose upper half is in pieces: as many pages in it are reserved.

    The last MiB is the firmware's: it keeps its tables there.
    """
    *below, (start, _, _), _, flash = pc(memory)
    middle, step = memory // 2, memory * 3 // 8 // pieces // MIB * MIB
    rows: list[Row] = [*below, (start, middle, RAM)]
    for at in range(middle, middle + pieces * step, step):
        rows += [(at, at + 4096, RESERVED), (at + 4096, at + step, RAM)]
    rows[-1] = (rows[-1][0], memory - MIB, RAM)
    return [*rows, (memory - MIB, memory, RESERVED), flash]


def facts(
    rows: Sequence[Row], lockdown: str = "[none] integrity confidentiality", **boot_params: object
) -> dict[str, bytes]:
    """Return path -> content for a machine with this memory; `boot_params` are fields of the running kernel's."""
    made = {
        "/sys/kernel/boot_params/data": BOOT_PARAMS.build(**boot_params),
        "/sys/kernel/security/lockdown": lockdown.encode() + b"\n",
        "/proc/sys/kernel/kexec_load_disabled": b"0\n",
        "/sys/class/tty/console/active": b"tty0 ttyS0\n",
        "/sys/class/tty/ttyS0/port": b"0x3F8\n",
    }
    for number, (start, end, kind) in enumerate(rows):
        made[f"/sys/firmware/memmap/{number}/start"] = f"{start:#x}\n".encode()
        made[f"/sys/firmware/memmap/{number}/end"] = f"{end - 1:#x}\n".encode()
        made[f"/sys/firmware/memmap/{number}/type"] = f"{kind}\n".encode()
    return made
