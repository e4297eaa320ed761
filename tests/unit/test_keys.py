"""Keys: what real terminals send becomes names; anything else on the line becomes nothing, and never an error."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.formats.keys import SEQUENCE_SIZE_MAX, KeyDecoder

NAMES = {
    "up", "down", "left", "right", "home", "end", "insert", "delete", "pageup", "pagedown", "enter", "backspace",
    "tab", "escape",
} | {f"ctrl-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"}  # fmt: skip

# What xterm, the Linux console, VT220 and screen send (infocmp xterm linux vt220 screen: kcuu1, khome, kdch1, ...).
SENT = {
    b"\x1b[A": ["up"],
    b"\x1bOA": ["up"],
    b"\x1b[B": ["down"],
    b"\x1b[C": ["right"],
    b"\x1b[D": ["left"],
    b"\x1b[H": ["home"],
    b"\x1bOH": ["home"],
    b"\x1b[1~": ["home"],
    b"\x1b[7~": ["home"],
    b"\x1b[F": ["end"],
    b"\x1b[4~": ["end"],
    b"\x1b[3~": ["delete"],
    b"\x1b[5~": ["pageup"],
    b"\x1b[6~": ["pagedown"],
    b"\x1b[1;5C": ["right"],
    b"\x1b[3;2~": ["delete"],
    b"\x7f": ["backspace"],
    b"\x08": ["backspace"],
    b"\r": ["enter"],
    b"\n": ["enter"],
    b"\r\n": ["enter"],
    b"\r\r": ["enter", "enter"],
    b"\n\n": ["enter", "enter"],
    b"\r\n\r\n": ["enter", "enter"],
    b"\t": ["tab"],
    b"\x15\x17\x0c": ["ctrl-u", "ctrl-w", "ctrl-l"],
    "aü€😀".encode(): ["a", "ü", "€", "😀"],
    b"\x1b[[A": [],  # F1 of the Linux console
    b"\x1b[11~": [],  # F1 of others
    b"\x1bOP": [],
    b"\x1bx": [],  # Alt and x
    b"\x1b[200~r\x1b[201~": ["r"],  # a bracketed paste
    b"\x00\xff\xfe\xc0\x80": [],  # a break, line noise
    "\u202e\u0085".encode(): [],  # a direction override, a C1 control
    b"\xc3\x1b[A": ["up"],
    b"\xe2\x82r": ["r"],
}


@pytest.mark.parametrize("data", SENT, ids=repr)
def test_what_terminals_send_becomes_keys(data: bytes) -> None:
    assert KeyDecoder().feed(data) == SENT[data]


@pytest.mark.parametrize("data", SENT, ids=repr)
def test_bytes_that_come_one_by_one_make_the_same_keys(data: bytes) -> None:
    decoder = KeyDecoder()
    assert [key for byte in data for key in decoder.feed(bytes([byte]))] == SENT[data]
    assert not decoder.pending


def test_a_lone_escape_is_known_when_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.pending
    assert decoder.end() == ["escape"]
    assert not decoder.pending
    assert decoder.feed(b"\x1b\x1b") == ["escape"]
    assert decoder.end() == ["escape"]


@pytest.mark.parametrize("data", [b"\x1b[", b"\x1b[1;", b"\x1bO", b"\xe2\x82"])
def test_what_breaks_off_is_thrown_away(data: bytes) -> None:
    decoder = KeyDecoder()
    assert decoder.feed(data) == []
    assert decoder.end() == []
    assert decoder.feed(b"r") == ["r"]


def test_a_sequence_that_never_ends_holds_no_more_than_its_ceiling() -> None:
    decoder = KeyDecoder()
    keys = decoder.feed(b"\x1b[" + b"1" * 100_000)
    assert set(keys) <= {"1"}
    assert len(decoder._held) <= SEQUENCE_SIZE_MAX


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_give_known_keys_and_hold_little(pieces: list[bytes]) -> None:
    decoder = KeyDecoder()
    for piece in pieces:
        for key in decoder.feed(piece):
            assert key in NAMES or (len(key) == 1 and key.isprintable())
        assert len(decoder._held) <= SEQUENCE_SIZE_MAX
    assert set(decoder.end()) <= {"escape"}
    assert decoder.feed(b"\x1b[A") == ["up"]


def test_a_megabyte_of_noise_is_read_in_a_moment() -> None:
    start = time.process_time()
    KeyDecoder().feed(bytes(range(256)) * 4096)
    assert time.process_time() - start < 2.0
