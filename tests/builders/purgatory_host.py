"""The purgatory's C, compiled for the host, with a machine of Python around it: ports, a screen, a fault."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

import shim.purgatory
from shim.formats.record import Record
from shim.purgatory.args import ARGS, REGION, REGION_MAX

SOURCE = Path(shim.purgatory.__file__).parent
C_TYPES = {"B": "uint8_t", "H": "uint16_t", "I": "uint32_t", "Q": "uint64_t"}
LSR_EMPTY = 0x20
KEYBOARD = 0x64

FUNCTIONS = """
struct sha256 { ...; };
void sha256_init(struct sha256 *hash);
enum sha256_form { SHA256_PORTABLE, SHA256_BMI2, SHA256_NI };
void sha256_init_form(struct sha256 *hash, enum sha256_form form);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
void sha256_final(struct sha256 *hash, uint8_t *digest);
enum sha256_form sha256_best(void);
int check_args(const struct purgatory_args *args);
int check_regions(const struct purgatory_args *args);
int purgatory_main(const struct purgatory_args *args);
extern "Python+C" uint8_t port_read(uint16_t port);
extern "Python+C" void port_write(uint16_t port, uint8_t value);
extern "Python+C" void triple_fault(void);
volatile uint16_t *vga_screen(void);
extern uint16_t screen[2000];
static const char *const magic;
#define PURGATORY_VERSION ...
#define PURGATORY_REGION_MAX ...
#define PURGATORY_NAME_SIZE ...
#define PURGATORY_PAUSE_MAX_MS ...
#define PURGATORY_ENTER_32 ...
#define PURGATORY_VGA ...
#define PURGATORY_VERBOSE ...
#define PURGATORY_PORTABLE ...
#define PURGATORY_FLAGS ...
"""

GLUE = """
#include "check.h"
#include "io.h"
#include "sha256.h"
static const char *const magic = PURGATORY_MAGIC;
uint16_t screen[2000];
volatile uint16_t *vga_screen(void) { return screen; }
"""


def _fields(record: Record, replaced: dict[str, str]) -> str:
    """Say a record as C fields: cffi then compares the sizes with the header's, and knows the offsets."""
    code = dict(zip(record.fields, re.findall(r"\d*[sBHIQ]", record.struct.format), strict=True))
    return " ".join(
        replaced.get(field, f"{C_TYPES[kind]} {field};" if kind in C_TYPES else f"char {field}[{kind[:-1]}];")
        for field, kind in code.items())


@cache
def compiled() -> Any:
    """Return the cffi module: `ffi` and `lib`."""
    ffi = FFI()
    ffi.cdef(f"struct purgatory_region {{ {_fields(REGION, {'sha256': 'uint8_t sha256[32];'})} ...; }};")
    regions = f"struct purgatory_region regions[{REGION_MAX}];"
    ffi.cdef(f"struct purgatory_args {{ {_fields(ARGS, {'regions': regions})} ...; }};")
    ffi.cdef(FUNCTIONS)
    sources = [str(SOURCE / name) for name in ("check.c", "say.c", "reset.c", "sha256.c")]
    ffi.set_source("_purgatory_host", GLUE, sources=sources, include_dirs=[str(SOURCE)],
                   define_macros=[("PURGATORY_HOSTED", "1")], extra_compile_args=["-O2", "-Wall", "-Wextra"])
    with tempfile.TemporaryDirectory() as folder:
        path = ffi.compile(tmpdir=folder)
        spec = importlib.util.spec_from_file_location("_purgatory_host", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


class HostMachine:
    """The machine that the compiled code acts on, one at a time: what it wrote to which port, and its text.

    `statuses` answers reads by port; a serial port that is not named there takes every byte at once.
    """

    def __init__(self, serial_port: int = 0x3F8, statuses: dict[int, int] | None = None) -> None:
        module = compiled()
        self.ffi, self.lib = module.ffi, module.lib
        self.serial_port = serial_port
        self.statuses = {serial_port + 5: LSR_EMPTY, KEYBOARD: 0, **(statuses or {})}
        self.writes: list[tuple[int, int]] = []
        self.reads = self.pauses = self.faults = 0
        self.lib.screen[0:2000] = [0] * 2000
        self.ffi.def_extern(name="port_read")(self._read)
        self.ffi.def_extern(name="port_write")(self._write)
        self.ffi.def_extern(name="triple_fault")(self._fault)

    def _read(self, port: int) -> int:
        self.reads += 1
        return self.statuses.get(port, 0xFF)

    def _write(self, port: int, value: int) -> None:
        if port == 0x80:
            self.pauses += 1
        else:
            self.writes.append((port, value))

    def _fault(self) -> None:
        self.faults += 1

    @property
    def serial(self) -> str:
        """The text written to the data register."""
        return bytes(value for port, value in self.writes if port == self.serial_port).decode("ascii")

    @property
    def others(self) -> list[tuple[int, int]]:
        """The writes to every port but the serial data register, in order."""
        return [(port, value) for port, value in self.writes if port != self.serial_port]

    @property
    def screen(self) -> list[str]:
        """The lines of the VGA screen."""
        cells = [chr(cell & 0xFF) if cell & 0xFF else " " for cell in self.lib.screen]
        return ["".join(cells[row * 80:row * 80 + 80]).rstrip() for row in range(25)]

    def main(self, args: bytes) -> int:
        """Run `purgatory_main` over an argument block."""
        return int(self.lib.purgatory_main(self.ffi.cast("struct purgatory_args *", self.ffi.from_buffer(args))))
