"""struct boot_params, the "zero page", and setup_data. Spec: Linux Documentation/arch/x86/zero-page.rst and boot.rst;
arch/x86/include/uapi/asm/bootparam.h and setup_data.h.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 4096
BOOT_PARAMS = Record("boot_params", SIZE, """
    0x006  B     orig_video_mode
    0x00f  B     orig_video_isVGA
    0x070  Q     acpi_rsdp_addr
    0x0c0  I     ext_ramdisk_image
    0x0c4  I     ext_ramdisk_size
    0x0c8  I     ext_cmd_line_ptr
    0x140  128s  edid_info
    0x1c0  4s    efi_loader_signature
    0x1c4  I     efi_systab
    0x1c8  I     efi_memdesc_size
    0x1cc  I     efi_memdesc_version
    0x1d0  I     efi_memmap
    0x1d4  I     efi_memmap_size
    0x1d8  I     efi_systab_hi
    0x1dc  I     efi_memmap_hi
    0x1e8  B     e820_entries
    0x1e9  B     eddbuf_entries
    0x1ea  B     edd_mbr_sig_buf_entries
    0x1ec  B     secure_boot
    0x1ef  B     sentinel
    0x1fe  H     boot_flag
    0x202  4s    header
    0x206  H     version
    0x210  B     type_of_loader
    0x211  B     loadflags
    0x214  I     code32_start
    0x218  I     ramdisk_image
    0x21c  I     ramdisk_size
    0x224  H     heap_end_ptr
    0x227  B     ext_loader_type
    0x228  I     cmd_line_ptr
    0x250  Q     setup_data
    0x2d0  2560s e820_table
""")
E820_ENTRY = Record("e820 entry", 20, """
    0x00  Q   addr
    0x08  Q   size
    0x10  I   type
""")
SETUP_DATA = Record("setup_data", 16, """
    0x00  Q   next
    0x08  I   type
    0x0c  I   len
""")
EFI_SETUP_DATA = Record("efi_setup_data", 64, """
    0x00  Q   fw_vendor
    0x08  Q   runtime
    0x10  Q   tables
    0x18  Q   smbios
""")
EFI_MEMORY_DESCRIPTOR = Record("efi_memory_desc_t", 40, """
    0x00  I   type
    0x08  Q   phys_addr
    0x10  Q   virt_addr
    0x18  Q   num_pages
    0x20  Q   attribute
""")
HEADER_AT, HEADER_END = 0x1F1, 0x290
E820_MAX_IN_PAGE = 128
E820_MAX = 8192
SETUP_E820_EXT, SETUP_DTB, SETUP_EFI, SETUP_RNG_SEED = 1, 2, 4, 9
LOADER_TYPE_UNDEFINED = 0xFF
LOADED_HIGH, KEEP_SEGMENTS, CAN_USE_HEAP = 0x01, 0x40, 0x80
EFI_LOADER_SIGNATURE_64 = b"EL64"
SECURE_BOOT_ENABLED = 3  # enum efi_secureboot_mode of linux/efi.h


class E820Entry(Value):
    """A range of physical memory and its type as E820 numbers it (1 is RAM)."""

    start: int
    size: int
    type: int

    def build(self) -> bytes:
        return E820_ENTRY.build(addr=self.start, size=self.size, type=self.type)


class SetupData(Value):
    """A node of the setup_data list."""

    type: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes with the header, rounded up to 16 so that the next node is aligned."""
        return (SETUP_DATA.size + len(self.data) + 15) & ~15


def build_setup_data(nodes: Sequence[SetupData], start: int) -> bytes:
    """Return the list as it lies at the physical address `start`, each node pointing at the next."""
    out = bytearray()
    for number, node in enumerate(nodes):
        following = start + len(out) + node.size if number + 1 < len(nodes) else 0
        out += SETUP_DATA.build(next=following, type=node.type, len=len(node.data))
        out += node.data.ljust(node.size - SETUP_DATA.size, b"\0")
    return bytes(out)


def split_e820(entries: Sequence[E820Entry]) -> tuple[bytes, int, bytes]:
    """Return the table in the page, its count, and what goes into SETUP_E820_EXT (empty when all fits)."""
    if len(entries) > E820_MAX:
        raise FormatError("too many ranges of memory", limit=E820_MAX, found=len(entries))
    head, rest = entries[:E820_MAX_IN_PAGE], entries[E820_MAX_IN_PAGE:]
    return b"".join(entry.build() for entry in head), len(head), b"".join(entry.build() for entry in rest)


def low_high(value: int) -> tuple[int, int]:
    """Return the two halves of a 64-bit number, as boot_params keeps addresses."""
    return value & 0xFFFFFFFF, value >> 32
