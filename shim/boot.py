"""The flow: discover -> entries -> choose -> fetch -> verify -> measure -> plan -> load -> jump.

A failure at any stage goes to the next entry, then to the menu, then by policy to a reset. Nothing that failed is
tried a second time unless a person asks for it.
"""

from __future__ import annotations

from shim.discover import discover_volumes
from shim.entries import read_entries
from shim.errors import EntryError, ShimError, VerifyError, printable
from shim.fetch import artifacts_of, fetch_entry, limits_for, release, release_left_out
from shim.load import LoadOptions, load, plan
from shim.load.state import read_kernel_state
from shim.measure import Ledger, measure
from shim.model import Candidate, Problem, Role, SegmentsPlan
from shim.report import Handover
from shim.ui.menu import ChoiceKind, MenuOptions, choose
from shim.verify import verify
from shim.verify.rollback import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.config import Config
    from shim.entries import EntryList
    from shim.fetch.snapshot import Snapshot
    from shim.model import Entry, FilePlan, Verified, Volume
    from shim.ports import Files, Machine
    from shim.report import Attempt, Report
    from shim.ui.menu import Choice
    from shim.verify.policy import Policy

    Place = tuple[str, str, int | None]

RESET_DELAY_LIMIT = 600.0


class Boot:
    """One boot of one machine.

    `read_from` are the trees as the entries were read from them, where the policy judges that.
    `failed` holds why an entry is not tried again by itself, by where it stands (`place_of`). `started_with` are the
    problems that came before the disks. `left` is set when the machine was told to go: on a real one nothing runs
    after that, on a recording one the flow ends.
    """

    def __init__(self, machine: Machine, config: Config, report: Report) -> None:
        self.machine, self.config, self.report = machine, config, report
        self.volumes: dict[str, Volume] = {}
        self.trees: dict[str, Files] = {}
        self.read_from: dict[str, Snapshot] = {}
        self.failed: dict[Place, str] = {}
        self.started_with = tuple(report.problems)
        self.left = False
        self.remembered: Policy | None = None
        self.ledger = Ledger(config.measure.tpm, config.content)

    def run(self) -> None:
        """Boot, or end in a reset or power-off. Returns only where leaving is recorded instead of done."""
        self.report.kernel = read_kernel_state(self.machine.facts)
        delay, asked = self.config.boot.reset_delay, False
        while not self.left:
            found = self.find(0.0 if asked else self.config.boot.wait)
            choice = self.offer(found, None if asked else self.menu_timeout(found))
            asked = wants_scan(choice)
            if asked:
                continue
            self.act(found, choice)
            if self.left:
                return None
            if self.config.boot.on_failure == "off":
                return self.leave(ChoiceKind.OFF)
            asked = self.config.boot.on_failure == "menu" and self.stay_in_menu(found)
            if not self.left and not asked:
                self.pause_before_reset(delay)
                delay = min(delay * 2, RESET_DELAY_LIMIT)
        return None

    def find(self, seconds: float) -> EntryList:
        """Discover and read until an entry can be tried, or no device has come for `seconds`."""
        deadline = self.machine.clock.now() + seconds
        while True:
            self.discover()
            with self.report.stage("entries"):
                found = self.read()
            left = deadline - self.machine.clock.now()
            if self.is_enough(found) or left <= 0 or not self.machine.devices.wait(left):
                return found

    def discover(self) -> None:
        """Find the volumes, and mount those that are new; another disk under a known name is new too."""
        with self.report.stage("discover"):
            found = discover_volumes(self.machine)
            before, self.volumes = self.volumes, {volume.name: volume for volume in found.volumes}
            self.report.volumes = list(found.volumes)
            self.report.problems = [*self.started_with, *found.problems]
            same = {name for name, volume in self.volumes.items() if before.get(name) == volume}
            self.trees = {name: tree for name, tree in self.trees.items() if name in same}
            self.failed = {place: why for place, why in self.failed.items() if place[0] in same}
            for volume in found.volumes:
                if volume.fstype is not None and volume.name not in self.trees:
                    self.mount(volume)

    def mount(self, volume: Volume) -> None:
        try:
            self.trees[volume.name] = self.machine.mounts.mount(volume)
        except ShimError as problem:
            self.report.problems.append(Problem(source=volume.name, error=str(problem)))

    def read(self) -> EntryList:
        """Read the entries of all mounted volumes, in the order in which they are tried."""
        trees: dict[str, Files] = dict(self.trees)
        if self.config.policy.may_judge(Role.ENTRY):
            from shim.fetch.snapshot import Snapshot

            self.read_from = {name: Snapshot(tree) for name, tree in trees.items()}
            trees.update(self.read_from)
        mounted = [(self.volumes[name], tree) for name, tree in trees.items()]
        found = read_entries(
            mounted, dialects=self.config.boot.dialects, default=self.config.boot.entry
        )
        self.report.entries = list(found.entries)
        self.report.problems.extend(found.problems)
        return found

    def is_enough(self, found: EntryList) -> bool:
        """Say whether there is no need to wait for more disks: the wanted entry is here, or any if none is."""
        ready = [entry for entry in found.entries if self.is_tried(entry)]
        return any(entry.default for entry in ready) if self.config.boot.entry else bool(ready)

    def is_tried(self, entry: Entry) -> bool:
        return entry.hidden is None and place_of(entry) not in self.failed

    def menu_timeout(self, found: EntryList) -> float:
        """Return how long the menu is shown before the first entry is tried: the configuration, else the disk."""
        baked = self.config.boot.timeout
        return baked if baked is not None else found.timeout or 0.0

    def offer(self, found: EntryList, timeout: float | None) -> Choice | None:
        """Show the menu for `timeout` seconds (None: until a key); None means that nobody chose."""
        if timeout is not None and timeout <= 0:
            return None
        with self.report.stage("choose"):
            places = {entry.id: place_of(entry) for entry in found.entries}
            failed = {name: self.failed[place] for name, place in places.items() if place in self.failed}
            options = MenuOptions(timeout=timeout, edit=self.config.boot.edit, failed=failed)
            return choose(found.entries, self.machine.console, self.machine.clock, options)

    def act(self, found: EntryList, choice: Choice | None) -> None:
        """Do what was chosen, then try what is left in order."""
        if choice is not None:
            self.obey(choice)
        for entry in found.entries:
            if self.left:
                break
            if self.is_tried(entry):
                self.try_entry(entry)

    def obey(self, choice: Choice) -> None:
        """Leave, or try the chosen entry."""
        if choice.entry is not None:
            self.try_entry(choice.entry if choice.cmdline is None else edited(choice.entry, choice.cmdline))
        elif choice.kind in (ChoiceKind.RESET, ChoiceKind.OFF):
            self.leave(choice.kind)

    def stay_in_menu(self, found: EntryList) -> bool:
        """Let a person choose as often as it takes; end when nobody is there. True when the disks are to be scanned."""
        while not self.left:
            choice = self.offer(found, None)
            if choice is None:
                return False
            if wants_scan(choice):
                return True
            self.obey(choice)
        return False

    def pause_before_reset(self, delay: float) -> None:
        """Wait for a device that could help; reset when none comes."""
        self.say(f"nothing was booted: reset in {delay:g} s unless a disk comes")
        if not self.machine.devices.wait(delay):
            self.leave(ChoiceKind.RESET)

    def leave(self, how: ChoiceKind) -> None:
        self.machine.mounts.close()
        self.left = True
        (self.machine.power.off if how is ChoiceKind.OFF else self.machine.power.reset)()

    def try_entry(self, entry: Entry) -> None:
        """Take one entry through all stages; a failure is told, kept, and costs no memory."""
        attempt = self.report.attempt(entry)
        self.say(f"trying {entry.id}: {entry.title or entry.version or entry.source}")
        candidate: Candidate | None = None
        try:
            with self.report.stage("fetch", attempt):
                limits = limits_for(self.machine.facts)
                candidate = fetch_entry(entry, self.trees_for(entry), self.machine.blobs, self.machine.sha256, limits,
                                        self.config.policy.suffixes, self.config.policy.manifest_path)
                candidate = self.with_evidence(candidate)
                attempt.fetched(artifacts_of(candidate))
                self.report.problems.extend(candidate.passed_over)
            self.start(candidate, attempt)
        except ShimError as problem:
            if isinstance(problem, VerifyError):
                attempt.judged(problem.verdicts)
            attempt.error = str(problem)
            self.failed[place_of(entry)] = f"{attempt.stage}: {problem}"
            self.say(f"{entry.id} failed in {attempt.stage}: {problem}")
            if candidate is not None:
                release(artifacts_of(candidate))

    def start(self, candidate: Candidate, attempt: Attempt) -> None:
        """Verify, measure, plan, load and jump."""
        with self.report.stage("verify", attempt):
            verified = verify(candidate, self.policy(), self.machine.sha256, self.volumes)
            attempt.judged(verified.verdicts)
            self.tell(candidate, verified)
        with self.report.stage("measure", attempt):
            self.measure(verified, attempt)
        with self.report.stage("plan", attempt):
            handover = Handover(self.report, attempt, self.ledger.log())
            options = LoadOptions(
                engine=self.config.load.engine, handover=handover, corrupt_digest=self.config.test.corrupt_digest
            )
            planned = plan(verified, self.machine, options)
            attempt.why = planned.why
        with self.report.stage("load", attempt):
            try:
                load(planned, self.machine)
            finally:
                let_go(planned)
        self.jump(attempt)

    def with_evidence(self, candidate: Candidate) -> Candidate:
        """Return a candidate with what only some policies look at: its boot configuration, signed root hashes."""
        policy = self.config.policy
        if policy.may_judge(Role.ENTRY):
            from shim.fetch.snapshot import fetch_configuration

            candidate = candidate.replace(configuration=fetch_configuration(
                candidate.entry, self.read_from, self.machine.blobs, self.machine.sha256, policy.suffixes))
        if candidate.cmdline is not None and policy.asks_for("verity"):
            from shim.fetch.root_hashes import read_root_hashes

            found, problems = read_root_hashes(self.volumes.values(), self.machine.devices)
            self.report.problems.extend(problems)
            candidate = candidate.replace(root_hashes=found)
        return candidate

    def policy(self) -> Policy:
        """Return the policy with what the platform remembers, which is asked once a boot, when it is needed."""
        if self.remembered is None:
            self.remembered = remembered(self.config.policy, self.machine.tpm, self.machine.clock)
            if self.remembered is not self.config.policy:
                self.report.notes.append(self.remembered.manifest_problem or (
                    f"by the rollback counter, manifests are taken from version {self.remembered.manifest_minimum} on"))
        return self.remembered

    def measure(self, verified: Verified, attempt: Attempt) -> None:
        """Measure what is to be loaded. A TPM that fails where it may is told aloud, once."""
        ledger = self.ledger
        had, events, notes = ledger.problem, len(ledger.events), len(ledger.notes)
        try:
            measure(verified, self.machine, ledger)
        finally:
            attempt.measured(ledger.events[events:])
            self.report.notes.extend(ledger.notes[notes:])
        if ledger.problem != had:
            sentence = f"this boot is NOT measured, which the configuration allows: {ledger.problem}"
            self.report.notes.append(sentence)
            self.say(sentence)

    def tell(self, candidate: Candidate, verified: Verified) -> None:
        """Say aloud what only an audit lets pass; note what lies beside a UKI and was left out, and let it go."""
        if self.config.policy.audit:
            for verdict in verified.verdicts:
                if not verdict.accepted:
                    self.say(f"AUDIT ONLY, booted all the same: the {verdict.role.value} {verdict.name} "
                             f"is not trusted: {verdict.reason}")
        self.report.left_out(release_left_out(candidate, verified.candidate), verified.verdicts)

    def jump(self, attempt: Attempt) -> None:
        """Let go of everything and start the loaded kernel. Returns only when the kernel would not go."""
        with self.report.stage("jump", attempt):
            self.machine.mounts.close()
            self.trees.clear()
            self.report.notes.extend(self.machine.quiesce())
        self.report.show(self.machine.console, self.config.boot.report)
        self.machine.power.kexec()
        self.left = True

    def trees_for(self, entry: Entry) -> dict[str, Files]:
        """Return the mounted trees that an entry needs; those let go for a jump that failed are mounted again."""
        refs = (entry.kernel, *entry.initrd, entry.devicetree)
        for name in dict.fromkeys(ref.volume for ref in refs if ref is not None):
            if name not in self.volumes:
                raise EntryError("the entry's volume is not there", volume=name)
            if name not in self.trees:
                self.trees[name] = self.machine.mounts.mount(self.volumes[name])
        return self.trees

    def say(self, sentence: str) -> None:
        self.machine.console.write(f"bootshim: {printable(sentence, 2048)}\n")


def let_go(planned: SegmentsPlan | FilePlan) -> None:
    """Give back what was joined for the kernel: it has its own copy, or it will not take this one."""
    if not isinstance(planned, SegmentsPlan):
        for blob in (planned.kernel, planned.initrd):
            if blob is not None:
                blob.close()


def place_of(entry: Entry) -> Place:
    """Return where an entry comes from: its id may be another one when other disks have come."""
    return entry.volume, entry.source, entry.profile


def wants_scan(choice: Choice | None) -> bool:
    return choice is not None and choice.kind is ChoiceKind.SCAN


def edited(entry: Entry, cmdline: str) -> Entry:
    """Return an entry with the command line that a person typed."""
    return entry.traced("the command line was edited in the menu", cmdline=cmdline)
