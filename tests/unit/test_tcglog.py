"""Event logs: both forms read, built and replayed; cut anywhere and every number a liar; tpm2_eventlog agrees."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shim.errors import FormatError
from shim.formats.tcglog import (
    DIGEST_SIZE,
    EV_IPL,
    EV_NO_ACTION,
    EV_SEPARATOR,
    PCR_EVENT,
    PCR_EVENT2,
    SPEC_ID,
    EventLog,
    LogEvent,
    build_event,
    build_event2,
    build_log,
    parse_log,
    replay,
)
from tests.builders.measured import replayed
from tests.unit.hostile import cuts, mutations, refuses, survives, with_memory

BANKS = ("sha1", "sha256", "sha384", "sha512")


def event(pcr: int, data: bytes, kind: int = EV_IPL) -> LogEvent:
    digests = {bank: hashlib.new(bank, data).digest() for bank in BANKS}
    return LogEvent(pcr_index=pcr, event_type=kind, digests=digests, event=data + b"\0")


EVENTS = (event(11, b".linux"), event(12, b"console=ttyS0"), event(11, b"second"), event(7, b"\0\0\0\0", EV_SEPARATOR))
LOG = build_log(BANKS, EVENTS)
HEADER_SIZE = len(build_log(BANKS))
OLD = b"".join(build_event(one) for one in EVENTS)


def chained(bank: str, *contents: bytes) -> bytes:
    value = bytes(hashlib.new(bank).digest_size)
    for content in contents:
        value = hashlib.new(bank, value + hashlib.new(bank, content).digest()).digest()
    return value


def test_what_was_built_is_read() -> None:
    log = parse_log(LOG)
    assert (log.is_agile, tuple(log.sizes), log.events, log.end) == (True, BANKS, EVENTS, len(LOG))
    one = parse_log(build_log(["sha384"], EVENTS))
    assert [set(found.digests) for found in one.events] == [{"sha384"}] * 4


def test_the_old_form_is_read() -> None:
    log = parse_log(OLD)
    assert (log.is_agile, dict(log.sizes), log.end) == (False, {"sha1": 20}, len(OLD))
    assert [found.digests["sha1"] for found in log.events] == [one.digests["sha1"] for one in EVENTS]


@pytest.mark.parametrize("bank", BANKS)
def test_a_log_is_replayed(bank: str) -> None:
    values = replay(EVENTS, bank, hashlib.sha256)
    assert values == {
        7: chained(bank, b"\0\0\0\0"), 11: chained(bank, b".linux", b"second"), 12: chained(bank, b"console=ttyS0"),
    }  # fmt: skip


def test_a_locality_changes_the_first_value_and_others_are_all_ones() -> None:
    started = LogEvent(pcr_index=0, event_type=EV_NO_ACTION, digests={}, event=b"StartupLocality\0\3")
    digest = event(0, b"x").digests["sha256"]
    values = replay([started, event(0, b"x"), event(17, b"x")], "sha256", hashlib.sha256)
    assert values[0] == hashlib.sha256(bytes(31) + b"\3" + digest).digest()
    assert values[17] == hashlib.sha256(b"\xff" * 32 + digest).digest()


@pytest.mark.tools
def test_tpm2_eventlog_replays_it_likewise(tmp_path: Path) -> None:
    said = replayed(tmp_path, LOG)
    assert set(said) == set(BANKS)
    for bank, values in said.items():
        assert values == {pcr: value.hex() for pcr, value in replay(EVENTS, bank, hashlib.sha256).items()}


def test_what_follows_may_be_zeros_only() -> None:
    assert parse_log(LOG + bytes(4096)).end == len(LOG)
    assert parse_log(OLD + bytes(4096)).end == len(OLD)


def test_a_log_that_is_cut_is_refused_or_ends_with_an_event() -> None:
    for data in (LOG, OLD):
        ends = {0, *_ends(data)}
        for cut in cuts(data):
            if len(cut) in ends and cut:
                assert parse_log(cut).end == len(cut)
            else:
                refuses(parse_log, cut)


def _ends(data: bytes) -> set[int]:
    """Return where the events of a log made of EVENTS end."""
    is_old = data is OLD
    at = 0 if is_old else HEADER_SIZE
    ends = {at}
    for one in EVENTS:
        at += len(build_event(one) if is_old else build_event2(one, BANKS))
        ends.add(at)
    return ends


def test_every_number_may_lie() -> None:
    places = [(PCR_EVENT, 0), (SPEC_ID, PCR_EVENT.size), (DIGEST_SIZE, PCR_EVENT.size + SPEC_ID.size),
              (PCR_EVENT2, HEADER_SIZE)]
    with with_memory():
        for record, at in places:
            for what, data in mutations(record, LOG, at):
                survives(parse_log, data, what)
    for what, data in mutations(PCR_EVENT, OLD):
        survives(parse_log, data, what)


def test_a_log_of_nothing_but_empty_events_costs_no_more_than_its_length() -> None:
    """Zeros are an event without digests, as long as something follows them."""
    zeros = build_log(BANKS) + bytes(16 * 2000) + build_event2(EVENTS[0], BANKS)
    survives(parse_log, zeros)
    assert len(parse_log(zeros).events) == 2001


LIES = {
    "a PCR that does not exist": build_log(BANKS) + PCR_EVENT2.build(pcr_index=24, event_type=1) + bytes(4),
    "a digest that was not announced": build_log(["sha256"]) + build_event2(EVENTS[0], ["sha384"]),
    "two digests of one bank": build_log(["sha1", "sha256"]) + build_event2(EVENTS[0], ["sha1", "sha1"]),
    "too many digests": build_log(["sha1"]) + build_event2(EVENTS[0], BANKS),
    "no algorithm": build_log([]),
    "an algorithm of another size": build_log(["sha256"]).replace(b"\x0b\0\x20\0", b"\x0b\0\x21\0"),
    "an algorithm announced twice": build_log(["sha256", "sha256"]),
}


@pytest.mark.parametrize("case", LIES)
def test_a_lie_is_refused(case: str) -> None:
    refuses(parse_log, LIES[case], case)


def test_an_algorithm_that_is_not_known_here_is_read_over() -> None:
    unknown = build_log(["sha256"]).replace(b"\x0b\0\x20\0", b"\x12\0\x20\0")
    log: EventLog = parse_log(unknown + build_event2(EVENTS[1], ["sha256"]).replace(b"\x0b\0", b"\x12\0", 1))
    assert dict(log.sizes) == {"sm3_256": 32}
    with pytest.raises(FormatError, match="no digest for this bank"):
        replay(log.events, "sha256", hashlib.sha256)
