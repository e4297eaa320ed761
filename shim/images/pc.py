"""The machine that a dry run plans for: its map of memory, from a file or made up, and what its kernel would say.

Forms of a map: /proc/iomem as root reads it; the BIOS-e820 lines of dmesg; JSON, `[[start, end, "System RAM"], …]`
with ends exclusive. Spec: Linux Documentation/filesystems/proc.rst (iomem); arch/x86/kernel/e820.c
(e820_print_type, e820_type_to_string).
"""

from __future__ import annotations

import json
import re
from typing import Any

from shim.errors import ConfigError
from shim.formats.bootparams import BOOT_PARAMS, SIZE
from shim.memory.map import ADDRESS_MAX, ROWS_MAX, TYPES
from shim.units import GIB, KIB, MIB, align_down, align_up
from shim.values import Value

MEMMAP_SIZE_MAX = 1 << 20
RAM, RESERVED = "System RAM", "Reserved"
IOMEM = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.+)", re.IGNORECASE)
E820 = re.compile(r"BIOS-e820: \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\] (.+)", re.IGNORECASE)
WORDS_OF_DMESG = {
    "usable": RAM, "reserved": RESERVED, "ACPI data": "ACPI Tables", "ACPI NVS": "ACPI Non-volatile Storage",
    "unusable": "Unusable memory", "persistent (type 7)": "Persistent Memory",
    "persistent (type 12)": "Persistent Memory (legacy)", "soft reserved": "Soft Reserved",
}  # fmt: skip
# Iomem has devices, too, which are no part of the firmware's map.
WORDS_OF_IOMEM = {**{word.lower(): word for word in TYPES}, "reserved": RESERVED, "ram buffer": ""}


class Row(Value):
    """A range of physical memory; `end` is exclusive, `type` the kernel's word."""

    start: int
    end: int
    type: str


def default_map() -> tuple[Row, ...]:
    """Return the map of a PC with 2 GiB, as QEMU's firmware draws it."""
    high = 2 * GIB - 128 * KIB
    return tuple(Row(start=start, end=end, type=word) for start, end, word in (
        (0, 639 * KIB, RAM), (639 * KIB, 640 * KIB, RESERVED), (960 * KIB, MIB, RESERVED), (MIB, high, RAM),
        (high, 2 * GIB, RESERVED), (0xFEFFC000, 0xFF000000, RESERVED)))


def parse_memmap(text: str, source: str) -> tuple[Row, ...]:
    """Return the rows of a map in any of the three forms. Raises ConfigError with the line."""
    if text.lstrip().startswith(("[", "{")) and not E820.search(text):  # a line of dmesg may begin with [, too
        rows = _parse_json(text, source)
    else:
        found = (_parse_line(line, number, source) for number, line in enumerate(text.splitlines(), 1))
        rows = tuple(row for row in found if row is not None)
    if len(rows) > ROWS_MAX:
        raise ConfigError("too many ranges of memory", file=source, limit=ROWS_MAX, found=len(rows))
    if rows and all(row.end == 1 for row in rows):
        raise ConfigError("all addresses are zero: /proc/iomem shows them to root only", file=source)
    if not any(row.type == RAM for row in rows):
        raise ConfigError("no RAM in the map of memory", file=source)
    return rows


def facts_of(rows: tuple[Row, ...], boot_params: bytes | None = None) -> dict[str, bytes]:
    """Return path -> content, as the kernel of such a machine shows it: BIOS, no lockdown, a serial console.

    `boot_params` are those of the running kernel (blank unless given). Raises ConfigError when they have another size.
    """
    running = BOOT_PARAMS.build() if boot_params is None else boot_params
    if len(running) != SIZE:
        raise ConfigError("boot_params have the wrong size", expected=SIZE, found=len(running))
    size = sum(align_down(row.end, 4 * KIB) - min(align_up(row.start, 4 * KIB), row.end)
               for row in rows if row.type == RAM)
    made = {
        "/sys/kernel/boot_params/data": running,
        "/sys/kernel/security/lockdown": b"[none] integrity confidentiality\n",
        "/proc/sys/kernel/kexec_load_disabled": b"0\n",
        "/proc/meminfo": b"MemAvailable: %d kB\n" % (max(size, 0) // KIB),
        "/sys/class/tty/console/active": b"ttyS0\n",
        "/sys/class/tty/ttyS0/port": b"0x3F8\n",
    }
    for number, row in enumerate(rows):
        base = f"/sys/firmware/memmap/{number}"
        made[f"{base}/start"] = f"{row.start:#x}\n".encode()
        made[f"{base}/end"] = f"{row.end - 1:#x}\n".encode()
        made[f"{base}/type"] = f"{row.type}\n".encode()
    return made


def _parse_line(line: str, number: int, source: str) -> Row | None:
    """Return the row of one line, None where it is about something else."""
    if found := E820.search(line):
        word = WORDS_OF_DMESG.get(found[3].strip())
        if word is None:
            raise ConfigError("no such type of memory", file=source, line=number, found=found[3].strip()[:64])
    elif found := IOMEM.fullmatch(line.rstrip()):
        word = WORDS_OF_IOMEM.get(found[3].lower())  # lines that are indented say what uses a range
    else:
        return None
    return _row(int(found[1], 16), int(found[2], 16) + 1, word, source, number) if word else None


def _parse_json(text: str, source: str) -> tuple[Row, ...]:
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ConfigError("the map of memory is no JSON", file=source, problem=str(problem)[:200]) from problem
    if not isinstance(given, list):
        raise ConfigError("the map of memory must be a list", file=source)
    rows = []
    for number, item in enumerate(given, 1):
        if not (isinstance(item, list) and len(item) == 3 and item[2] in TYPES):
            raise ConfigError("a range of memory is [start, end, type]", file=source, range=number,
                              types=", ".join(TYPES))
        rows.append(_row(_number(item[0], source, number), _number(item[1], source, number), item[2], source, number))
    return tuple(rows)


def _number(given: object, source: str, number: int) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", given):
        return int(given, 16)
    raise ConfigError("an address is a number, or hexadecimal text", file=source, range=number, found=str(given)[:64])


def _row(start: int, end: int, word: str, source: str, number: int) -> Row:
    if not 0 <= start < end <= ADDRESS_MAX:
        raise ConfigError("no range of memory", file=source, line=number, start_address=start, end_address=end)
    return Row(start=start, end=end, type=word)
