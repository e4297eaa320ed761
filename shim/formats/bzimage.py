"""The x86 boot protocol's kernel image. Spec: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".

Every field that the loading rests on is checked here: the running kernel's own kexec_file_load takes half a bzImage.
"""

from __future__ import annotations

from enum import IntFlag

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.formats.record import Buffer

HEADER_AT = 0x1F1
HEADER_END_MAX = 0x290
SETUP = Record("bzImage setup header", 0x290, """
    0x1f1  B   setup_sects           # sectors of 512 bytes, the boot sector not counted; 0 means 4
    0x1f4  I   syssize               # protected-mode code, in units of 16 bytes
    0x1fe  H   boot_flag
    0x201  B   jump_offset           # from 0x202: where the header ends
    0x202  4s  header
    0x206  H   version
    0x20e  H   kernel_version        # offset of its text, less 0x200
    0x211  B   loadflags
    0x214  I   code32_start
    0x22c  I   initrd_addr_max
    0x230  I   kernel_alignment
    0x234  B   relocatable_kernel
    0x235  B   min_alignment         # as a power of two
    0x236  H   xloadflags
    0x238  I   cmdline_size          # without the final NUL
    0x248  I   payload_offset        # from the protected-mode code
    0x24c  I   payload_length
    0x258  Q   pref_address
    0x260  I   init_size
    0x264  I   handover_offset
""")
BOOT_FLAG, MAGIC = 0xAA55, b"HdrS"
LOADED_HIGH = 0x01
SECTOR = 512
VERSION_MIN = 0x0202          # cmd_line_ptr
WITH_CMDLINE_SIZE, WITH_PAYLOAD, WITH_PREF_ADDRESS, WITH_XLOADFLAGS = 0x0206, 0x0208, 0x020A, 0x020C
CMDLINE_SIZE_OLD, CMDLINE_SIZE_MAX = 255, 1 << 20
INITRD_ADDR_MAX_OLD = 0x37FFFFFF
INIT_SIZE_MAX = 1 << 30
LOAD_ADDRESS_OLD = 0x100000
ADDRESS_MAX = 1 << 46
ALIGNMENT_MAX = 1 << 30
VERSION_TEXT_MAX = 256
PAYLOADS = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x5d\0\0": "lzma", b"\xfd7zXZ\0": "xz", b"\x89LZO": "lzo",
    b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip


class XLoadFlag(IntFlag):
    """xloadflags, protocol 2.12."""

    KERNEL_64 = 1
    CAN_BE_LOADED_ABOVE_4G = 2
    EFI_HANDOVER_32 = 4
    EFI_HANDOVER_64 = 8
    EFI_KEXEC = 16
    FIVE_LEVEL = 32


class BzImage(Value):
    """What the header says, checked. Sizes and offsets in bytes; addresses are physical.

    `header` are the bytes from 0x1f1 to where the header ends, as they go into boot_params. `load_size` is how much
    of the file from `setup_size` on is loaded, `init_size` how much memory the kernel needs there.
    """

    version: int
    kernel_version: str
    header: bytes
    setup_size: int
    load_size: int
    init_size: int
    relocatable: bool
    kernel_alignment: int
    pref_address: int
    xloadflags: XLoadFlag
    cmdline_size: int
    initrd_addr_max: int
    payload: str | None

    @property
    def enters_in_64_bits(self) -> bool:
        return bool(self.xloadflags & XLoadFlag.KERNEL_64)

    @property
    def initrd_above_4_gib(self) -> bool:
        return bool(self.xloadflags & XLoadFlag.CAN_BE_LOADED_ABOVE_4G)


def is_bzimage(data: Buffer) -> bool:
    """Say whether bytes claim to be a bzImage; nothing else is checked."""
    return bytes(data[0x1FE:0x200]) == b"\x55\xaa" and bytes(data[0x202:0x206]) == MAGIC


def parse_bzimage(data: Buffer) -> BzImage:
    """Check a whole bzImage and return what it says. Raises FormatError naming the field."""
    setup = SETUP.parse(data)
    if setup["boot_flag"] != BOOT_FLAG:
        raise FormatError("not a bzImage: boot_flag", at=0x1FE, expected=BOOT_FLAG, found=setup["boot_flag"])
    if setup["header"] != MAGIC:
        raise FormatError("not a bzImage: header", at=0x202, expected=MAGIC, found=setup["header"])
    version = setup["version"]
    if version < VERSION_MIN:
        raise FormatError("the boot protocol is too old", at=0x206, expected=VERSION_MIN, found=version)
    if not setup["loadflags"] & LOADED_HIGH:
        raise FormatError("a zImage that is loaded low: loadflags", at=0x211, found=setup["loadflags"])
    setup_size = ((setup["setup_sects"] or 4) + 1) * SECTOR
    load_size = _check_size(setup, len(data), setup_size)
    xloadflags = XLoadFlag(setup["xloadflags"]) if version >= WITH_XLOADFLAGS else XLoadFlag(0)
    return BzImage(
        version=version,
        kernel_version=_kernel_version(data, setup["kernel_version"], setup_size),
        header=_header(data, setup["jump_offset"]),
        setup_size=setup_size,
        load_size=load_size,
        xloadflags=xloadflags,
        cmdline_size=_cmdline_size(setup),
        initrd_addr_max=_initrd_addr_max(setup),
        payload=_check_payload(data, setup, setup_size, load_size),
        **_placement(setup, load_size),
    )


