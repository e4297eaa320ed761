"""Kernel formats: what each wants in memory. One function a format, one line in the table."""

from __future__ import annotations

from collections.abc import Callable

from shim.errors import LoadError
from shim.formats.bzimage import BzImage, XLoadFlag, is_bzimage, parse_bzimage
from shim.formats.elf import is_elf, parse_elf_kernel
from shim.model import Request
from shim.ranges import Range
from shim.values import Value

FOUR_GIB = 1 << 32
PAGE = 4096
# A physical KASLR slot is only found where the kernel lies at or above this, as a loader in firmware would put it.
KASLR_FLOOR = 16 << 20
CMDLINE_SIZE_VMLINUX = 2047  # COMMAND_LINE_SIZE of x86 without the final NUL
VMLINUX_VERSION = 0x020F


class Piece(Value):
    """Bytes of the kernel, `offset` bytes into the memory that was asked for."""

    name: str
    data: memoryview
    offset: int = 0


class KernelLayout(Value):
    """What a kernel needs: one request for memory, what is put there, and how it is entered.

    `entry_offset` counts from the start of that memory. `header` goes into boot_params at 0x1f1. `initrd_high` is the
    address that initrds must stay below.
    """

    format: str
    version: str
    request: Request
    pieces: tuple[Piece, ...]
    entry_offset: int
    enters_in_32_bits: bool
    header: bytes
    cmdline_size: int
    initrd_high: int
    high: int
    kexec_file: bool


class KernelFormat(Value):
    """A format that `lay_out` knows: `claims` looks at the magic only, `lay_out` checks everything."""

    name: str
    claims: Callable[[memoryview], bool]
    lay_out: Callable[[memoryview], KernelLayout]


def lay_out_kernel(data: memoryview) -> KernelLayout:
    """Check a kernel of any known format and return what it needs. Raises FormatError or LoadError."""
    for known in FORMATS:
        if known.claims(data):
            return known.lay_out(data)
    raise LoadError("no kernel of a known kind", found=bytes(data[:8]),
                    known=", ".join(known.name for known in FORMATS))


def _bzimage(data: memoryview) -> KernelLayout:
    image = parse_bzimage(data)
    in_64_bits = _takes_our_paging(image)
    high = 1 << 46 if image.initrd_above_4_gib else FOUR_GIB
    return KernelLayout(
        format="bzImage",
        version=image.kernel_version,
        request=_bzimage_request(image),
        pieces=(Piece(name="kernel", data=data[image.setup_size : image.setup_size + image.load_size]),),
        entry_offset=0x200 if in_64_bits else 0,
        enters_in_32_bits=not in_64_bits,
        header=image.header,
        cmdline_size=image.cmdline_size,
        initrd_high=high if image.initrd_above_4_gib else image.initrd_addr_max + 1,
        high=high,
        kexec_file=image.relocatable and image.enters_in_64_bits,
    )


def _takes_our_paging(image: BzImage) -> bool:
    """Say whether the kernel may be entered in 64-bit mode: the paging it finds there may have five levels.

    One that does not know them (memtest86+ 6.10) is entered in 32-bit mode, without paging, which every bzImage can.
    """
    return image.enters_in_64_bits and XLoadFlag.FIVE_LEVEL in image.xloadflags


def _bzimage_request(image: BzImage) -> Request:
    size = max(image.init_size, image.load_size)
    if not image.relocatable:
        return Request(name="kernel", size=size, fixed=image.pref_address)
    alignment = max(image.kernel_alignment, PAGE)
    return Request(
        name="kernel", size=size, alignment=alignment, low=image.pref_address, preferred=image.pref_address,
        high=1 << 46 if image.initrd_above_4_gib and _takes_our_paging(image) else FOUR_GIB,
    )


def _vmlinux(data: memoryview) -> KernelLayout:
    kernel = parse_elf_kernel(data)
    start = kernel.span.start // PAGE * PAGE
    pieces = tuple(
        Piece(name=f"kernel.{number}", offset=segment.memory.start - start,
              data=data[segment.offset : segment.offset + segment.file_size])
        for number, segment in enumerate(kernel.segments) if segment.file_size
    )
    return KernelLayout(
        format="vmlinux",
        version="",
        request=Request(name="kernel", size=Range(start=start, end=kernel.span.end).size, fixed=start),
        pieces=pieces,
        entry_offset=kernel.entry_address - start,
        enters_in_32_bits=False,
        header=b"",
        cmdline_size=CMDLINE_SIZE_VMLINUX,
        initrd_high=1 << 46,
        high=1 << 46,
        kexec_file=False,
    )


FORMATS = (
    KernelFormat(name="bzImage", claims=is_bzimage, lay_out=_bzimage),
    KernelFormat(name="ELF vmlinux", claims=is_elf, lay_out=_vmlinux),
)
