"""Which device tree of a UKI fits the machine: `.hwids` and `.dtbauto`.

Spec: UAPI.5, Unified Kernel Image, "UKI Components"; Microsoft's "Specifying Hardware IDs for a Computer" (CHIDs: UUIDs
of version 5 over SMBIOS texts in UTF-16LE, joined by "&"); the table is that of systemd 257, src/boot/chid.h (Device).
The order in which CHIDs are tried is that of systemd-stub 257.
"""

from __future__ import annotations

from _codecs import utf_16_le_encode

from shim.errors import FormatError
from shim.formats.banks import SHA1_BANK, new_bank_hash
from shim.formats.fdt import root_compatible
from shim.formats.record import Record
from shim.formats.uki import section_ranges
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shim.formats.digests import NewHash
    from shim.formats.pe import PE, Section
    from shim.formats.record import Buffer

DEVICE = Record("device of .hwids", 28, """
    0x00  I    descriptor               # type << 28 | size of this record; 0 ends the table
    0x04  16s  chid                     # EFI_GUID
    0x14  I    name_offset              # from the start of the section, to a text with a NUL; 0: none
    0x18  I    compatible_offset        # likewise
""")
TYPE_SHIFT, DEVICETREE, UEFI_FIRMWARE = 28, 1, 2
DEVICES_MAX = 1 << 16
TEXT_SIZE_MAX = 1024
NAMESPACE = bytes.fromhex("70ffd8124c7f4c7d0000000000000000")

FIELDS = ("sys_vendor", "product_family", "product_name", "product_sku", "board_vendor", "board_name")
VENDOR, FAMILY, NAME, SKU, BOARD_VENDOR, BOARD_NAME = range(6)
# The fields of each CHID that is tried, the most specific first; the number is Microsoft's.
CHIDS = {
    3: (VENDOR, FAMILY, NAME, SKU, BOARD_VENDOR, BOARD_NAME), 6: (VENDOR, SKU, BOARD_VENDOR, BOARD_NAME),
    8: (VENDOR, NAME, BOARD_VENDOR, BOARD_NAME), 10: (VENDOR, FAMILY, BOARD_VENDOR, BOARD_NAME),
    4: (VENDOR, FAMILY, NAME, SKU), 5: (VENDOR, FAMILY, NAME), 7: (VENDOR, SKU), 9: (VENDOR, NAME),
    11: (VENDOR, FAMILY),
}  # fmt: skip


class Device(Value):
    """A row of `.hwids` for a device tree."""

    chid: bytes
    compatible: str | None


def chids_of(smbios: Mapping[str, str], new_hash: NewHash) -> tuple[bytes, ...]:
    """Return the CHIDs of a machine as EFI_GUIDs, the most specific first; `smbios` has its texts by `FIELDS`."""
    texts = [smbios.get(field, "").lstrip(" ").lstrip("0").rstrip(" ") for field in FIELDS]
    return tuple(_chid("&".join(texts[field] for field in fields), new_hash) for fields in CHIDS.values())


def _chid(text: str, new_hash: NewHash) -> bytes:
    running = new_bank_hash(SHA1_BANK, new_hash)
    running.update(NAMESPACE + utf_16_le_encode(text, "surrogatepass")[0])
    raw = bytearray(running.digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:])


def parse_hwids(data: Buffer) -> tuple[Device, ...]:
    """Return the rows for device trees; those for firmware are passed over.

    A table without an end is read up to its last row but one, as the stub reads it.
    """
    found: list[Device] = []
    for number in range(DEVICES_MAX):
        at = number * DEVICE.size
        if at + DEVICE.size >= len(data):
            break
        row = DEVICE.parse(data, at)
        if not row["descriptor"]:
            break
        kind = row["descriptor"] >> TYPE_SHIFT
        if kind not in (DEVICETREE, UEFI_FIRMWARE):
            raise FormatError(".hwids has a row of an unknown type", at=at, found=kind)
        if kind == DEVICETREE:
            found.append(Device(chid=row["chid"], compatible=_text(data, row["compatible_offset"])))
    return tuple(found)


def _text(data: Buffer, at: int) -> str | None:
    if not at:
        return None
    text, nul, _ = bytes(data[at : at + TEXT_SIZE_MAX]).partition(b"\0")
    if not nul:
        raise FormatError("a text of .hwids has no end", at=at, limit=TEXT_SIZE_MAX)
    return text.decode("ascii", "replace")


def select_devicetree(pe: PE, data: Buffer, profile: int, chids: Sequence[bytes]) -> tuple[Section, str] | None:
    """Return the `.dtbauto` section of a UKI that fits the machine, with the name it is known by; None for none.

    As for the stub, the sections before the first profile have a `.hwids` of their own, and those of the profile too;
    what fits there wins. A `.hwids` or `.dtbauto` that makes no sense fits nothing.
    """
    base, groups = section_ranges(pe)
    found = None
    for sections in (base, groups[profile] if groups else ()):
        compatible = _compatible(sections, data, chids)
        if compatible is not None:
            fits = (section for section in sections if section.name == ".dtbauto"
                    and _is_for(section, data, compatible))
            section = next(fits, None)
            found = found if section is None else (section, compatible)
    return found


def _compatible(sections: Sequence[Section], data: Buffer, chids: Sequence[bytes]) -> str | None:
    table = next((section for section in sections if section.name == ".hwids"), None)
    if table is None:
        return None
    try:
        devices = parse_hwids(table.data(data))
    except FormatError:
        return None
    return next((device.compatible for chid in chids for device in devices if device.chid == chid), None)


def _is_for(section: Section, data: Buffer, compatible: str) -> bool:
    try:
        return root_compatible(section.data(data)) == compatible
    except FormatError:
        return False
