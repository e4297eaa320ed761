"""The measure stage: the plan that docs/measuring.md shows, a TPM that really extends, and each way to fail.

`swtpm` stands for the real one where the twin might share an error with the code that talks to it.
"""

from __future__ import annotations

import hashlib
import os
import pty
import re
import tty
from pathlib import Path

import pytest

from shim.errors import FormatError, MeasureError, ShimError
from shim.formats.cpio import parse_cpio
from shim.formats.tcglog import EV_SEPARATOR, LogEvent, build_event, build_log, parse_log, replay
from shim.formats.tpm2 import RESPONSE
from shim.measure.eventlog import FIRMWARE_LOG
from shim.measure.pcrs import PLAN, SECTIONS
from shim.measure.plan import ZEROS_MAX, measure_cmdline, measure_uki
from shim.measure.session import Session
from shim.model import SegmentsPlan
from shim.report import Handover
from shim.system.clock import LinuxClock
from shim.system.memory_files import MemoryFiles
from shim.system.recording import RecordingClock
from shim.system.recording_tpm import RecordingTpm
from shim.system.tpm import LinuxTpm
from shim.tpm import TRIES
from tests.builders.debian import kernel
from tests.builders.measured import BANKS, sections_of, systemd_measure
from tests.builders.swtpm import TpmSocket
from tests.builders.uki import make_uki
from tests.builders.world import INITRD, World, bls, memtest

ROOT = Path(__file__).parents[2]
CONFIG = '[boot]\nentry = "*"\nwait = 0\ntimeout = 0\non_failure = "reset"\nreport = "json"\n'
REQUIRED = f'{CONFIG}[measure]\ntpm = "required"\n'
FAILURE, RETRY, LOCKOUT = 0x101, 0x922, 0x921


def chained(bank: str, *contents: bytes) -> str:
    value = bytes(hashlib.new(bank).digest_size)
    for content in contents:
        value = hashlib.new(bank, value + hashlib.new(bank, content).digest()).digest()
    return value.hex()


def booted(superblock: bytes, tpm: RecordingTpm, config: str = CONFIG, log: bytes | None = None) -> World:
    world = World(superblock, config, tpm=tpm).plug("vda", bls("one", "two"))
    assert isinstance(world.machine.facts, MemoryFiles)
    if log is not None:
        world.machine.facts.contents[FIRMWARE_LOG] = log
    return world.boot()


def log_of(world: World) -> bytes | None:
    """Return the event log that the loaded kernel is given."""
    plan = world.machine.kexec.loaded
    assert isinstance(plan, SegmentsPlan)
    archive, = (bytes(segment.data) for segment in plan.segments if segment.name == "report")
    files = {entry.path: bytes(entry.data) for entry in parse_cpio(archive)}
    return files.get(Handover.LOG_PATH)


