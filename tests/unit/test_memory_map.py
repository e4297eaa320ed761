"""The map of memory is the firmware's, and only whole pages of undisputed RAM are free."""

from __future__ import annotations

import pytest

from shim.errors import PlanError
from shim.memory import read_memory_map
from shim.memory.map import TYPES
from shim.ranges import Range
from shim.system.memory_files import MemoryFiles
from tests.builders.facts import GIB, MIB, RAM, RESERVED, facts, pc


def test_a_pc_has_what_its_firmware_says() -> None:
    memory = read_memory_map(MemoryFiles(facts(pc(6 * GIB))))
    assert memory.free.contains(Range(start=MIB, end=2 * GIB - 0x20000))
    assert memory.free.contains(Range(start=4 * GIB, end=8 * GIB))
    assert not memory.free.contains(Range(start=0, end=4096))
    assert len(memory.rows) == len(pc(6 * GIB))


def test_what_two_rows_claim_is_not_free() -> None:
    rows = [(MIB, 100 * MIB, RAM), (50 * MIB + 5, 50 * MIB + 10, RESERVED)]
    free = read_memory_map(MemoryFiles(facts(rows))).free
    assert not free.contains(Range(start=50 * MIB, end=50 * MIB + 4096))
    assert free.contains(Range(start=50 * MIB + 4096, end=100 * MIB))


def test_crumbs_of_pages_are_not_free() -> None:
    free = read_memory_map(MemoryFiles(facts([(2 * MIB + 100, 3 * MIB + 100, RAM)]))).free
    assert [(item.start, item.end) for item in free] == [(2 * MIB + 4096, 3 * MIB)]


def test_a_kind_nobody_knows_is_reserved() -> None:
    memory = read_memory_map(MemoryFiles(facts([*pc(2 * GIB), (8 * GIB, 9 * GIB, "Enchanted")])))
    assert memory.rows[-1].type == TYPES["Reserved"]


@pytest.mark.parametrize("spoil", [
    {"/sys/firmware/memmap/0/start": b"0xfffffffffffffffff\n"}, {"/sys/firmware/memmap/0/end": b"nowhere\n"},
    {"/sys/firmware/memmap/3/start": b"0xffffffff\n"},
])
def test_a_map_that_lies_is_refused(spoil: dict[str, bytes]) -> None:
    with pytest.raises(PlanError):
        read_memory_map(MemoryFiles(facts(pc(2 * GIB)) | spoil))


@pytest.mark.parametrize("rows", [[], [(0, MIB, RESERVED)], [(0, 100, RAM)]])
def test_no_ram_is_refused(rows: list[tuple[int, int, str]]) -> None:
    with pytest.raises(PlanError):
        read_memory_map(MemoryFiles(facts(rows)))
