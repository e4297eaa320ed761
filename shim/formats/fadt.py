"""ACPI FADT: the machine's reset register. Spec: ACPI 6.5, 5.2.9 (FADT), 5.2.3.2 (Generic Address Structure)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

FADT = Record("FADT", 129, """
    0x00  4s  signature
    0x70  I   flags
    0x74  B   reset_address_space
    0x75  B   reset_bit_width
    0x78  Q   reset_address
    0x80  B   reset_value
""")
RESET_REG_SUP = 1 << 10
SYSTEM_IO = 1


def parse_reset_register(data: Buffer) -> tuple[int, int] | None:
    """Return (I/O port, value) of the reset register; None when there is none that an I/O port reaches."""
    if len(data) < FADT.size:
        return None
    fadt = FADT.parse(data)
    if fadt["signature"] != b"FACP":
        raise FormatError("not a FADT", expected=b"FACP", found=fadt["signature"])
    usable = fadt["flags"] & RESET_REG_SUP and fadt["reset_address_space"] == SYSTEM_IO
    if not usable or not 0 < fadt["reset_address"] <= 0xFFFF:
        return None
    return fadt["reset_address"], fadt["reset_value"]
