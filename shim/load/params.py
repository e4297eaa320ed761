"""boot_params for the next kernel: those of the running kernel, with its own header, memory map and addresses.

What the firmware and the first loader told the running kernel (screen, ACPI, EDID, EDD, SMBIOS by way of EFI) stays
true for the next one, so the page is copied and only what belongs to one kernel is replaced.
"""

from __future__ import annotations

from shim.errors import FetchError, LoadError
from shim.formats.bootparams import (
    BOOT_PARAMS,
    CAN_USE_HEAP,
    EFI_MEMORY_DESCRIPTOR,
    HEADER_AT,
    HEADER_END,
    KEEP_SEGMENTS,
    LOADED_HIGH,
    LOADER_TYPE_UNDEFINED,
    SETUP_E820_EXT,
    SETUP_EFI,
    SETUP_RNG_SEED,
    SIZE,
    E820Entry,
    SetupData,
    build_setup_data,
    low_high,
    split_e820,
)
from shim.load.efi import EfiHandover, read_efi
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.load.kernels import KernelLayout
    from shim.memory import MemoryMap
    from shim.ports import Files
    from shim.ranges import Range

RUNNING = "/sys/kernel/boot_params/data"
HEADER_FIELDS_OF_VMLINUX = {"boot_flag": 0xAA55, "header": b"HdrS", "version": 0x020F}


class ParamsPlan(Value):
    """Everything of the boot_params segment but the addresses: the page, setup_data, EFI's memory map, the command
    line, in this order."""

    running: bytes
    nodes: tuple[SetupData, ...]
    e820: tuple[bytes, int]
    efi: EfiHandover | None
    cmdline: bytes
    header: bytes

    @property
    def memmap_at(self) -> int:
        return SIZE + sum(node.size for node in self.nodes)

    @property
    def cmdline_at(self) -> int:
        return self.memmap_at + (len(self.efi.memmap) if self.efi else 0)

    @property
    def size(self) -> int:
        """Bytes of the whole segment, the command line's final NUL included."""
        return self.cmdline_at + len(self.cmdline) + 1

    def build(self, start: int, kernel_start: int, initrd: Range | None) -> bytes:
        """Return the segment for the physical address `start`. `initrd` is where the archives lie, end exclusive."""
        page = bytearray(self.running)
        page[HEADER_AT:HEADER_END] = self.header.ljust(HEADER_END - HEADER_AT, b"\0")
        _put(page, **self._fields(start, kernel_start, initrd))
        nodes = build_setup_data(self.nodes, start + SIZE)
        memmap = self.efi.memmap if self.efi else b""
        return bytes(page) + nodes + memmap + self.cmdline + b"\0"

    def _fields(self, start: int, kernel_start: int, initrd: Range | None) -> dict[str, Any]:
        cmdline, cmdline_high = low_high(start + self.cmdline_at)
        image, image_high = low_high(initrd.start if initrd else 0)
        size, size_high = low_high(initrd.size if initrd else 0)
        table, count = self.e820
        own = {} if self.header else dict(HEADER_FIELDS_OF_VMLINUX)
        header_flags = self.header[0x211 - HEADER_AT] if self.header else LOADED_HIGH
        return {
            **own,
            "sentinel": 0,
            "type_of_loader": LOADER_TYPE_UNDEFINED,
            "ext_loader_type": 0,
            "loadflags": (header_flags | LOADED_HIGH) & ~(CAN_USE_HEAP | KEEP_SEGMENTS),
            "heap_end_ptr": 0,
            "code32_start": kernel_start if kernel_start < 1 << 32 else 0,
            "cmd_line_ptr": cmdline, "ext_cmd_line_ptr": cmdline_high,
            "ramdisk_image": image, "ext_ramdisk_image": image_high,
            "ramdisk_size": size, "ext_ramdisk_size": size_high,
            "setup_data": start + SIZE if self.nodes else 0,
            "e820_entries": count, "e820_table": table.ljust(2560, b"\0"),
            **self._efi_fields(start),
        }

    def _efi_fields(self, start: int) -> dict[str, Any]:
        running = BOOT_PARAMS.parse(self.running)
        if self.efi is None:
            # Without the runtime map the next kernel must not believe in EFI; it keeps the RSDP.
            blank = {name: 0 for name in running if name.startswith("efi_")}
            return {**blank, "efi_loader_signature": bytes(4)}
        low, high = low_high(start + self.memmap_at)
        return {
            "efi_memmap": low, "efi_memmap_hi": high, "efi_memmap_size": len(self.efi.memmap),
            "efi_memdesc_size": EFI_MEMORY_DESCRIPTOR.size, "efi_memdesc_version": 1,
        }


def plan_params(
    facts: Files, memory: MemoryMap, layout: KernelLayout, cmdline: bytes, seed: bytes
) -> ParamsPlan:
    """Return the boot_params for a kernel. Raises LoadError for a command line that it cannot take."""
    if len(cmdline) > layout.cmdline_size:
        raise LoadError("the command line is too long for this kernel", limit=layout.cmdline_size, found=len(cmdline))
    running = _read_running(facts)
    efi = read_efi(facts, BOOT_PARAMS.parse(running))
    rows = [E820Entry(start=row.range.start, size=row.range.size, type=row.type) for row in memory.rows]
    table, count, rest = split_e820(rows)
    nodes = (
        *([SetupData(type=SETUP_E820_EXT, data=rest)] if rest else []),
        *([SetupData(type=SETUP_EFI, data=efi.setup)] if efi else []),
        *([SetupData(type=SETUP_RNG_SEED, data=seed)] if seed else []),
    )
    return ParamsPlan(
        running=running, nodes=nodes, e820=(table, count), efi=efi, cmdline=cmdline, header=layout.header)


def _read_running(facts: Files) -> bytes:
    try:
        running = facts.read(RUNNING, SIZE)
    except FetchError as problem:
        raise LoadError("the running kernel does not show its boot_params", path=RUNNING) from problem
    if len(running) != SIZE:
        raise LoadError("the running kernel's boot_params have the wrong size", expected=SIZE, found=len(running))
    return running


def _put(page: bytearray, **values: Any) -> None:
    """Write fields of boot_params into a page, one by one: the rest of it stays."""
    built = BOOT_PARAMS.build(**values)
    for name in values:
        at = BOOT_PARAMS.offsets[name]
        end = at + BOOT_PARAMS.widths[name]
        page[at:end] = built[at:end]
