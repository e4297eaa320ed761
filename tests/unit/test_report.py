"""The boot report: docs/report.md is its schema, and its copy for the next OS has the size that was promised."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.config import parse_config
from shim.errors import FetchError, VerifyError
from shim.formats.cpio import parse_cpio
from shim.formats.tcglog import EV_IPL
from shim.model import Artifact, Entry, Event, FileRef, PartitionKind, Problem, Role, Verdict, Volume
from shim.report import BEGIN_LINE, END_LINE, SCHEMA, Attempt, Handover, Report, entry_json, shown_problem
from shim.system.blobs import MemoryBlob
from shim.system.recording import RecordingMachine
from shim.ui.columns import width
from shim.ui.table import report_table
from shim.ui.timeline import timeline

DOCUMENT = Path(__file__).parents[2] / "docs/report.md"
CONFIG = '[policy.cmdline]\nrequire = ["unsigned"]\n[test]\ncorrupt_digest = "kernel"\n'
ENTRY = Entry(
    id="debian.conf",
    dialect="bls1",
    volume="vda2",
    source="/loader/entries/debian.conf:1",
    title="Debian GNU/Linux 12",
    linux=FileRef(volume="vda2", path="/vmlinuz"),
    initrd=(FileRef(volume="vda2", path="/initrd.img"),),
    cmdline="ro quiet",
    default=True,
    trace=("read from vda2",),
)
VERDICT = Verdict(
    role=Role.KERNEL,
    name="vda2:/vmlinuz",
    accepted=True,
    rule="authenticode",
    reason="signed under Debian Secure Boot CA",
    signer="Debian Secure Boot Signer 2022 - linux",
    covered="all of the image",
    sha256=bytes(32),
)


def full_report() -> tuple[Report, Attempt]:
    """Return a report in which nothing is empty."""
    machine = RecordingMachine(now=0.5)
    report = Report(machine.clock)
    report.configured(parse_config(CONFIG, "my.toml", lambda name: b""))
    report.volumes = [
        Volume(
            name="vda1", device="/dev/vda1", size=512 << 20, fstype="vfat", uuid="1234-ABCD", kind=PartitionKind.ESP
        ),
        Volume(name="vda2", device="/dev/vda2", size=2 << 30, fstype="ext4", label="boot"),
    ]
    report.entries = [ENTRY, ENTRY.replace(id="old.conf", hidden="no tries left", default=False, rank=1)]
    report.problems = [Problem(source="vda3", error="cannot mount")]
    attempt = report.attempt(ENTRY)
    for name in ("fetch", "verify", "measure", "plan"):
        with report.stage(name, attempt):
            machine.clock.sleep(0.25)
    blob = MemoryBlob(b"kernel")
    attempt.fetched([Artifact(role=Role.KERNEL, name="vda2:/vmlinuz", size=6, sha256=bytes(32), blob=blob)])
    attempt.judged([VERDICT])
    digests = {"sha256": bytes(32)}
    attempt.measured([Event(pcr=12, event_type=EV_IPL, description="command line", digests=digests, data=b"")])
    handover = Handover(report, attempt, b"an event log")
    handover.decided("load", "no lockdown", "ro quiet")
    handover.build([("kernel", 0x1000000, 0x2000000, "ab" * 32), ("report", 0x3000, 0x4000, None)])
    return report, attempt


def documented(heading: str) -> dict[str, str]:
    """Return the rows of the table under a line that begins with `heading`, in order."""
    text = DOCUMENT.read_text().split(heading, 1)[1]
    table = re.search(r"\n\| key \| value \|\n\|---\|---\|\n((?:\|.*\n)+)", text)
    assert table
    rows = {}
    for line in table[1].splitlines():
        keys, value = line.strip("|").split("|", 1)
        rows.update(dict.fromkeys(re.findall(r"`(\w+)`", keys), value))
    return rows


def listed(value: str) -> set[str]:
    """Return the keys that a description of a list names, those in parentheses (values) left out."""
    plain = re.sub(r"\([^)]*\)", "", value)
    return set(re.findall(r"`(\w+)`", plain.split(";")[0].split(":")[0]))


def test_every_key_of_the_report_is_documented_and_every_documented_key_is_there() -> None:
    report = full_report()[0].as_json()
    rows = documented("# The boot report")
    assert list(rows) == list(report)
    for name in ("stages", "volumes", "problems"):
        assert listed(rows[name]) == set(report[name][0]), name
    assert {"source", "engine", "mode", "tpm", "unsigned"} == set(report["config"])
    assert all(f"`{key}`" in rows["config"] for key in report["config"])


def test_every_key_of_an_attempt_is_documented_and_every_documented_key_is_there() -> None:
    attempt = full_report()[0].as_json()["attempts"][0]
    rows = documented("An attempt has:")
    assert list(rows) == list(attempt)
    for name in ("artifacts", "verdicts", "events", "segments"):
        assert listed(rows[name]) == set(attempt[name][0]), name


def test_kinds_of_volumes_are_documented() -> None:
    text = DOCUMENT.read_text()
    assert all(f"`{kind.value}`" in text for kind in PartitionKind)


def test_entries_have_the_form_of_the_entries_command() -> None:
    assert list(entry_json(ENTRY)) == [
        "id", "title", "version", "dialect", "source", "linux", "initrd", "cmdline", "devicetree", "efi", "ospkg",
        "multiboot", "modules", "default", "rank", "tries_left", "tries_done", "hidden", "trace",
    ]  # fmt: skip
    assert entry_json(ENTRY)["linux"] == "/vmlinuz"
    assert entry_json(ENTRY)["initrd"] == ["/initrd.img"]


def test_the_text_is_json_of_the_schema() -> None:
    report, _ = full_report()
    read = json.loads(report.text())
    assert read["schema"] == SCHEMA == "bootshim.report/1"
    assert read["attempts"][0]["segments"][0] == {
        "name": "kernel", "start": 0x1000000, "end": 0x2000000, "sha256": "ab" * 32,
    }  # fmt: skip
    assert read["attempts"][0]["verdicts"][0]["sha256"] == "00" * 32
    assert [stage["name"] for stage in read["stages"]] == ["fetch", "verify", "measure", "plan"]
    assert read["stages"][0] == {"name": "fetch", "start": 0.5, "end": 0.75}


def test_a_weak_configuration_is_said_in_the_table() -> None:
    text = report_table(full_report()[0].as_json())
    assert "UNSIGNED bytes are taken by policy for: cmdline" in text
    assert "a fault is made on purpose" in text


def test_the_table_fits_and_says_what_matters() -> None:
    text = report_table(full_report()[0].as_json())
    assert all(width(line) <= 79 for line in text.splitlines())
    for word in ("vda1", "1234-ABCD", "debian.conf", "not offered: no tries left", "cannot mount", "no lockdown",
                 "Debian Secure Boot Signer", "0x1000000-0x2000000", "no digest", "ro quiet", "verify"):  # fmt: skip
        assert word in text, word


def test_an_empty_report_has_a_table_too() -> None:
    assert "boot report" in report_table(Report(RecordingMachine().clock).as_json())


nasty = st.text(alphabet=st.characters(), max_size=120)


@settings(max_examples=40)
@given(nasty, nasty, st.floats(min_value=0, max_value=1e9), st.integers(min_value=0, max_value=1 << 70))
def test_no_text_breaks_the_table_or_the_json(text: str, other: str, time: float, size: int) -> None:
    report, attempt = full_report()
    report.volumes.append(Volume(name=text, label=other, fstype=text, uuid=other, size=size))
    report.entries.append(ENTRY.replace(id=text, title=other, hidden=text))
    report.problems.append(Problem(source=text, error=other))
    report.notes.append(text)
    attempt.error, attempt.why, attempt.cmdline = text, other, text
    attempt.judged([VERDICT.replace(reason=text, signer=other, name=text)])
    with report.stage(other):
        report.clock.sleep(time)
    shown = report_table(report.as_json())
    assert all(width(line) <= 79 and line.isprintable() for line in shown.split("\n"))
    json.loads(report.text())
    assert "\n" not in report.text()
    assert report.text().isascii()
    assert shown_problem(Problem(source=text, error=other)).isprintable()


def test_a_report_of_thousands_stays_readable() -> None:
    report, _ = full_report()
    report.entries *= 5000
    report.problems *= 5000
    for _ in range(500):
        with report.stage("fetch"):
            pass
    assert report_table(report.as_json()).count("\n") < 250


def test_a_timeline_draws_every_stage_on_one_scale() -> None:
    rows = timeline(
        [
            {"name": "start", "start": 1.0, "end": 1.5},
            {"name": "discover", "start": 1.5, "end": 2.0},
            {"name": "x" * 50, "start": 2.0, "end": 2.0},
        ]
    ).splitlines()
    assert rows[0].endswith("1.000 s to 2.000 s")
    assert rows[1].endswith(f"|{'#' * 20}{' ' * 20}|")
    assert rows[2].endswith(f"|{' ' * 20}{'#' * 20}|")
    assert rows[3].endswith(f"|{' ' * 39}#|")
    assert timeline([]) == ""


@example([(0.0, 2.2250738585072014e-308)])
@given(st.lists(st.tuples(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e6)), max_size=60))
def test_any_times_make_bars_inside_the_scale(times: list[tuple[float, float]]) -> None:
    stages = [{"name": "stage", "start": start, "end": start + took} for start, took in times]
    for line in timeline(stages).splitlines():
        assert width(line) <= 79
        assert "|" not in line or line.endswith("|")


@given(st.lists(st.tuples(st.integers(0, 1 << 52), st.sampled_from([None, "ab" * 32])), max_size=80))
def test_the_handover_has_the_size_that_it_promised(places: list[tuple[int, str | None]]) -> None:
    report, attempt = full_report()
    handover = Handover(report, attempt)
    rows = [(f"segment {number}", start, start + 4096, digest) for number, (start, digest) in enumerate(places)]
    archive = handover.build(rows)
    assert len(archive) == handover.size
    files = {entry.path: entry.data for entry in parse_cpio(archive)}
    read: dict[str, Any] = json.loads(bytes(files[Handover.PATH]))
    assert read == {} or len(read["attempts"][-1]["segments"]) == len(rows)
    assert read or len(rows) > 40


def test_the_handover_says_what_was_decided_before_it_is_built() -> None:
    report, attempt = full_report()
    handover = Handover(report, attempt)
    handover.decided("file", "lockdown", "\x01" * 2047)
    assert (attempt.engine, attempt.why, attempt.cmdline) == ("kexec_file_load", "lockdown", "\x01" * 2047)
    handover.decided("load", "no lockdown", "ü" * 1000)
    archive = handover.build([("kernel", 0, 4096, None)])
    assert len(archive) == handover.size
    read = json.loads(bytes({entry.path: entry.data for entry in parse_cpio(archive)}[Handover.PATH]))
    assert (read["attempts"][-1]["engine"], read["attempts"][-1]["cmdline"]) == ("kexec_load", "ü" * 1000)


@pytest.mark.parametrize("form", ["json", "table", "none"])
def test_the_report_is_shown_in_the_form_that_was_asked_for(form: str) -> None:
    report, _ = full_report()
    machine = RecordingMachine()
    report.show(machine.console, form)
    if form == "json":
        begin, text, end = machine.console.text.splitlines()
        assert (begin, end) == (BEGIN_LINE, END_LINE)
        assert json.loads(text)["schema"] == SCHEMA
    else:
        assert bool(machine.console.text) == (form == "table")


def test_a_stage_that_fails_has_its_time_too() -> None:
    report, attempt = full_report()
    with pytest.raises(VerifyError), report.stage("verify", attempt):
        report.clock.sleep(2.0)
        raise VerifyError("not trusted")
    assert report.stages[-1].end - report.stages[-1].start == 2.0
    assert attempt.stage == "verify"


def test_a_problem_is_one_safe_line() -> None:
    assert shown_problem(Problem(source="a\nb", error=str(FetchError("\x1b[2J")))) == r"a\nb: \x1b[2J"
