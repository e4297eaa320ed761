"""The purgatory on a machine: in 64-bit mode as kexec leaves it, up to the kernel or the reset."""

from __future__ import annotations

import hashlib
import secrets

import pytest

from shim.purgatory import PurgatoryArgs, PurgatoryFlag, PurgatoryRegion, blob, build_purgatory
from tests.builders import bare_machine

pytestmark = pytest.mark.tools

PURGATORY, INITRD = 0x1000000, 0x2000000
BOOT_PARAMS = 0x98760
TOKEN = secrets.token_hex(8)


class Scene:
    """The probe as kernel, a random initrd, and the purgatory in front of them."""

    def __init__(self, at: int = PURGATORY) -> None:
        code, self.entry_64, self.entry_32 = bare_machine.probe(TOKEN)
        self.at = at
        self.memory = {bare_machine.PROBE: code, INITRD: secrets.token_bytes(100_001)}
        self.regions = tuple(
            PurgatoryRegion(name=name, address=address, size=len(data), sha256=hashlib.sha256(data).digest())
            for name, (address, data) in zip(("kernel", "initrd"), self.memory.items(), strict=True))

    def run(self, *options: str, **changes: object) -> bare_machine.Outcome:
        given = {"entry_address": self.entry_64, "boot_params_address": BOOT_PARAMS, "regions": self.regions,
                 "serial_port": 0x3F8, **changes}
        image = build_purgatory(PurgatoryArgs(**given))
        return bare_machine.run({**self.memory, self.at: image}, self.at + blob().entry, options)

    def tamper(self, address: int, offset: int) -> None:
        data = bytearray(self.memory[address])
        data[offset] ^= 1
        self.memory[address] = bytes(data)


def test_the_kernel_is_entered_as_the_64_bit_boot_protocol_says() -> None:
    outcome = Scene().run()
    assert outcome.code == bare_machine.PROBE_EXIT
    state = outcome.state(TOKEN)
    assert (state["mode"], state["si"], state["cs"], state["ds"], state["ss"]) == (64, BOOT_PARAMS, 16, 24, 24)
    assert (state["bx"], state["bp"], state["di"]) == (0, 0, 0)
    assert (state["cr0"], state["cr4"]) == (0x80000011, 0x20)
    assert not state["flags"] & 0x200
    assert outcome.serial.startswith(TOKEN)


def test_the_kernel_is_entered_as_the_32_bit_boot_protocol_says() -> None:
    scene = Scene()
    outcome = scene.run(entry_address=scene.entry_32, flags=PurgatoryFlag.ENTER_32)
    state = outcome.state(TOKEN)
    assert (state["mode"], state["si"], state["cs"], state["ds"], state["ss"]) == (32, BOOT_PARAMS, 16, 24, 24)
    assert (state["bx"], state["bp"], state["di"]) == (0, 0, 0)
    assert (state["cr0"], state["cr4"], state["efer"]) == (0x11, 0, 0)
    assert not state["flags"] & 0x200
    assert outcome.code == bare_machine.PROBE_EXIT


@pytest.mark.parametrize("at", [0x9000, 0x7FE_F000, 0x123_4000])
def test_it_runs_at_any_page(at: int) -> None:
    outcome = Scene(at).run(flags=PurgatoryFlag.VERBOSE)
    assert outcome.serial.startswith("bootshim purgatory: 2 regions good, by ")
    assert outcome.code == bare_machine.PROBE_EXIT
    assert outcome.state(TOKEN)


@pytest.mark.parametrize(("name", "address", "offset"), [
    ("kernel", bare_machine.PROBE, 0), ("kernel", bare_machine.PROBE, -1), ("initrd", INITRD, 50_000)])
@pytest.mark.parametrize("flags", [PurgatoryFlag(0), PurgatoryFlag.PORTABLE])
def test_a_changed_byte_is_named_and_the_machine_resets(
        name: str, address: int, offset: int, flags: PurgatoryFlag) -> None:
    scene = Scene()
    scene.tamper(address, offset)
    outcome = scene.run(flags=flags)
    found = hashlib.sha256(scene.memory[address]).hexdigest()
    assert f"digest mismatch in {name} at {address:#x}.." in outcome.serial
    assert f"found    {found}" in outcome.serial
    assert TOKEN not in outcome.serial
    assert outcome.code == bare_machine.RESET_EXIT


@pytest.mark.parametrize(("machine", "by_fault"), [
    ("pc", False), ("q35", False), ("isapc", False), ("microvm", True)])
def test_machines_without_the_better_ways_are_reset_too(machine: str, by_fault: bool) -> None:
    """A PC has the reset control register, an ISA PC the keyboard controller only, a microvm neither."""
    scene = Scene()
    scene.tamper(INITRD, 0)
    outcome = scene.run("-M", machine)
    assert outcome.serial.endswith("not started, resetting the machine\r\n")
    assert outcome.code == bare_machine.RESET_EXIT
    assert ("Triple fault" in outcome.log) == by_fault


def test_memory_that_is_not_mapped_is_said_and_resets() -> None:
    scene = Scene()
    far = PurgatoryRegion(name="far", address=1 << 32, size=4096, sha256=bytes(32))
    outcome = scene.run(regions=(*scene.regions, far))
    assert "bootshim purgatory: processor exception 14 at 0x100000000\r\n" in outcome.serial
    assert outcome.code == bare_machine.RESET_EXIT


def test_a_screen_that_is_not_mapped_is_no_endless_loop() -> None:
    scene = Scene()
    far = scene.regions[0].replace(address=1 << 33)
    outcome = scene.run(regions=(far,), flags=PurgatoryFlag.VGA, serial_port=0)
    assert outcome[:2] == ("", bare_machine.RESET_EXIT)


def test_no_serial_port_is_no_reason_to_wait() -> None:
    scene = Scene()
    scene.tamper(INITRD, 7)
    outcome = scene.run(serial_port=0x2E8)
    assert outcome[:2] == ("", bare_machine.RESET_EXIT)
