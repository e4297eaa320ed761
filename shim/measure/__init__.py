"""Measure: from `Verified` to `Event`s. What will run is extended into PCRs and written into an event log first.

`pcrs` has the plan. Nothing that the policy refused is measured, and nothing is loaded before it was measured. A
boot that tries several entries measures each of them: the PCRs and the log show all that was tried.
"""

from __future__ import annotations

from shim.errors import MeasureError
from shim.measure.eventlog import FirmwareLog, banks_of, continue_log, read_firmware_log
from shim.measure.plan import measure_candidate, measure_config
from shim.measure.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.measure.plan import Measurement
    from shim.model import Event, Verified
    from shim.ports import Machine

__all__ = ["OFF", "OPTIONAL", "REQUIRED", "Ledger", "measure"]
OFF, OPTIONAL, REQUIRED = "off", "optional", "required"
ABSENT = "this boot is not measured: the machine has no TPM 2.0"


class Ledger:
    """What one boot has measured so far, over all its attempts.

    `tpm` is the word of the configuration, `content` the configuration's files by name. `notes` are sentences for
    the report; `problem` is why measuring was given up, None while it goes well.
    """

    def __init__(self, tpm: str, content: Sequence[tuple[str, bytes]]) -> None:
        self.tpm, self.content = tpm, content
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.problem: str | None = None
        self._session: Session | None = None
        self._firmware = FirmwareLog()
        self._banks: tuple[str, ...] = ()
        self._is_config_done = False

    def log(self) -> bytes | None:
        """Return the event log for the next OS; None where nothing was measured."""
        if self._session is None or not self.events:
            return None
        active = [bank.name for bank in self._session.banks if bank.is_known]
        return continue_log(self._firmware, self.events, active)

    def open(self, machine: Machine) -> None:
        """Find out which banks there are, and read the firmware's log: once."""
        if self._session is not None:
            return
        if not machine.tpm.is_present():
            raise MeasureError("the machine has no TPM 2.0")
        session = Session(machine.tpm, machine.clock)
        unknown = [bank.name for bank in session.banks if not bank.is_known]
        if unknown:
            sentence = f"PCR banks without a hash function here stay as they are: {' '.join(unknown)}"
            if self.tpm == REQUIRED:
                raise MeasureError(sentence)
            self.notes.append(sentence)
        self._firmware = read_firmware_log(machine.facts)
        if self._firmware.problem:
            self.notes.append(self._firmware.problem)
        self._banks = banks_of(self._firmware, [bank.name for bank in session.banks if bank.is_known])
        self._session = session

    def miss(self) -> None:
        """Note that there is no TPM, once."""
        if ABSENT not in self.notes:
            self.notes.append(ABSENT)

    def write(self, measurements: Iterable[Measurement], machine: Machine) -> tuple[Event, ...]:
        """Extend, and log what was extended, one after the other."""
        first = len(self.events)
        for measurement in measurements:
            event = measurement.event(self._banks, machine.sha256)
            if self._session is not None:
                self._session.extend(event.pcr, event.digests)
            self.events.append(event)
        return tuple(self.events[first:])

    def write_config(self, machine: Machine) -> tuple[Event, ...]:
        """Measure the configuration: before anything else, once a boot."""
        if self._is_config_done:
            return ()
        written = self.write(measure_config(self.content), machine)
        self._is_config_done = True
        return written


def measure(verified: Verified, machine: Machine, ledger: Ledger) -> tuple[Event, ...]:
    """Measure a verified candidate before it is loaded; return the events that this added, none without a TPM.

    Raises MeasureError when the configuration demands a TPM and it did not do its part, and for a candidate that
    cannot be measured, else it could boot behind the good values of one that was tried before; FormatError for a UKI
    that cannot be taken apart. Where a TPM is optional, its first failure is kept in `ledger.problem`, and nothing more
    is measured: PCRs that are no longer complete open nothing that was sealed.
    """
    if ledger.tpm == OFF or ledger.problem is not None:
        return ()
    if ledger.tpm == OPTIONAL and not machine.tpm.is_present():
        ledger.miss()
        return ()
    first = len(ledger.events)
    # What cannot be measured is not booted, TPM or not.
    measurements = measure_candidate(verified.candidate, lambda: _read_chids(machine))
    try:
        ledger.open(machine)
        ledger.write_config(machine)
        ledger.write(measurements, machine)
    except MeasureError as problem:
        if ledger.tpm == REQUIRED:
            raise
        ledger.problem = str(problem)
    return tuple(ledger.events[first:])


def _read_chids(machine: Machine) -> tuple[bytes, ...]:
    from shim.measure.hardware import read_chids  # few UKIs have device trees to choose from

    return read_chids(machine)
