"""The boot report: what was found, what was tried, what was judged, and when. docs/report.md is its schema.

It is collected while the boot runs, printed on the console, and handed to the next OS as
/.extra/bootshim/report.json.
"""

from __future__ import annotations

from shim.errors import PlanError, printable
from shim.formats.cpio import CpioEntry, build_cpio
from shim.formats.json_text import build_json
from shim.model import Role, Stage
from shim.ui.table import report_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from shim.config import Config
    from shim.model import Artifact, Entry, Event, Problem, Verdict, Volume
    from shim.ports import Clock, Console

SCHEMA = "bootshim.report/1"
BEGIN_LINE = "bootshim-report-begin"
END_LINE = "bootshim-report-end"
VOLUME_FIELDS = ("name", "device", "size", "fstype", "label", "uuid", "partuuid", "parttype", "partlabel")


class Attempt:
    """One try at one entry. `error` is None while nothing has gone wrong; `stage` is the last one begun."""

    def __init__(self, entry: str) -> None:
        self.entry = entry
        self.stage = ""
        self.error: str | None = None
        self.artifacts: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.engine: str | None = None
        self.why: str | None = None
        self.cmdline: str | None = None
        self.segments: list[dict[str, Any]] = []

    def fetched(self, artifacts: Sequence[Artifact]) -> None:
        self.artifacts = [
            {"role": item.role.value, "name": item.name, "size": item.size, "sha256": item.sha256.hex()}
            for item in artifacts
        ]

    def judged(self, verdicts: Sequence[Verdict]) -> None:
        self.verdicts = [verdict_json(verdict) for verdict in verdicts]

    def measured(self, events: Sequence[Event]) -> None:
        self.events = [event_json(event) for event in events]

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Report:
    """The report of one boot, while it is being written."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stages: list[Stage] = []
        self.volumes: list[Volume] = []
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []
        self.attempts: list[Attempt] = []
        self.notes: list[str] = []
        self.config: dict[str, Any] = {}
        self.kernel: dict[str, Any] = {}

    def stage(self, name: str, attempt: Attempt | None = None) -> StageTimer:
        """Return a context that records how long a stage took, whether it ends well or not."""
        if attempt is not None:
            attempt.stage = name
        return StageTimer(self, name)

    def attempt(self, entry: Entry) -> Attempt:
        """Begin a try at an entry."""
        self.attempts.append(Attempt(entry.id))
        return self.attempts[-1]

    def configured(self, config: Config) -> None:
        """Record what the boot was told to do, and say aloud what weakens it."""
        self.config = {
            "source": config.source,
            "engine": config.load.engine,
            "mode": "audit" if config.policy.audit else "enforce",
            "tpm": config.measure.tpm,
            "unsigned": [role.value for role in Role if config.policy.allows_unsigned(role)],
        }
        self.notes.extend(f"the command line was not obeyed: {sentence}" for sentence in config.refused)
        if config.policy.audit:
            self.notes.append("the policy only AUDITS: what it refuses is booted all the same")
        if config.test.corrupt_digest:
            self.notes.append(f"a fault is made on purpose: a wrong digest for {config.test.corrupt_digest}")

    def left_out(self, names: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        """Note the files that the policy kept from a kernel that is started all the same."""
        reasons = {verdict.name: verdict.reason for verdict in verdicts}
        self.notes.extend(f"left out: {name} is not trusted: {reasons[name]}" for name in names)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, in the order of docs/report.md."""
        return {
            "schema": SCHEMA,
            "config": self.config,
            "kernel": self.kernel,
            "stages": [stage.as_dict() for stage in self.stages],
            "volumes": [volume_json(volume) for volume in self.volumes],
            "entries": [entry_json(entry) for entry in self.entries],
            "problems": [problem.as_dict() for problem in self.problems],
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "notes": self.notes,
        }

    def text(self) -> str:
        """Return the report as one line of JSON."""
        return build_json(self.as_json())

    def show(self, console: Console, form: str) -> None:
        """Print the report: `table` for people, `json` between two marker lines for machines, or `none`."""
        if form == "json":
            console.write(f"{BEGIN_LINE}\n{self.text()}\n{END_LINE}\n")
        elif form == "table":
            console.write(report_table(self.as_json()))


