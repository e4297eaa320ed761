"""The argument block of the purgatory, and the image with the block filled in. Contract: purgatory.h."""

from __future__ import annotations

from enum import IntFlag

from shim.errors import LoadError
from shim.formats.record import Record
from shim.ranges import Range
from shim.values import Value

MAGIC = b"bspurga\0"
VERSION = 1
REGION_MAX = 32
NAME_SIZE = 16
PAUSE_MAX_MS = 60_000
BELOW_4_GIB = Range(start=0, end=1 << 32)

REGION = Record("purgatory region", 64, """
    0x00  Q    address
    0x08  Q    size             # bytes, at least 1
    0x10  32s  sha256
    0x30  16s  name             # ASCII, with at least one final 0
""")

ARGS = Record("purgatory args", 0x40 + REGION_MAX * 64, f"""
    0x00  8s    magic
    0x08  I     version
    0x0c  I     size
    0x10  I     flags
    0x14  I     region_count
    0x18  Q     entry_address
    0x20  Q     boot_params_address
    0x28  H     serial_port
    0x2a  H     serial_divisor
    0x2c  H     reset_port
    0x2e  H     reset_value
    0x30  I     pause_ms
    0x40  {REGION_MAX * 64}s  regions
""")


class PurgatoryFlag(IntFlag):
    """What the purgatory does besides checking."""

    ENTER_32 = 1
    VGA = 2
    VERBOSE = 4
    PORTABLE = 8


class PurgatoryRegion(Value):
    """Bytes that must have this digest when the purgatory runs. Physical; `name` is what a refusal calls it."""

    name: str
    address: int
    size: int
    sha256: bytes

    def check(self) -> None:
        if self.size <= 0 or self.address < 0 or self.address + self.size > 1 << 52:
            raise LoadError("no such range of memory", region=self.name, start_address=self.address, size=self.size)
        if len(self.sha256) != 32:
            raise LoadError("not a SHA-256", region=self.name, expected=32, found=len(self.sha256))

    def build(self) -> bytes:
        name = self.name.encode("ascii", "replace")[: NAME_SIZE - 1]
        return REGION.build(address=self.address, size=self.size, sha256=self.sha256, name=name)


class PurgatoryArgs(Value):
    """What the purgatory is told.

    `entry_address` is where the kernel is entered: its 64-bit entry, or its 32-bit one with ENTER_32. `serial_port`
    is an I/O port (0x3f8), 0 for none; `serial_divisor` 0 leaves its speed alone. `reset_port` and `reset_value`
    are the reset register of the ACPI FADT, 0 for none. `pause_ms` passes between a refusal and the reset.
    """

    entry_address: int
    boot_params_address: int
    regions: tuple[PurgatoryRegion, ...]
    flags: PurgatoryFlag = PurgatoryFlag(0)
    serial_port: int = 0
    serial_divisor: int = 0
    reset_port: int = 0
    reset_value: int = 0
    pause_ms: int = 0

    def check(self) -> None:
        if not 1 <= len(self.regions) <= REGION_MAX:
            raise LoadError("the purgatory cannot check so many regions", limit=REGION_MAX, found=len(self.regions))
        if not self.entry_address:
            raise LoadError("the purgatory has nowhere to go", entry_address=self.entry_address)
        if not 0 <= self.pause_ms <= PAUSE_MAX_MS:
            raise LoadError("the pause before a reset is too long", limit=PAUSE_MAX_MS, found=self.pause_ms)
        if self.flags & PurgatoryFlag.ENTER_32 and max(self.entry_address, self.boot_params_address) >= 1 << 32:
            raise LoadError("a 32-bit entry lies above 4 GiB", entry_address=self.entry_address,
                            boot_params_address=self.boot_params_address)

    def build(self) -> bytes:
        """Return the argument block. Raises FormatError when a number does not fit into its field."""
        return ARGS.build(
            magic=MAGIC, version=VERSION, size=ARGS.size, flags=int(self.flags), region_count=len(self.regions),
            entry_address=self.entry_address, boot_params_address=self.boot_params_address,
            serial_port=self.serial_port, serial_divisor=self.serial_divisor, reset_port=self.reset_port,
            reset_value=self.reset_value, pause_ms=self.pause_ms,
            regions=b"".join(region.build() for region in self.regions),
        )


class PurgatoryBlob(Value):
    """The purgatory as built: position-independent bytes without a relocation left.

    `entry` and `args` are offsets in bytes. `size` is what it needs in memory, `code` and then zeros (its stack).
    """

    code: bytes
    entry: int
    args: int
    size: int


def blob() -> PurgatoryBlob:
    """Return the purgatory that `python -m shim.purgatory.build` made. Raises LoadError where it was not run."""
    try:
        from shim.purgatory import _blob
    except ImportError as problem:
        raise LoadError("the purgatory is not built: run python -m shim.purgatory.build") from problem
    return PurgatoryBlob(code=_blob.CODE, entry=_blob.ENTRY, args=_blob.ARGS, size=_blob.SIZE)


def build_purgatory(args: PurgatoryArgs) -> bytes:
    """Return the purgatory with `args` filled in, for any page-aligned address below 4 GiB.

    It is entered at `blob().entry` and needs `blob().size` bytes there, those after the returned ones zero.
    """
    built = blob()
    filled = bytearray(built.code)
    filled[built.args:built.args + ARGS.size] = args.build()
    return bytes(filled)
