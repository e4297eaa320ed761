"""The menu on a real serial line: what a person sees and types, up to the second kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli.qemu import Disk, MachineSpec, Qemu
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.menu_disk import CMDLINE, menu_disk
from tests.builders.picture import screen_lines, text_of
from tests.builders.pictures import MENU
from tests.builders.target import make_token, target_initrd
from tests.vm.shimmed import BASE_CMDLINE, TIMEOUT, Shim, debian_ca, make_shim, outcome_of, policy_text

pytestmark = [pytest.mark.vm]
DOWN, ESCAPE, HOME = "\x1b[B", "\x1b", "\x1b[1~"
EDITED = f"single {CMDLINE}"
SETTLED = "any key stops"


class Scene(NamedTuple):
    """The disk of the picture in README, and a boot shim that shows its menu for ten minutes."""

    token: str
    disk: Path
    shim: Shim


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("menu")
    token = make_token()
    initrd = target_initrd(token)
    files = menu_disk(debian.kernel().image.read_bytes(), initrd)
    boot = Partition("xbootldr", "ext4", files={path.lstrip("/"): data for path, data in files.items()})
    disk = make_disk(folder / "disk.img", [Partition("esp", "vfat"), boot])
    policy = policy_text(anchors=["debian-ca.der"], cmdlines=[CMDLINE, EDITED], initrds=[initrd])
    consoles = '[console]\ndevices = ["ttyS0", "tty0", "console", "ttyS9"]\n'
    config = f'[boot]\ntimeout = 600\nedit = true\nreport = "json"\nwait = 20\n\n{consoles}\n{policy}\n'
    return Scene(token, disk, make_shim(folder / "shim", config, {"debian-ca.der": debian_ca().read_bytes()}))


@pytest.fixture
def machine(scene: Scene) -> Iterator[Qemu]:
    spec = MachineSpec(
        kernel=scene.shim.kernel, initramfs=scene.shim.initramfs, cmdline=BASE_CMDLINE, disks=(Disk(path=scene.disk),)
    )
    with Qemu(spec) as machine:
        assert machine.read_until(SETTLED, TIMEOUT), machine.serial
        yield machine
    print(machine.serial)


def typed(machine: Qemu, keys: str, wanted: str) -> None:
    """Type, then read until something new was printed."""
    seen = len(machine.serial)
    machine.send(keys)
    assert machine.read_until(wanted, TIMEOUT, seen), machine.serial


def test_the_menu_looks_as_in_the_picture(machine: Qemu) -> None:
    typed(machine, DOWN, r"> +2 ")
    typed(machine, "\x0c", "powers off")  # drawn anew, below whatever the kernel said
    machine.read_until("a line that never comes", 1.0)
    wanted = text_of(MENU)
    assert screen_lines(machine.serial)[-len(wanted) :] == wanted


def test_an_edited_command_line_reaches_the_second_kernel(scene: Scene, machine: Qemu) -> None:
    typed(machine, DOWN, r"> +2 ")
    typed(machine, "e", "Command line of debian-6.1.0-55.conf")
    typed(machine, f"{HOME}single ", "> single ")
    machine.send("\r")
    assert machine.wait(TIMEOUT) == "off"
    outcome = outcome_of(machine)
    assert outcome.facts is not None
    assert (outcome.facts.token, outcome.facts.lines["cmdline"]) == (scene.token, EDITED)
    assert outcome.report is not None
    assert outcome.report["attempts"][-1]["entry"] == "debian-6.1.0-55.conf"
    assert "ttyS9" in [problem["source"] for problem in outcome.report["problems"]]
    assert machine.serial.count("trying debian-6.1.0-55.conf") == 1  # ttyS0 and console are one line


def test_a_command_line_that_the_policy_does_not_know_is_refused(machine: Qemu) -> None:
    typed(machine, "3e", "Command line of rescue.conf")
    typed(machine, " init=/bin/sh\r", "the cmdline is not trusted")
    assert machine.read_until("trying debian-6.1.0-56.conf", TIMEOUT), machine.serial


def test_escape_details_and_power_off(machine: Qemu) -> None:
    typed(machine, "e", "Command line of")
    typed(machine, ESCAPE, "powers off")
    typed(machine, "5i", "it is for aa64")
    typed(machine, "x", "powers off")
    typed(machine, "\r", "This entry is not offered")
    machine.send("p")
    assert machine.wait(TIMEOUT) == "off"


def test_reset_is_one_key_and_noise_on_the_line_is_none(machine: Qemu) -> None:
    machine.send("\x00\x00\x80\x80\x1b[99~\x1b[[A")
    typed(machine, "", "any key stops")
    machine.send("r")
    assert machine.wait(TIMEOUT) == "reset"