class Handover:
    """The report as the next OS gets it: an archive whose size is known before the segments are placed.

    Beside it lies the event log, where there is one: the firmware's, continued by ours.

    The report names the segments, and lies in one of them. So its size is fixed when it is first asked for, with
    room for what the placement will say, and the text is filled up with spaces, which JSON ignores.
    """

    ROOM_FOR_SEGMENTS = 8192
    PATH = ".extra/bootshim/report.json"
    LOG_PATH = ".extra/bootshim/eventlog.bin"
    ENGINES: Mapping[str, str] = {"load": "kexec_load", "file": "kexec_file_load"}

    def __init__(self, report: Report, attempt: Attempt, event_log: bytes | None = None) -> None:
        self.report, self.attempt, self.event_log = report, attempt, event_log
        self.text_size = 0

    def decided(self, engine: str, why: str, cmdline: str) -> None:
        """Take in what the plan begins with: which engine, why, and the command line that the kernel gets."""
        self.attempt.engine, self.attempt.why, self.attempt.cmdline = self.ENGINES[engine], why, cmdline

    @property
    def size(self) -> int:
        """Bytes of the archive; the same from the first time on."""
        self.text_size = self.text_size or len(self.report.text()) + self.ROOM_FOR_SEGMENTS
        return len(self._archive(b""))

    def build(self, segments: Sequence[tuple[str, int, int, str | None]]) -> bytes:
        """Return the archive, `size` bytes long, for segments given as (name, start, end, SHA-256 or None).

        No segments mean that the kernel places them itself (kexec_file_load).
        """
        size = self.size
        self.attempt.segments = [
            {"name": name, "start": start, "end": end, "sha256": digest} for name, start, end, digest in segments
        ]
        text = self.report.text().encode("ascii")
        if len(text) > self.text_size:
            text = b"{}"
        archive = self._archive(text)
        if len(archive) != size:
            raise PlanError("the report changed its size", expected=size, found=len(archive))
        return archive

    def _archive(self, text: bytes) -> bytes:
        log = [] if self.event_log is None else [CpioEntry.file(self.LOG_PATH, self.event_log, mode=0o440)]
        return build_cpio([
            CpioEntry.directory(".extra", 0o555), CpioEntry.directory(".extra/bootshim"),
            CpioEntry.file(self.PATH, text.ljust(self.text_size)), *log,
        ])


class StageTimer:
    """The time of one stage, from `with` to its end."""

    def __init__(self, report: Report, name: str) -> None:
        self.report, self.name = report, name
        self.start = 0.0

    def __enter__(self) -> StageTimer:
        self.start = self.report.clock.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.report.stages.append(Stage(name=self.name, start=self.start, end=self.report.clock.now()))


def volume_json(volume: Volume) -> dict[str, Any]:
    """Return the facts of a volume that people look for."""
    return {**{name: getattr(volume, name) for name in VOLUME_FIELDS}, "kind": volume.kind.value}


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return one judgement as JSON values."""
    facts = {**verdict.as_dict(), "role": verdict.role.value, "sha256": verdict.sha256.hex()}
    del facts["keys"]  # only counts signers
    return facts


def event_json(event: Event) -> dict[str, Any]:
    """Return one measurement as JSON values, digests by bank."""
    digests = {bank: digest.hex() for bank, digest in event.digests.items()}
    return {"pcr": event.pcr, "description": event.description, "digests": digests}


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return an entry in the form of the schema bootshim.entries/1: paths are in the entry's own volume."""

    def path(ref: object) -> str | None:
        return None if ref is None else ref.path  # type: ignore[attr-defined]  # FileRef, or nothing

    given: Mapping[str, Any] = entry.as_dict()
    plain = ("id", "title", "version", "dialect", "source")
    return {
        **{name: given[name] for name in plain},
        "linux": path(entry.linux),
        "initrd": [ref.path for ref in entry.initrd],
        "cmdline": entry.own_cmdline if entry.cmdline is None else entry.cmdline,
        "devicetree": path(entry.devicetree),
        "efi": path(entry.uki or entry.efi),
        "ospkg": path(entry.ospkg),
        "multiboot": path(entry.multiboot),
        "modules": [ref.path for ref in entry.modules],
        **{name: given[name] for name in ("default", "rank", "tries_left", "tries_done", "hidden")},
        "trace": list(entry.trace),
    }


def shown_problem(problem: Problem) -> str:
    """Say a problem on one line, safe for a terminal."""
    return printable(f"{problem.source}: {problem.error}")
