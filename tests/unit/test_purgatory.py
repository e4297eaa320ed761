"""The purgatory lets good memory through, names what is not, and never waits for ever."""

from __future__ import annotations

import hashlib

import pytest

from shim.errors import FormatError, LoadError
from shim.purgatory.args import (
    ARGS,
    MAGIC,
    NAME_SIZE,
    PAUSE_MAX_MS,
    REGION,
    REGION_MAX,
    VERSION,
    PurgatoryArgs,
    PurgatoryFlag,
    PurgatoryRegion,
)
from tests.builders.purgatory_host import HostMachine, compiled
from tests.unit.hostile import mutations

SERIAL = 0x3F8


class Memory:
    """Two regions of the host's own memory, with their digests taken while they were good."""

    def __init__(self) -> None:
        self.ffi = compiled().ffi
        self.pieces = {name: bytearray(size * b"\x5a") for name, size in (("kernel", 70_001), ("initrd", 4096))}

    def regions(self) -> tuple[PurgatoryRegion, ...]:
        return tuple(
            PurgatoryRegion(name=name, address=int(self.ffi.cast("uintptr_t", self.ffi.from_buffer(data))),
                            size=len(data), sha256=hashlib.sha256(data).digest())
            for name, data in self.pieces.items())

    def args(self, **changes: object) -> bytes:
        given = {"entry_address": 0x1000000, "boot_params_address": 0x90000, "serial_port": SERIAL, **changes}
        return PurgatoryArgs(regions=self.regions(), **given).build()


def test_the_header_and_the_table_describe_the_same_bytes() -> None:
    ffi, lib = compiled().ffi, compiled().lib
    for record, struct in ((ARGS, "struct purgatory_args"), (REGION, "struct purgatory_region")):
        assert ffi.sizeof(struct) == record.size
        assert {field: ffi.offsetof(struct, field) for field in record.fields} == record.offsets
    assert ffi.buffer(lib.magic, 8)[:] == MAGIC
    assert (lib.PURGATORY_VERSION, lib.PURGATORY_REGION_MAX) == (VERSION, REGION_MAX)
    assert (lib.PURGATORY_NAME_SIZE, lib.PURGATORY_PAUSE_MAX_MS) == (NAME_SIZE, PAUSE_MAX_MS)
    assert {flag.name: getattr(lib, f"PURGATORY_{flag.name}") for flag in PurgatoryFlag} == {
        flag.name: flag.value for flag in PurgatoryFlag}
    assert sum(PurgatoryFlag) == lib.PURGATORY_FLAGS


@pytest.mark.parametrize("flags", [PurgatoryFlag(0), PurgatoryFlag.PORTABLE])
def test_good_memory_passes_in_silence(flags: PurgatoryFlag) -> None:
    memory, machine = Memory(), HostMachine()
    assert machine.main(memory.args(flags=flags)) == 1
    assert (machine.writes, machine.faults) == ([], 0)


def test_verbose_says_what_was_checked_and_how() -> None:
    memory, machine = Memory(), HostMachine()
    assert machine.main(memory.args(flags=PurgatoryFlag.VERBOSE | PurgatoryFlag.PORTABLE)) == 1
    assert machine.serial == "bootshim purgatory: 2 regions good, by portable code\r\n"


@pytest.mark.parametrize("flags", [PurgatoryFlag(0), PurgatoryFlag.PORTABLE])
@pytest.mark.parametrize("name", ["kernel", "initrd"])
@pytest.mark.parametrize("at", [0, 63, -1])
def test_one_changed_byte_is_named_with_both_digests_and_resets(flags: PurgatoryFlag, name: str, at: int) -> None:
    memory, machine = Memory(), HostMachine()
    args = memory.args(flags=flags)
    expected = hashlib.sha256(memory.pieces[name]).hexdigest()
    memory.pieces[name][at] ^= 0x80
    region = next(region for region in memory.regions() if region.name == name)
    assert machine.main(args) == 0
    assert machine.serial.splitlines() == [
        f"bootshim purgatory: digest mismatch in {name} at {region.address:#x}..{region.address + region.size:#x}",
        f"  expected {expected}",
        f"  found    {region.sha256.hex()}",
        "bootshim purgatory: not started, resetting the machine",
    ]
    assert machine.others == [(0xCF9, 2), (0xCF9, 6), (0x64, 0xFE)]
    assert machine.faults == 1


def test_every_bad_region_is_named() -> None:
    memory, machine = Memory(), HostMachine()
    args = memory.args()
    for data in memory.pieces.values():
        data[100] ^= 1
    assert machine.main(args) == 0
    assert [line.split()[5] for line in machine.serial.splitlines() if "mismatch" in line] == ["kernel", "initrd"]


def test_the_screen_shows_what_the_serial_port_says() -> None:
    memory, machine = Memory(), HostMachine()
    args = memory.args(flags=PurgatoryFlag.VGA)
    memory.pieces["initrd"][0] ^= 1
    machine.main(args)
    assert machine.screen[:4] == machine.serial.splitlines()
    assert machine.screen[4:] == [""] * 21


