"""The TCG event log: what was measured into which PCR. Spec: TCG PC Client Platform Firmware Profile 1.06.

10.2.1 (TCG_PCClientPCREvent, SHA-1 only), 10.2.2 (TCG_PCR_EVENT2, crypto-agile), 10.4.5.1 (Spec ID event),
10.4.5.3 (Startup Locality event). A crypto-agile log begins with one event of the old form, which says the
algorithms of all that follow. Little-endian.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.banks import NUMBERS, SHA1_BANK, SIZES, bank_name, extended
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shim.formats.digests import NewHash
    from shim.formats.record import Buffer

PCR_EVENT = Record("TCG_PCClientPCREvent", 32, """
    0x00  I    pcr_index
    0x04  I    event_type
    0x08  20s  digest
    0x1c  I    event_data_size
""")
PCR_EVENT2 = Record("TCG_PCR_EVENT2", 12, """
    0x00  I    pcr_index
    0x04  I    event_type
    0x08  I    digest_count             # TPML_DIGEST_VALUES: each an algorithm and a digest
""")
SPEC_ID = Record("TCG_EfiSpecIDEvent", 28, """
    0x00  16s  signature
    0x10  I    platform_class
    0x14  B    spec_version_minor
    0x15  B    spec_version_major
    0x16  B    spec_errata
    0x17  B    uintn_size               # 1: 32 bits, 2: 64 bits
    0x18  I    number_of_algorithms
""")
DIGEST_SIZE = Record("TCG_EfiSpecIdEventAlgorithmSize", 4, """
    0x00  H    algorithm_id
    0x02  H    digest_size
""")
ALGORITHM = Record("algorithm of a digest", 2, "0x00  H  algorithm_id")
EVENT_SIZE = Record("size of an event", 4, "0x00  I  event_size")
SIGNATURE = b"Spec ID Event03\0"
LOCALITY_SIGNATURE = b"StartupLocality\0"
LOG_SIZE_MAX = 16 << 20
EVENTS_MAX = 65536
ALGORITHMS_MAX = 16
DIGEST_SIZE_MAX = 64
PCR_COUNT = 24

EV_NO_ACTION, EV_SEPARATOR, EV_EVENT_TAG, EV_IPL = 0x03, 0x04, 0x06, 0x0D


class LogEvent(Value):
    """One event: what was extended into a PCR in each bank, and the bytes that tell about it."""

    pcr_index: int
    event_type: int
    digests: Mapping[str, bytes]
    event: bytes


class EventLog(Value):
    """A log as it was read. `sizes` are digest sizes by bank, in the order of the Spec ID event.

    `events` are those that follow the Spec ID event. `is_agile` is False for the form that has SHA-1 only.
    `end` is where the last event ends: behind it lie at most zeros.
    """

    is_agile: bool
    sizes: Mapping[str, int]
    events: tuple[LogEvent, ...]
    end: int


def parse_log(data: Buffer) -> EventLog:
    """Return the events of a log of either form. Raises FormatError with the offset of the event that is none."""
    if len(data) > LOG_SIZE_MAX:
        raise FormatError("event log is too long", limit=LOG_SIZE_MAX, found=len(data))
    view = memoryview(data)
    first, at = _parse_event(view, 0)
    sizes = _parse_spec_id(first)
    events: list[LogEvent] = [] if sizes else [first]
    content_end = len(bytes(view).rstrip(b"\0"))  # behind it is the rest of the firmware's buffer, handed out whole
    while at < content_end:
        if len(events) >= EVENTS_MAX:
            raise FormatError("event log has too many events", at=at, limit=EVENTS_MAX)
        event, at = _parse_event2(view, at, sizes) if sizes else _parse_event(view, at)
        events.append(event)
    known = sizes or {SHA1_BANK: SIZES[SHA1_BANK]}
    return EventLog(is_agile=bool(sizes), sizes=known, events=tuple(events), end=at)


def build_log(banks: Sequence[str], events: Iterable[LogEvent] = ()) -> bytes:
    """Return a crypto-agile log for these banks, of the version that the specification's revision 1.05 has."""
    listed = b"".join(DIGEST_SIZE.build(algorithm_id=NUMBERS[bank], digest_size=SIZES[bank]) for bank in banks)
    header = SPEC_ID.build(signature=SIGNATURE, spec_version_major=2, spec_errata=105, uintn_size=2,
                           number_of_algorithms=len(banks)) + listed + b"\0"  # fmt: skip
    first = PCR_EVENT.build(event_type=EV_NO_ACTION, event_data_size=len(header)) + header
    return first + b"".join(build_event2(event, banks) for event in events)