def _check_size(setup: dict[str, Any], size: int, setup_size: int) -> int:
    """Return the size of the protected-mode code; the file must hold all of it."""
    load_size: int = setup["syssize"] * 16
    if load_size == 0:
        raise FormatError("bzImage without code: syssize", at=0x1F4, found=0)
    left = size - setup_size
    # syssize is rounded up to 16 bytes, and the file need not be.
    if left < load_size - 15:
        raise FormatError("bzImage is cut short: syssize", at=0x1F4, expected=load_size, found=max(left, 0))
    return min(load_size, left)


def _placement(setup: dict[str, Any], load_size: int) -> dict[str, Any]:
    version = setup["version"]
    if version < WITH_PREF_ADDRESS:
        relocatable = bool(version >= 0x0205 and setup["relocatable_kernel"])
        alignment = setup["kernel_alignment"] if relocatable else 4096
        _check_alignment(alignment)
        return {"relocatable": relocatable, "kernel_alignment": alignment, "pref_address": LOAD_ADDRESS_OLD,
                "init_size": load_size}
    relocatable, alignment, address = setup["relocatable_kernel"], setup["kernel_alignment"], setup["pref_address"]
    if relocatable not in (0, 1):
        raise FormatError("bzImage is neither relocatable nor not", at=0x234, found=relocatable)
    if relocatable:
        _check_alignment(alignment)
    if not LOAD_ADDRESS_OLD <= address < ADDRESS_MAX or address % (alignment if relocatable else 4096):
        raise FormatError("bzImage wants to be nowhere sensible: pref_address", at=0x258, pref_address=address)
    if not load_size <= setup["init_size"] <= INIT_SIZE_MAX:
        raise FormatError("bzImage needs no sensible memory: init_size", at=0x260,
                          expected=f"{load_size}..{INIT_SIZE_MAX}", found=setup["init_size"])
    return {"relocatable": bool(relocatable), "kernel_alignment": alignment or 4096, "pref_address": address,
            "init_size": setup["init_size"]}


def _check_alignment(alignment: int) -> None:
    if not 4096 <= alignment <= ALIGNMENT_MAX or alignment & (alignment - 1):
        raise FormatError("bzImage has no sensible alignment: kernel_alignment", at=0x230, found=alignment)


def _check_payload(data: Buffer, setup: dict[str, Any], setup_size: int, load_size: int) -> str | None:
    """Return how the kernel inside is compressed; None where the protocol is too old to say or it says nothing."""
    offset, length = setup["payload_offset"], setup["payload_length"]
    if setup["version"] < WITH_PAYLOAD or (offset, length) == (0, 0):
        return None
    if not length or offset + length > load_size:
        raise FormatError("bzImage payload lies outside the code: payload_length", at=0x24C, start=offset,
                          expected=load_size, found=offset + length)
    found = bytes(data[setup_size + offset : setup_size + offset + 8])
    for magic, name in PAYLOADS.items():
        if found.startswith(magic):
            return name
    raise FormatError("bzImage payload is not compressed in a known way", at=setup_size + offset, found=found)


def _cmdline_size(setup: dict[str, Any]) -> int:
    size: int = setup["cmdline_size"] if setup["version"] >= WITH_CMDLINE_SIZE else CMDLINE_SIZE_OLD
    if not 0 < size <= CMDLINE_SIZE_MAX:
        raise FormatError("bzImage takes no sensible command line: cmdline_size", at=0x238, found=size)
    return size


def _initrd_addr_max(setup: dict[str, Any]) -> int:
    limit: int = setup["initrd_addr_max"] if setup["version"] >= 0x0203 else INITRD_ADDR_MAX_OLD
    if limit < LOAD_ADDRESS_OLD:
        raise FormatError("bzImage takes an initrd nowhere: initrd_addr_max", at=0x22C, found=limit)
    return limit


def _header(data: Buffer, jump_offset: int) -> bytes:
    """Return the setup header. Spec: boot.rst, "the end of the setup header": 0x202 plus the byte at 0x201."""
    end = 0x202 + jump_offset
    if not 0x228 <= end <= HEADER_END_MAX:
        raise FormatError("bzImage header has no sensible end", at=0x201, found=end)
    return bytes(data[HEADER_AT:end])


def _kernel_version(data: Buffer, offset: int, setup_size: int) -> str:
    at = offset + 0x200
    if not offset or at >= setup_size:
        return ""
    raw = bytes(data[at : at + VERSION_TEXT_MAX]).split(b"\0", 1)[0]
    return raw.decode("ascii", "replace")
