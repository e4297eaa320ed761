"""Machines whose memory is not what the common case has: what the first kernel was told of it, the second is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from shim.load import LoadOptions, plan
from shim.model import SegmentsPlan
from shim.system.recording import RecordingMachine
from tests.builders.bare_machine import loaded
from tests.builders.facts import MIB, RAM, Row, facts, shattered_pc
from tests.builders.proof import verified
from tests.vm.scene import IDS, make_scene, overrides
from tests.vm.shimmed import BASE_CMDLINE, MachineSpec, Shim, boot_spec

pytestmark = [pytest.mark.vm]
MEMORY_MIB = 1024
IN_PAGE = 128  # entries that boot_params holds; the rest is in SETUP_E820_EXT


def planned(shim: Shim, rows: list[Row], cmdline: str) -> SegmentsPlan:
    """Plan on this host, for a machine with that map, what starts the boot shim's kernel there."""
    machine = RecordingMachine(facts(rows))
    made = plan(verified(shim.kernel.read_bytes(), [shim.initramfs.read_bytes()], cmdline), machine,
                LoadOptions(engine="load"))
    assert isinstance(made, SegmentsPlan)
    return made


def test_more_than_two_hundred_ranges_of_memory_are_handed_on(tmp_path: Path) -> None:
    """The boot shim's own kernel is started by a dry run's plan, put into a machine; it boots the target from there."""
    scene = make_scene(tmp_path / "scene")
    rows = shattered_pc(MEMORY_MIB * MIB, 100)
    assert len(rows) > 200
    made = planned(scene.shim(), rows, f"{BASE_CMDLINE} {overrides({'boot.entry': IDS['bls']})}")
    outcome = boot_spec(MachineSpec(disks=(scene.attached(),), memory=MEMORY_MIB, extra=loaded(made, tmp_path)))
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens["bls"]
    assert outcome.facts.number("memory_map") == len(rows)
    # The kernel itself takes page 0 away.
    assert outcome.facts.number("system_ram") == sum(end - start for start, end, kind in rows if kind == RAM) - 4096
    assert outcome.errors() == {}
