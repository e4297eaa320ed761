"""The flow, on a machine that only records: what is tried after what, and what is let go when it fails.

Kernels are real (memtest86+: small, for kexec_load; Debian's cloud kernel for kexec_file_load), disks have real
superblocks, and everything between the ports is the code that boots.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shim.errors import FetchError, SystemError_
from shim.formats.cpio import parse_cpio
from shim.model import FilePlan, Problem, SegmentsPlan
from shim.report import Handover
from shim.system.memory_files import MemoryFiles
from tests.builders.debian import kernel
from tests.builders.uki import make_uki
from tests.builders.world import INITRD, Disk, World, bls, memtest, policy

pytestmark = pytest.mark.tools
ReadKey = Callable[[float | None], str | None]


RESET = '[boot]\nentry = "*"\nwait = 0\ntimeout = 0\non_failure = "reset"\n'


def test_the_first_entry_that_can_be_booted_is_booted(superblock: bytes) -> None:
    world = World(superblock, RESET).plug("vda", bls("one", "two")).boot()
    assert world.tried == [("one.conf", None)]
    assert world.calls == ["mount vda", "kexec_load", "unmount", "quiesce", "reboot: kexec"]
    assert isinstance(world.machine.kexec.loaded, SegmentsPlan)
    assert "trying one.conf: one" in world.text
    assert "---- bootshim: boot report" in world.text


def test_what_is_loaded_is_what_was_on_the_disk(superblock: bytes) -> None:
    plan = World(superblock, RESET).plug("vda", bls("one")).boot().machine.kexec.loaded
    assert isinstance(plan, SegmentsPlan)
    segments = {segment.name: bytes(segment.data) for segment in plan.segments}
    assert segments["initrd.0"] == INITRD
    assert segments["kernel"] in memtest()
    assert plan.digests["initrd.0"] == hashlib.sha256(INITRD).digest()
    report = {entry.path: entry.data for entry in parse_cpio(segments["report"])}[Handover.PATH]
    read: dict[str, Any] = json.loads(bytes(report))
    attempt = read["attempts"][-1]
    assert (attempt["entry"], attempt["engine"], attempt["cmdline"]) == ("one.conf", "kexec_load", "ro")
    assert "own segments" in attempt["why"]
    assert {row["name"] for row in read["attempts"][-1]["segments"]} >= {"kernel", "initrd.0", "boot_params"}


FAILURES: dict[str, tuple[Disk | None, str]] = {
    "fetch: absent kernel": ({"/one": FetchError("no such file")}, "fetch"),
    "fetch: empty kernel": ({"/one": b""}, "fetch"),
    "fetch: absent initrd": ({"/initrd1": b"", "/loader/entries/one.conf":
                              b"title one\nsort-key 000\nlinux /one\ninitrd /nothing\noptions ro\n"}, "fetch"),
    "verify: another kernel": ({"/one": b"MZ" + bytes(5000)}, "verify"),
    "verify: another command line": ({"/loader/entries/one.conf":
                                      b"title one\nsort-key 000\nlinux /one\noptions rw\n"}, "verify"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_falls_to_the_next_entry_and_holds_no_memory(superblock: bytes, case: str) -> None:
    files, stage = FAILURES[case]
    world = World(superblock, RESET).plug("vda", {**bls("one", "two"), **(files or {})}).boot()
    assert world.tried == [("one.conf", stage), ("two.conf", None)]
    assert world.calls[-1] == "reboot: kexec"
    assert len(world.machine.blobs.held) == 2  # the kernel and the initrd that are booted
    assert f"one.conf failed in {stage}: " in world.text


@pytest.mark.parametrize("cut", [0x200, 0x1000, 50_000])
def test_a_broken_kernel_fails_in_the_plan(superblock: bytes, cut: int) -> None:
    broken = memtest()[:cut]
    config = RESET + policy(memtest(), broken)
    world = World(superblock, config).plug("vda", bls("one", "two", one=broken)).boot()
    assert world.tried == [("one.conf", "plan"), ("two.conf", None)]
    assert len(world.machine.blobs.held) == 2


def test_a_kernel_that_the_kernel_refuses_falls_to_the_next_and_says_what_the_errno_means(superblock: bytes) -> None:
    world = World(superblock, RESET).plug("vda", bls("one", "two"))
    world.machine.kexec.errors = [SystemError_("kexec_load failed", 1)]
    world.boot()
    assert world.tried == [("one.conf", "load"), ("two.conf", None)]
    assert "errno=1" in str(world.report.attempts[0].error)
    assert len(world.machine.blobs.held) == 2


def test_a_jump_that_fails_falls_to_the_next_which_is_mounted_again(superblock: bytes) -> None:
    world = World(superblock, RESET).plug("vda", bls("one", "two"))
    world.machine.power.errors = [SystemError_("cannot reboot", 22)]
    world.boot()
    assert world.tried == [("one.conf", "jump"), ("two.conf", None)]
    assert world.calls.count("mount vda") == 2
    assert world.calls[-1] == "reboot: kexec"


def test_what_kexec_file_load_was_given_is_let_go_when_it_fails(superblock: bytes) -> None:
    cloud = kernel().image.read_bytes()
    config = RESET + '[load]\nengine = "file"\n' + policy(cloud)
    world = World(superblock, config).plug("vda", bls("one", "two", one=cloud, two=cloud))
    world.machine.kexec.errors = [SystemError_("kexec_file_load failed", 129)]
    world.boot()
    assert world.tried == [("one.conf", "load"), ("two.conf", None)]
    plan = world.machine.kexec.loaded
    assert isinstance(plan, FilePlan)
    assert world.report.attempts[1].engine == "kexec_file_load"
    assert [blob.size for blob in world.machine.blobs.held] == [len(INITRD)]  # the rest is the kernel's by now


@pytest.mark.parametrize("name", ["kernel", "initrd", "kernel:one.efi"])
def test_no_memory_left_is_a_failure_like_others_and_holds_none(superblock: bytes, tmp_path: Path, name: str) -> None:
    (tmp_path / "initrd").write_bytes(INITRD)
    uki = make_uki(tmp_path / "one.efi", kernel().image, [tmp_path / "initrd"], "ro").read_bytes()
    pinned = f'[policy.uki]\nrequire = ["sha256"]\nsha256 = ["{hashlib.sha256(uki).hexdigest()}"]\n'
    world = World(superblock, RESET + '[load]\nengine = "file"\n' + pinned)
    world.plug("vda", {"/EFI/Linux/one.efi": uki})
    world.machine.blobs.errors = {name.replace("kernel:", "uki:"): SystemError_("no memory for a file", 12)}
    world.boot()
    assert [stage for _, stage in world.tried] == ["fetch" if ":" in name else "plan"]
    assert world.machine.blobs.held == []


def test_nothing_that_failed_is_tried_again_by_itself(superblock: bytes) -> None:
    """Disks come and go, the same entries are found again, and none of them has a second try."""
    evil = bls("one", one=b"MZ" + bytes(100))
    world = World(superblock, RESET).plug("vda", evil)
    for number in range(3):
        world.plug_later(float(number + 1), "vdb", {})
    world.boot()
    assert world.tried == [("one.conf", "verify")]
    assert world.calls[-1] == "reboot: reset"


def test_the_pause_before_a_reset_doubles_and_ends_in_a_reset(superblock: bytes) -> None:
    world = World(superblock, RESET + "reset_delay = 4\n").plug_later(1.0, "vdb", {}).boot()
    assert "nothing was booted: reset in 4 s" in world.text
    assert "nothing was booted: reset in 8 s" in world.text
    assert world.calls[-1] == "reboot: reset"
    assert world.machine.clock.now() == 9.0


def test_no_disk_at_all_ends_in_a_reset_or_in_power_off(superblock: bytes) -> None:
    world = World(superblock, RESET).boot()
    assert world.calls == ["unmount", "reboot: reset"]
    world = World(superblock, RESET.replace('"reset"', '"off"')).boot()
    assert world.calls == ["unmount", "reboot: power off"]


def test_a_late_disk_is_waited_for(superblock: bytes) -> None:
    config = RESET.replace("wait = 0", "wait = 10")
    world = World(superblock, config).plug_later(3.0, "sda", {}).plug_later(7.5, "vda", bls("one")).boot()
    assert world.tried == [("one.conf", None)]
    assert world.machine.clock.now() == 7.5
    assert world.calls == ["mount sda", "mount vda", "kexec_load", "unmount", "quiesce", "reboot: kexec"]


def test_a_disk_that_comes_too_late_is_not(superblock: bytes) -> None:
    config = RESET.replace("wait = 0", "wait = 5") + "reset_delay = 1\n"
    world = World(superblock, config).plug_later(7.5, "vda", bls("one")).boot()
    assert world.tried == []
    assert world.calls[-1] == "reboot: reset"


def test_the_wanted_entry_is_waited_for_although_another_is_here(superblock: bytes) -> None:
    config = RESET.replace('entry = "*"', 'entry = "two*"').replace("wait = 0", "wait = 10")
    world = World(superblock, config).plug("vda", bls("one")).plug_later(2.0, "vdb", bls("two")).boot()
    assert world.tried == [("two.conf", None)]
    alone = World(superblock, config).plug("vda", bls("one")).boot()
    assert alone.tried == [("one.conf", None)]
    assert alone.machine.clock.now() == 10.0


def test_another_disk_under_the_same_name_is_mounted_anew(superblock: bytes) -> None:
    def swap() -> None:
        world.unplug("vda")
        world.superblock = superblock[:0x400] + superblock[0x400:0x800].replace(
            superblock[0x468:0x478], bytes(range(16)))  # fmt: skip
        world.plug("vda", bls("two"))

    world = World(superblock, RESET.replace("wait = 0", "wait = 10")).plug("vda", {})
    world.machine.devices.later(2.0, swap)
    world.boot()
    assert world.tried == [("two.conf", None)]
    assert world.calls.count("mount vda") == 2


def test_problems_from_before_the_disks_stay_in_the_report(superblock: bytes) -> None:
    early = Problem(source="ttyS9", error="cannot open the console")
    world = World(superblock, RESET.replace("wait = 0", "wait = 9"), early=[early])
    world.plug_later(1.0, "vdb", {}).plug_later(2.0, "vda", bls("one")).boot()
    assert world.report.problems == [early]


def test_a_volume_that_cannot_be_mounted_is_a_problem_and_the_others_boot(superblock: bytes) -> None:
    world = World(superblock, RESET).plug("vda", {}).plug("vdb", bls("one"))
    world.machine.mounts.trees["vda"] = SystemError_("cannot mount", 117, volume="vda")
    world.boot()
    assert world.tried == [("one.conf", None)]
    assert [problem.source for problem in world.report.problems] == ["vda"]


MENU = '[boot]\nwait = 0\ntimeout = 5\nedit = true\non_failure = "menu"\n'


def test_the_countdown_boots_the_first_entry(superblock: bytes) -> None:
    world = World(superblock, MENU).plug("vda", bls("one", "two")).boot()
    assert world.tried == [("one.conf", None)]
    assert world.machine.clock.now() == 5.0


def test_the_menu_boots_what_was_chosen_then_falls_to_the_others(superblock: bytes) -> None:
    world = World(superblock, MENU, ["down", "enter"]).plug("vda", bls("one", "two")).boot()
    assert world.tried == [("two.conf", None)]
    broken = bls("one", "two", two=b"MZ")
    world = World(superblock, MENU, ["down", "enter"]).plug("vda", broken).boot()
    assert world.tried == [("two.conf", "verify"), ("one.conf", None)]


def test_the_menu_comes_after_all_failed_and_shows_why(superblock: bytes) -> None:
    world = World(superblock, MENU.replace("timeout = 5", "timeout = 0"), [2.0, "p"])
    world.plug("vda", bls("one", one=b"MZ")).boot()
    assert world.tried == [("one.conf", "verify")]
    assert "Failed:" in world.text
    assert "its SHA-256 is not pinned" in world.text
    assert world.calls[-1] == "reboot: power off"


def test_a_person_may_try_a_failed_entry_again_and_it_is_judged_again(superblock: bytes) -> None:
    world = World(superblock, MENU.replace("timeout = 5", "timeout = 0"), ["enter", "enter", "r"])
    world.plug("vda", bls("one", one=b"MZ")).boot()
    assert world.tried == [("one.conf", "verify")] * 3
    assert world.machine.blobs.held == []
    assert world.calls[-1] == "reboot: reset"


def test_a_disk_that_was_plugged_in_is_found_by_scanning_from_the_menu(superblock: bytes) -> None:
    """When the menu is shown before anything was tried, and when nothing could be booted."""
    for config, tried in ((MENU, []), (MENU.replace("timeout = 5", "timeout = 0"), [("one.conf", "verify")])):
        world = World(superblock, config, ["s", "enter"]).plug("vda", bls("one", one=b"MZ"))
        read_key = world.machine.console.read_key

        def plug_then_say(seconds: float | None, world: World = world, read_key: ReadKey = read_key) -> str | None:
            key = read_key(seconds)
            if key == "s":
                world.plug("vdb", bls("two"))
            return key

        world.machine.console.read_key = plug_then_say  # type: ignore[method-assign]
        world.boot()
        assert world.tried == [*tried, ("two.conf", None)]


def test_another_disk_under_the_same_name_is_tried_anew(superblock: bytes) -> None:
    """The entry has the same id, and the one that failed is gone."""
    other = superblock[: 1024 + 0x68] + bytes(range(16)) + superblock[1024 + 0x78 :]  # s_uuid
    world = World(superblock, RESET).plug("vda", bls("one", one=b"MZ"))

    def swap() -> None:
        world.machine.devices.images["vda"] = other
        world.machine.mounts.trees["vda"] = MemoryFiles(bls("one"))

    world.machine.devices.later(3.0, swap)
    world.boot()
    assert world.tried == [("one.conf", "verify"), ("one.conf", None)]


def test_a_later_disk_with_the_same_entry_is_tried_after_the_first_failed(superblock: bytes) -> None:
    """It stands before the other now, and goes by the id that failed."""
    world = World(superblock, RESET).plug("vdb", bls("one", one=b"MZ")).plug_later(3.0, "vda", bls("one")).boot()
    assert world.tried == [("one.conf", "verify"), ("one.conf", None)]


def test_nobody_at_the_menu_ends_in_a_reset(superblock: bytes) -> None:
    world = World(superblock, MENU).plug("vda", bls("one", one=b"MZ")).boot()
    assert world.calls[-1] == "reboot: reset"
    assert "nothing was booted" in world.text


def test_reset_and_power_off_are_chosen_in_the_menu_before_anything_is_tried(superblock: bytes) -> None:
    for key, call in (("r", "reboot: reset"), ("p", "reboot: power off")):
        world = World(superblock, MENU, [key]).plug("vda", bls("one")).boot()
        assert world.tried == []
        assert world.calls == ["mount vda", "unmount", call]


def test_an_edited_command_line_is_judged_by_the_policy(superblock: bytes) -> None:
    world = World(superblock, MENU, ["e", *" single", "enter"]).plug("vda", bls("one")).boot()
    assert world.tried == [("one.conf", None)]
    assert world.report.attempts[0].cmdline == "ro single"
    world = World(superblock, MENU, ["e", *" init=/bin/sh", "enter", "p"]).plug("vda", bls("one")).boot()
    assert world.tried[0] == ("one.conf", "verify")
    assert "the cmdline is not trusted" in str(world.report.attempts[0].error)


def test_an_edit_that_failed_does_not_condemn_the_entry_itself_for_a_person(superblock: bytes) -> None:
    keys: list[str | float] = ["e", "x", "enter", "1", "enter"]
    world = World(superblock, MENU, keys).plug("vda", bls("one")).boot()
    assert world.tried == [("one.conf", "verify"), ("one.conf", None)]


def test_an_audit_boots_what_it_would_refuse_and_is_loud(superblock: bytes) -> None:
    rules = f'[policy]\nmode = "audit"\n{policy(b"another kernel")}'
    world = World(superblock, RESET + rules).plug("vda", bls("one")).boot()
    assert world.tried == [("one.conf", None)]
    assert "AUDIT ONLY, booted all the same: the kernel vda:/one is not trusted: its SHA-256 is not" in world.text
    assert "the policy only AUDITS" in world.text
    kernel = world.report.attempts[0].verdicts[0]
    assert (kernel["accepted"], world.report.config["mode"]) == (False, "audit")
    enforced = World(superblock, RESET + rules.replace('"audit"', '"enforce"')).plug("vda", bls("one")).boot()
    assert enforced.tried == [("one.conf", "verify")]
    assert "AUDIT" not in enforced.text


def test_the_report_says_everything_about_a_boot(superblock: bytes) -> None:
    config = RESET + 'report = "json"\n'
    world = World(superblock, config).plug("vda", bls("one", "two", one=b"MZ" * 500)).boot()
    lines = world.text.splitlines()
    text = lines[lines.index("bootshim-report-begin") + 1]
    assert lines[lines.index(text) + 1] == "bootshim-report-end"
    read = json.loads(text)
    assert [row["name"] for row in read["volumes"]] == ["vda"]
    assert [row["id"] for row in read["entries"]] == ["one.conf", "two.conf"]
    first, second = read["attempts"]
    assert (first["stage"], first["verdicts"][0]["accepted"]) == ("verify", False)
    assert second["error"] is None
    assert (second["engine"], second["cmdline"]) == ("kexec_load", "ro")
    assert [row["accepted"] for row in second["verdicts"]] == [True] * 3
    assert second["artifacts"][0]["sha256"] == hashlib.sha256(memtest()).hexdigest()
    assert {row["name"] for row in second["segments"]} >= {"kernel", "initrd.0"}
    assert [row["name"] for row in read["stages"]] == [
        "discover", "entries", "fetch", "verify", "fetch", "verify", "measure", "plan", "load", "jump",
    ]  # fmt: skip


def test_what_a_disk_says_reaches_the_console_only_in_safe_form(superblock: bytes) -> None:
    disk = bls("one")
    disk["/loader/entries/one.conf"] = b"title \x1b[2Jevil\x9b\nlinux /one\x1b[31m\noptions \x1b]0;x\x07\n"
    world = World(superblock, MENU, ["i", "x", "enter", "p"]).plug("vda", disk).boot()
    assert "\x1b[2J" not in world.text
    assert "\x1b[31m" not in world.text
    assert "\x07" not in world.text
    assert "\x9b" not in world.text


def test_files_larger_than_the_memory_are_refused(superblock: bytes) -> None:
    world = World(superblock, RESET).plug("vda", bls("one"))
    assert isinstance(world.machine.facts, MemoryFiles)
    world.machine.facts.contents["/proc/meminfo"] = b"MemAvailable: 100 kB\n"
    world.boot()
    assert world.tried == [("one.conf", "fetch")]
    assert "do not fit into memory" in world.text
