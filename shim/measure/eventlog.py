"""The event log for the next OS: what the firmware has logged, continued by what we have measured."""

from __future__ import annotations

from shim.errors import FetchError, FormatError
from shim.formats.banks import SHA1_BANK, SIZES
from shim.formats.tcglog import LOG_SIZE_MAX, EventLog, LogEvent, build_event, build_event2, build_log, parse_log
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Event
    from shim.ports import Files

FIRMWARE_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements"


class FirmwareLog(Value):
    """The firmware's log: its bytes up to the end of the last event, and how it is to be continued.

    `problem` says why there is none, or why it cannot be continued: then `data` is empty.
    """

    data: bytes = b""
    is_agile: bool = True
    banks: tuple[str, ...] = ()
    problem: str | None = None


def read_firmware_log(facts: Files) -> FirmwareLog:
    """Return the log that the running kernel has from its firmware. Never raises: a log is not what boots."""
    try:
        data = facts.read(FIRMWARE_LOG, LOG_SIZE_MAX)
    except FetchError as problem:
        return FirmwareLog(problem=f"the firmware gives no event log: {problem}")
    try:
        log = parse_log(data)
    except FormatError as problem:
        return FirmwareLog(problem=f"the firmware's event log is broken, ours begins anew: {problem}")
    return _continuable(log, data)


def _continuable(log: EventLog, data: bytes) -> FirmwareLog:
    unknown = [bank for bank in log.sizes if bank not in SIZES]
    if unknown:
        return FirmwareLog(problem=f"the firmware's event log has digests unknown here ({' '.join(unknown)}), "
                                   "ours begins anew")
    return FirmwareLog(data=data[: log.end], is_agile=log.is_agile, banks=tuple(log.sizes))


def continue_log(firmware: FirmwareLog, events: Sequence[Event], banks: Sequence[str]) -> bytes:
    """Return the whole log. `banks` are those of a log that begins with us."""
    ours = [LogEvent(pcr_index=event.pcr, event_type=event.event_type, digests=event.digests, event=event.data)
            for event in events]  # fmt: skip
    if not firmware.data:
        return build_log(banks, ours)
    if not firmware.is_agile:
        return firmware.data + b"".join(build_event(event) for event in ours)
    return firmware.data + b"".join(build_event2(event, firmware.banks) for event in ours)


def banks_of(firmware: FirmwareLog, active: Sequence[str]) -> tuple[str, ...]:
    """Return the banks in which digests are needed: those of the TPM, and those that the log is kept in."""
    needed = firmware.banks if firmware.is_agile else (SHA1_BANK,)
    return tuple(dict.fromkeys((*active, *(needed if firmware.data else ()))))
