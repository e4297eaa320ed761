"""The firmware's map of physical memory. Spec: Linux Documentation/ABI/testing/sysfs-firmware-memmap; E820 types of
ACPI 6.5, 15 (table 15.4).
"""

from __future__ import annotations

from shim.errors import FetchError, PlanError
from shim.ranges import Range, RangeSet
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Files

DIRECTORY = "/sys/firmware/memmap"
ATTRIBUTE_SIZE_MAX = 4096
ROWS_MAX = 8192
ADDRESS_MAX = 1 << 52
PAGE = 4096
RAM = 1
TYPES = {
    # The kernel's words (arch/x86/kernel/e820.c, e820_type_to_string) and the numbers they stand for.
    "System RAM": RAM,
    "Reserved": 2,
    "ACPI Tables": 3,
    "ACPI Non-volatile Storage": 4,
    "Unusable memory": 5,
    "Persistent Memory": 7,
    "Persistent Memory (legacy)": 12,
    "Soft Reserved": 0xEFFFFFFF,
}
RESERVED = 2
LOW_MEMORY = Range(start=0, end=1 << 20)  # the BIOS's data, video memory, the trampolines of other processors


class Row(Value):
    """A range of memory with its E820 type."""

    range: Range
    type: int


class MemoryMap(Value):
    """The ranges as the firmware gave them, ascending."""

    rows: tuple[Row, ...]

    @property
    def ram(self) -> RangeSet:
        """Whole pages of RAM that no row of another kind overlaps."""
        ram = RangeSet(row.range for row in self.rows if row.type == RAM)
        return _whole_pages(ram.remove(*(row.range for row in self.rows if row.type != RAM)))

    @property
    def free(self) -> RangeSet:
        """Where a kernel may be put: RAM above the first MiB."""
        return self.ram.remove(LOW_MEMORY)


def read_memory_map(facts: Files) -> MemoryMap:
    """Return the map that the running kernel was given. Raises PlanError when there is none or it has no RAM."""
    names = [name for name in facts.names(DIRECTORY) or () if name.isdigit()]
    if not names or len(names) > ROWS_MAX:
        raise PlanError("the kernel shows no map of memory (CONFIG_FIRMWARE_MEMMAP)", path=DIRECTORY, found=len(names))
    rows = tuple(sorted((_row(facts, name) for name in names), key=lambda row: (row.range.start, row.range.end)))
    made = MemoryMap(rows=rows)
    if not len(made.ram):
        raise PlanError("the map of memory holds no RAM", path=DIRECTORY)
    return made


def _row(facts: Files, name: str) -> Row:
    path = f"{DIRECTORY}/{name}"
    try:
        start, end = (int(_text(facts, f"{path}/{field}"), 16) for field in ("start", "end"))
    except ValueError as problem:
        raise PlanError("no address in the map of memory", path=path) from problem
    if not 0 <= start <= end < ADDRESS_MAX:
        raise PlanError("no range in the map of memory", path=path, start_address=start, end_address=end)
    return Row(range=Range(start=start, end=end + 1), type=TYPES.get(_text(facts, f"{path}/type"), RESERVED))


def _text(facts: Files, path: str) -> str:
    try:
        return facts.read(path, ATTRIBUTE_SIZE_MAX).decode("ascii", "replace").strip()
    except FetchError as problem:
        raise PlanError("the map of memory cannot be read", problem=str(problem)) from problem


def _whole_pages(ranges: RangeSet) -> RangeSet:
    whole = ((-(-item.start // PAGE) * PAGE, item.end // PAGE * PAGE) for item in ranges)
    return RangeSet(Range(start=start, end=end) for start, end in whole if start < end)