def test_the_plan_is_what_the_manual_says() -> None:
    text = (ROOT / "docs/measuring.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert rows == [(str(use.pcr), use.what, use.hashed) for use in PLAN]
    assert tuple(re.findall(r"`(\.\w+)`", text.split("Sections are hashed")[1].split("`.pcrsig`")[0])) == SECTIONS
    short = re.findall(r"^\| (\d+) \| ([^|]*?) \|$", (ROOT / "docs/trust.md").read_text(), re.MULTILINE)
    assert short == [(str(use.pcr), use.what) for use in PLAN]


def test_a_plain_kernel_is_measured_by_the_plan(superblock: bytes) -> None:
    tpm = RecordingTpm(["sha256", "sha1"])
    world = booted(superblock, tpm)
    assert world.tried == [("one.conf", None)]
    for bank in ("sha256", "sha1"):
        assert tpm.pcrs[bank][8].hex() == chained(bank, world.config_text.encode(), b"one.conf")
        assert tpm.pcrs[bank][9].hex() == chained(bank, memtest(), INITRD)
        assert tpm.pcrs[bank][12].hex() == chained(bank, b"r\0o\0\0\0")
        assert not any(tpm.pcrs[bank][11])
    events = world.report.attempts[-1].events
    assert [(event["pcr"], event["description"]) for event in events] == [
        (8, "configuration config.toml"), (8, "entry one.conf"), (9, "kernel vda:/one"), (12, "command line"),
        (9, "initrd vda:/initrd.img"),
    ]  # fmt: skip


def test_the_log_of_the_firmware_is_continued(superblock: bytes) -> None:
    digests = {bank: hashlib.new(bank, bytes(4)).digest() for bank in BANKS}
    firmware = build_log(BANKS, [LogEvent(pcr_index=7, event_type=EV_SEPARATOR, digests=digests, event=bytes(4))])
    tpm = RecordingTpm(["sha256"])
    log = log_of(booted(superblock, tpm, log=firmware + bytes(512)))
    assert log is not None and log.startswith(firmware)
    events = parse_log(log).events
    values = replay(events, "sha256", hashlib.sha256)
    assert [values[pcr] for pcr in (8, 9, 12)] == [tpm.pcrs["sha256"][pcr] for pcr in (8, 9, 12)]
    assert values[7].hex() == chained("sha256", bytes(4))
    assert all(set(event.digests) == set(BANKS) for event in events)


def test_a_log_of_the_old_form_is_continued_in_that_form(superblock: bytes) -> None:
    first = LogEvent(pcr_index=7, event_type=EV_SEPARATOR, digests={"sha1": hashlib.sha1(bytes(4)).digest()},
                     event=bytes(4))  # fmt: skip
    tpm = RecordingTpm(["sha1", "sha256"])
    log = log_of(booted(superblock, tpm, log=build_event(first)))
    assert log is not None
    parsed = parse_log(log)
    assert not parsed.is_agile
    assert replay(parsed.events, "sha1", hashlib.sha256)[9] == tpm.pcrs["sha1"][9]


@pytest.mark.parametrize("firmware", [None, b"\xff" * 100, b""])
def test_without_a_sound_log_ours_begins_anew_and_the_report_says_so(superblock: bytes, firmware: bytes | None) -> None:
    tpm = RecordingTpm(["sha384"])
    world = booted(superblock, tpm, log=firmware)
    log = log_of(world)
    assert log is not None
    assert replay(parse_log(log).events, "sha384", hashlib.sha256)[9] == tpm.pcrs["sha384"][9]
    assert any("event log" in note for note in world.report.notes)


def test_an_entry_that_fails_later_stays_measured_and_the_configuration_is_measured_once(superblock: bytes) -> None:
    tpm = RecordingTpm(["sha256"])
    world = World(superblock, CONFIG, tpm=tpm).plug("vda", bls("one", "two"))
    world.machine.kexec.errors = [ShimError("the kernel does not take it")]
    world.boot()
    assert world.tried == [("one.conf", "load"), ("two.conf", None)]
    assert tpm.pcrs["sha256"][8].hex() == chained("sha256", world.config_text.encode(), b"one.conf", b"two.conf")
    assert tpm.pcrs["sha256"][9].hex() == chained("sha256", memtest(), INITRD, memtest(), INITRD)
    assert world.report.attempts[1].events[0]["description"] == "entry two.conf"


def test_what_the_policy_refuses_is_not_measured(superblock: bytes) -> None:
    tpm = RecordingTpm(["sha256"])
    world = World(superblock, CONFIG, tpm=tpm).plug("vda", bls("one", one=b"MZ" * 500)).boot()
    assert world.tried == [("one.conf", "verify")]
    assert tpm.commands == []


def test_without_a_tpm_it_boots_and_says_so_unless_one_is_required(superblock: bytes) -> None:
    world = booted(superblock, RecordingTpm())
    assert world.tried == [("one.conf", None)]
    assert "this boot is not measured: the machine has no TPM 2.0" in world.report.notes
    assert log_of(world) is None
    world = booted(superblock, RecordingTpm(), REQUIRED)
    assert world.tried == [("one.conf", "measure"), ("two.conf", "measure")]
    assert world.calls[-1] == "reboot: reset"
    assert world.machine.blobs.held == []


def test_off_asks_no_tpm(superblock: bytes) -> None:
    tpm = RecordingTpm(["sha256"])
    world = booted(superblock, tpm, f'{CONFIG}[measure]\ntpm = "off"\n')
    assert (world.tried, tpm.commands) == ([("one.conf", None)], [])


LATE = MeasureError("the TPM does not answer", seconds=20)
ANSWERS: dict[str, tuple[bytes | int | ShimError, str]] = {
    "an error": (FAILURE, "the TPM is in failure mode (TPM_RC_FAILURE, 0x101)"),
    "a lockout": (LOCKOUT, "in dictionary attack lockout (TPM_RC_LOCKOUT, 0x921)"),
    "silence": (LATE, "the TPM does not answer"),
    "nothing": (b"", "makes no sense: TPM response is cut short"),
    "too little": (RESPONSE.build(tag=0x8001, response_size=10, response_code=0), "makes no sense"),
    "too much": (bytes(5000), "makes no sense: TPM response is too long"),
    "a lie": (RESPONSE.build(tag=0x8001, response_size=11, response_code=0), "another size than it says"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_a_tpm_that_fails_is_told_in_words_and_the_configuration_decides(superblock: bytes, case: str) -> None:
    answer, sentence = ANSWERS[case]
    tpm = RecordingTpm(["sha256"])
    tpm.answers = [answer]
    world = booted(superblock, tpm)
    assert world.tried == [("one.conf", None)]
    told = [note for note in world.report.notes if "this boot is NOT measured" in note]
    assert len(told) == 1 and sentence in told[0]
    assert "this boot is NOT measured" in world.text
    tpm = RecordingTpm(["sha256"])
    tpm.answers = [answer]
    world = booted(superblock, tpm, REQUIRED)
    assert world.tried == [("one.conf", "measure"), ("two.conf", None)]
    assert sentence in str(world.report.attempts[0].error)


@pytest.mark.parametrize("config", [CONFIG, REQUIRED])
def test_a_tpm_that_fails_in_the_middle_leaves_a_log_of_what_was_extended(superblock: bytes, config: str) -> None:
    tpm = RecordingTpm(["sha256"])
    world = World(superblock, config, tpm=tpm).plug("vda", bls("one", "two"))
    good = tpm.transmit

    def failing(command: bytes) -> bytes:
        if len(tpm.commands) == 4:
            tpm.answers = [FAILURE]
        return good(command)

    tpm.transmit = failing  # type: ignore[method-assign]  # the fifth command fails, whatever it is
    world.boot()
    log = log_of(world)
    assert log is not None
    values = replay(parse_log(log).events, "sha256", hashlib.sha256)
    assert {pcr: value for pcr, value in enumerate(tpm.pcrs["sha256"]) if any(value) and pcr < 17} == values
    assert len(world.report.attempts[0].events) == 3


def test_a_busy_tpm_is_asked_again_but_not_for_ever() -> None:
    clock = RecordingClock(0.0)
    tpm = RecordingTpm(["sha256"])
    tpm.answers = [RETRY] * (TRIES - 1)
    assert [bank.name for bank in Session(tpm, clock).banks] == ["sha256"]
    assert 2.0 < clock.now() < 6.0
    tpm.answers = [RETRY] * TRIES
    with pytest.raises(MeasureError, match="TPM_RC_RETRY"):
        Session(tpm, clock)


def test_a_tpm_that_nobody_started_is_started() -> None:
    tpm = RecordingTpm(["sha256"], is_started=False)
    assert len(Session(tpm, RecordingClock(0.0)).banks) == 1
    assert len(tpm.commands) == 3


def test_a_tpm_without_a_bank_that_is_known_is_no_tpm_to_measure_into() -> None:
    tpm = RecordingTpm(["sha256"])
    body = bytes.fromhex("00 00000005 00000001  0012 03 ffffff")
    tpm.answers = [RESPONSE.build(tag=0x8001, response_size=10 + len(body), response_code=0) + body]
    with pytest.raises(MeasureError, match=r"no active PCR bank.*sm3_256"):
        Session(tpm, RecordingClock(0.0))


@pytest.mark.tools
def test_swtpm_takes_our_commands_and_has_the_values_of_the_twin() -> None:
    twin = Session(RecordingTpm(BANKS), RecordingClock(0.0))
    with TpmSocket() as tpm:
        real = Session(tpm, LinuxClock())  # the first answer is TPM_RC_INITIALIZE
        assert {bank.name for bank in real.banks} >= {"sha256"}
        digests = {bank: hashlib.new(bank, b"something").digest() for bank in BANKS}
        for _ in range(2):
            real.extend(11, digests)
            twin.extend(11, digests)
        for bank in real.banks:
            assert real.read(bank.name, 11) == twin.read(bank.name, 11)
            assert real.read(bank.name, 17) == twin.read(bank.name, 17)


@pytest.fixture(scope="module")
def uki(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("uki")
    (folder / "initrd").write_bytes(INITRD)
    (folder / "hwids").write_bytes(b"not read by anyone here")
    more = ["--microcode", str(folder / "initrd"), "--uname", kernel().release,
            "--section", f".splash:@{folder / 'initrd'}", "--section", f".hwids:@{folder / 'hwids'}"]
    return make_uki(folder / "uki", kernel().image, [folder / "initrd"], "ro", profiles={"safe": "ro single"},
                    more=more).read_bytes()


@pytest.mark.tools
@pytest.mark.parametrize("profile", [0, 1])
def test_systemd_measure_has_the_same_value_for_a_uki(uki: bytes, tmp_path: Path, profile: int) -> None:
    sections = sections_of(uki, profile)
    assert {".hwids", ".ucode", ".profile", ".uname", ".splash", ".sbat"} < set(sections)
    witness = systemd_measure(tmp_path, sections)
    events = [one.event(BANKS, hashlib.sha256) for one in measure_uki(uki, profile)]
    logged = [LogEvent(pcr_index=event.pcr, event_type=event.event_type, digests=event.digests, event=event.data)
              for event in events]  # fmt: skip
    assert {bank: replay(logged, bank, hashlib.sha256)[11].hex() for bank in BANKS} == witness


def test_a_section_that_is_longer_in_memory_is_hashed_as_it_is_there(uki: bytes) -> None:
    name = b".cmdline"
    at = uki.index(name) + 8
    longer = uki[:at] + (70_000).to_bytes(4, "little") + uki[at + 4 :]
    found = [one for one in measure_uki(longer, None) if one.description == "section .cmdline"]
    raw = bytes(found[0].content)
    event = found[0].event(["sha256"], hashlib.sha256)
    assert event.digests["sha256"] == hashlib.sha256(raw.ljust(70_000, b"\0")).digest()
    endless = uki[:at] + (len(raw) + ZEROS_MAX + 1).to_bytes(4, "little") + uki[at + 4 :]
    with pytest.raises(MeasureError, match="far longer in memory"):
        measure_uki(endless, None)
    with pytest.raises(FormatError):
        measure_uki(uki[:5000], None)


def test_a_command_line_is_what_uefi_has() -> None:
    assert measure_cmdline("rö").content == b"r\0\xf6\0\0\0"


def test_a_device_that_does_not_answer_is_left_alone() -> None:
    """A terminal stands for the device: what is written to it goes nowhere until somebody answers."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = os.ttyname(theirs)
    tpm = LinuxTpm((str(path) + ".absent", path), seconds=0.2)
    os.write(ours, b"answer")
    assert tpm.transmit(b"question") == b"answer"
    assert os.read(ours, 100) == b"question"
    for sentence in ("the TPM does not answer", "did not answer before"):
        with pytest.raises(MeasureError, match=sentence):
            tpm.transmit(b"question")
    os.close(ours)
    os.close(theirs)


def test_a_device_that_is_not_there_is_no_tpm(tmp_path: Path) -> None:
    tpm = LinuxTpm((str(tmp_path / "tpm0"),))
    assert not tpm.is_present()
    with pytest.raises(MeasureError, match="no TPM"):
        tpm.transmit(b"")
    with pytest.raises(MeasureError, match="cannot open the TPM"):
        LinuxTpm((str(tmp_path),)).transmit(b"")


