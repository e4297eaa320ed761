"""What the next kernel must know of EFI: the system table, the runtime services' memory, the tables.

Spec: Linux Documentation/ABI/testing/sysfs-firmware-efi and sysfs-firmware-efi-runtime-map; UEFI 2.10, 7.2. The
runtime services were mapped once by this kernel, and the next must use the same mapping (arch/x86/platform/efi/efi.c,
kexec_enter_virtual_mode).
"""

from __future__ import annotations

from shim.formats.bootparams import EFI_LOADER_SIGNATURE_64, EFI_MEMORY_DESCRIPTOR, EFI_SETUP_DATA
from shim.load.attributes import parse_number, read_number, read_text
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.ports import Files

DIRECTORY = "/sys/firmware/efi"
REGIONS_MAX = 1024


class EfiHandover(Value):
    """`memmap` are memory descriptors of the runtime services; `setup` is the body of the SETUP_EFI node."""

    memmap: bytes
    setup: bytes


def read_efi(facts: Files, running: dict[str, Any]) -> EfiHandover | None:
    """Return what the next kernel needs to call the firmware, None where this machine did not boot by EFI.

    `running` are the running kernel's boot_params. Without a runtime map (efi=noruntime) there is nothing to hand
    over: the next kernel then finds its tables through acpi_rsdp_addr.
    """
    if running["efi_loader_signature"] != EFI_LOADER_SIGNATURE_64:
        return None
    names = [name for name in facts.names(f"{DIRECTORY}/runtime-map") or () if name.isdigit()]
    vendor, tables = read_number(facts, f"{DIRECTORY}/fw_vendor"), read_number(facts, f"{DIRECTORY}/config_table")
    if not names or len(names) > REGIONS_MAX or vendor is None or tables is None:
        return None
    rows = [_descriptor(facts, name) for name in sorted(names, key=int)]
    if any(row is None for row in rows):
        return None
    setup = EFI_SETUP_DATA.build(fw_vendor=vendor, tables=tables, smbios=_smbios(facts))
    return EfiHandover(memmap=b"".join(row for row in rows if row), setup=setup)


def _descriptor(facts: Files, name: str) -> bytes | None:
    fields = ("type", "phys_addr", "virt_addr", "num_pages", "attribute")
    values = {field: read_number(facts, f"{DIRECTORY}/runtime-map/{name}/{field}") for field in fields}
    if any(value is None or value >= 1 << 64 for value in values.values()):
        return None
    return EFI_MEMORY_DESCRIPTOR.build(**values)


def _smbios(facts: Files) -> int:
    """Return where the SMBIOS 2 entry point is, 0 where the firmware has none."""
    for line in read_text(facts, f"{DIRECTORY}/systab").splitlines():
        name, _, value = line.partition("=")
        if name == "SMBIOS":
            return parse_number(value) or 0
    return 0