def build_event2(event: LogEvent, banks: Iterable[str]) -> bytes:
    """Return an event in the crypto-agile form, with the digests of these banks."""
    digests = [ALGORITHM.build(algorithm_id=NUMBERS[bank]) + event.digests[bank] for bank in banks]
    head = PCR_EVENT2.build(pcr_index=event.pcr_index, event_type=event.event_type, digest_count=len(digests))
    return b"".join((head, *digests, EVENT_SIZE.build(event_size=len(event.event)), event.event))


def build_event(event: LogEvent) -> bytes:
    """Return an event in the old form, with its SHA-1 digest."""
    return PCR_EVENT.build(
        pcr_index=event.pcr_index, event_type=event.event_type, digest=event.digests[SHA1_BANK],
        event_data_size=len(event.event),
    ) + event.event  # fmt: skip


def replay(events: Iterable[LogEvent], bank: str, new_hash: NewHash) -> dict[int, bytes]:
    """Return the values of the PCRs that a log accounts for, by number, in one bank.

    Spec: 10.4.5.3 for PCR 0's first value; part 1, 17.2 (initial values: 17 to 22 have all bits set).
    """
    zero, ones = bytes(SIZES[bank]), b"\xff" * SIZES[bank]
    values: dict[int, bytes] = {}
    for event in events:
        pcr = event.pcr_index
        if event.event_type == EV_NO_ACTION:
            if event.event.startswith(LOCALITY_SIGNATURE) and len(event.event) == len(LOCALITY_SIGNATURE) + 1:
                values[0] = zero[:-1] + event.event[-1:]
            continue
        before = values.get(pcr, ones if 17 <= pcr <= 22 else zero)
        if bank not in event.digests:
            raise FormatError("event log has no digest for this bank", pcr=pcr, bank=bank)
        values[pcr] = extended(bank, before, event.digests[bank], new_hash)
    return values


def _parse_event(view: memoryview, at: int) -> tuple[LogEvent, int]:
    head = PCR_EVENT.parse(view, at)
    start = at + PCR_EVENT.size
    end = _checked_end(view, at, head["pcr_index"], start, head["event_data_size"])
    return LogEvent(pcr_index=head["pcr_index"], event_type=head["event_type"],
                    digests={SHA1_BANK: head["digest"]}, event=bytes(view[start:end])), end


def _parse_event2(view: memoryview, at: int, sizes: Mapping[str, int]) -> tuple[LogEvent, int]:
    head, start = PCR_EVENT2.parse(view, at), at + PCR_EVENT2.size
    if head["digest_count"] > len(sizes):
        raise FormatError("event has too many digests", at=at, limit=len(sizes), found=head["digest_count"])
    digests: dict[str, bytes] = {}
    for _ in range(head["digest_count"]):
        bank = bank_name(ALGORITHM.parse(view, start)["algorithm_id"])
        if bank not in sizes or bank in digests:
            raise FormatError("event has a digest that the log does not announce, or two of them", at=start, bank=bank)
        start += ALGORITHM.size
        digests[bank] = bytes(view[start : start + sizes[bank]])
        start += sizes[bank]
    size = EVENT_SIZE.parse(view, start)["event_size"]
    start += EVENT_SIZE.size
    end = _checked_end(view, at, head["pcr_index"], start, size)
    return LogEvent(pcr_index=head["pcr_index"], event_type=head["event_type"], digests=digests,
                    event=bytes(view[start:end])), end


def _checked_end(view: memoryview, at: int, pcr: int, start: int, size: int) -> int:
    if pcr >= PCR_COUNT and pcr != 0xFFFFFFFF:  # all ones: an event that no PCR takes
        raise FormatError("event is for a PCR that does not exist", at=at, pcr=pcr)
    if start + size > len(view):
        raise FormatError("event is cut short", at=at, expected=start + size, found=len(view))
    return start + size


def _parse_spec_id(first: LogEvent) -> dict[str, int]:
    """Return the digest sizes by bank that the first event announces; none when the log is of the old form."""
    data = first.event
    if first.event_type != EV_NO_ACTION or not data.startswith(SIGNATURE):
        return {}
    count = SPEC_ID.parse(data)["number_of_algorithms"]
    if not 0 < count <= ALGORITHMS_MAX:
        raise FormatError("event log announces no sensible number of algorithms", limit=ALGORITHMS_MAX, found=count)
    sizes: dict[str, int] = {}
    for number in range(count):
        row = DIGEST_SIZE.parse(data, SPEC_ID.size + number * DIGEST_SIZE.size)
        bank, size = bank_name(row["algorithm_id"]), row["digest_size"]
        if not 0 < size <= DIGEST_SIZE_MAX or bank in sizes or size != SIZES.get(bank, size):
            raise FormatError("event log announces an algorithm that cannot be", bank=bank, found=size)
        sizes[bank] = size
    return sizes