def test_the_screen_ends_where_it_ends() -> None:
    memory, machine = Memory(), HostMachine()
    good = memory.regions()
    args = PurgatoryArgs(entry_address=1, boot_params_address=0, flags=PurgatoryFlag.VGA, regions=tuple(
        good[0].replace(sha256=bytes(32), name=f"r{index}") for index in range(REGION_MAX)))
    assert machine.main(args.build()) == 0
    assert all(machine.screen)
    assert machine.serial == ""


def test_a_dead_serial_port_costs_one_wait() -> None:
    memory, machine = Memory(), HostMachine(statuses={SERIAL + 5: 0})
    args = memory.args()
    memory.pieces["kernel"][0] ^= 1
    assert machine.main(args) == 0
    assert machine.serial == ""
    assert machine.reads == 65_536 + 1  # and one of the keyboard controller
    assert machine.faults == 1


def test_a_keyboard_controller_that_stays_busy_does_not_stop_the_reset() -> None:
    memory, machine = Memory(), HostMachine(statuses={0x64: 0x02})
    args = memory.args(serial_port=0)
    memory.pieces["kernel"][0] ^= 1
    assert machine.main(args) == 0
    assert machine.others[-1] == (0x64, 0xFE)
    assert (machine.reads, machine.faults) == (65_536, 1)


def test_the_machines_own_reset_register_comes_first_and_the_pause_before_it() -> None:
    memory, machine = Memory(), HostMachine()
    args = memory.args(reset_port=0xB2, reset_value=0x73, pause_ms=20)
    memory.pieces["kernel"][0] ^= 1
    machine.main(args)
    assert machine.others[0] == (0xB2, 0x73)
    assert machine.pauses == (20 + 3 * 50) * 1000


def test_a_divisor_sets_the_serial_port_up() -> None:
    memory, machine = Memory(), HostMachine()
    machine.main(memory.args(serial_divisor=0x0102))
    assert machine.writes == [
        (SERIAL + 1, 0), (SERIAL + 3, 0x80), (SERIAL, 0x02), (SERIAL + 1, 0x01),
        (SERIAL + 3, 0x03), (SERIAL + 2, 0x07), (SERIAL + 4, 0x03)]


def test_a_hostile_name_cannot_speak_to_the_terminal() -> None:
    memory, machine = Memory(), HostMachine()
    args = bytearray(memory.args())
    at = ARGS.offsets["regions"]
    args[at + REGION.offsets["name"]:at + REGION.size] = b"\x1b[2J\r\n\x07\xff" + b"A" * 8
    memory.pieces["kernel"][0] ^= 1
    machine.main(bytes(args))
    assert " ?[2J????AAAAAAAA at " in machine.serial


def test_an_argument_block_with_a_lie_is_refused_or_harmless() -> None:
    """Numbers that point elsewhere cannot be tried on the host; those that must be refused before that are."""
    memory = Memory()
    good = memory.args(flags=PurgatoryFlag.PORTABLE)
    harmless = {"entry_address", "boot_params_address", "serial_port", "serial_divisor", "reset_port",
                "reset_value", "pause_ms", "flags"}
    for lie, args in mutations(ARGS, good):
        field, value = lie.split("=")
        if args == good or (field == "region_count" and int(value, 0) == 1):
            continue
        machine = HostMachine()
        lib = machine.lib
        passed = lib.check_args(machine.ffi.cast("struct purgatory_args *", machine.ffi.from_buffer(args)))
        refused = field not in harmless or (field == "entry_address" and int(value, 0) == 0) or (
            field == "flags" and int(value, 0) > sum(PurgatoryFlag))
        assert bool(passed) != refused, lie


@pytest.mark.parametrize(("address", "size"), [
    (0x1000, 0), (1 << 52, 1), ((1 << 64) - 1, 1), (0x1000, (1 << 64) - 1), ((1 << 52) - 1, 2), (1 << 63, 1 << 63)])
def test_a_region_outside_of_memory_is_refused_before_it_is_read(address: int, size: int) -> None:
    machine = HostMachine()
    args = bytearray(Memory().args())
    at = ARGS.offsets["regions"] + REGION.size
    args[at:at + 16] = address.to_bytes(8, "little") + size.to_bytes(8, "little")
    assert machine.main(bytes(args)) == 0
    assert machine.serial.startswith("bootshim purgatory: the argument block has an impossible region\r\n")
    with pytest.raises(LoadError):
        PurgatoryRegion(name="x", address=address, size=size, sha256=bytes(32))


def test_python_refuses_what_the_purgatory_would() -> None:
    region = PurgatoryRegion(name="kernel", address=0x1000, size=1, sha256=bytes(32))
    good = {"entry_address": 1, "boot_params_address": 1, "regions": (region,)}
    for bad in ({"regions": ()}, {"regions": (region,) * (REGION_MAX + 1)}, {"entry_address": 0},
                {"pause_ms": PAUSE_MAX_MS + 1}, {"flags": PurgatoryFlag.ENTER_32, "entry_address": 1 << 32},
                {"flags": PurgatoryFlag.ENTER_32, "boot_params_address": 1 << 32}):
        with pytest.raises(LoadError):
            PurgatoryArgs(**{**good, **bad})
    with pytest.raises(LoadError):
        region.replace(sha256=bytes(31))
    with pytest.raises(FormatError):
        PurgatoryArgs(**good, serial_port=1 << 16).build()
