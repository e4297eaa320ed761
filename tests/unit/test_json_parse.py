"""JSON from outside: what the json package reads the same way is read, the rest is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import FormatError
from shim.formats.json_parse import SIZE_MAX, parse_json
from tests.unit.hostile import bounded, cuts, refuses, survives

LEAVES = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text()
KEYS = st.text(st.characters(max_codepoint=0x7F), max_size=8)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
                      max_leaves=12)  # fmt: skip
SAMPLE = b'{"a": [1, -2, null, true, false, "\\u00e9\\n\\ud83d\\ude00 \\"x\\""], "b": {}, "c": [], "d": "\xc3\xa9"}'


def parse(data: bytes) -> object:
    return parse_json(data, "the file")


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_it_reads_what_the_json_package_writes(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if any(0xD800 <= ord(letter) < 0xE000 for letter in json.dumps(value, ensure_ascii=False)):
        return
    folded = [key.casefold() for key in value] if isinstance(value, dict) else []
    if len(set(folded)) < len(folded):
        refuses(parse, text.encode())
        return
    try:
        assert parse(text.encode()) == value
    except FormatError as problem:
        assert "key twice" in str(problem)  # deeper down


def test_a_sample_comes_out_as_the_json_package_has_it() -> None:
    assert parse(SAMPLE) == json.loads(SAMPLE)


@pytest.mark.parametrize("text", [
    "", " ", "{", "[", "[1,]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "[1 2]", "nul", "True", "NaN", "Infinity", "01",
    "1.0", "1e3", "-", "+1", "--1", "0x1", "9" * 19, "'a'", '"a', '"\\x"', '"\\', '"\\u12"', '"\\u+123"', '"\\ud800"',
    '"\\ud800\\u0041"', '"\\udc00"', '"\n"', '"\0"', "1 1", "{}{}", "// x\n1", '{"a":1,"a":1}', '{"a":1,"A":1}',
    "[" * 18 + "]" * 18, '{"a":' * 18 + "1" + "}" * 18, "\ufeff{}", "١",
])  # fmt: skip
def test_what_is_no_json_or_not_for_sure_is_refused(text: str) -> None:
    assert "the file" in str(refuses(parse, text.encode()))


def test_what_is_too_long_or_not_utf8_is_refused() -> None:
    assert "too long" in str(refuses(parse, b" " * (SIZE_MAX + 1)))
    assert "UTF-8" in str(refuses(parse, b'"\xff"'))


@pytest.mark.parametrize("data", [b"[" * SIZE_MAX, b'"' + b"\\n" * 100000, b" " * SIZE_MAX, b"1" * SIZE_MAX])
def test_the_worst_is_quick(data: bytes) -> None:
    with bounded(0.5), pytest.raises(FormatError):
        parse(data)


def test_cut_anywhere_it_is_refused() -> None:
    for cut in cuts(SAMPLE):
        refuses(parse, cut)


@given(st.binary(max_size=60), st.integers(0, len(SAMPLE)))
def test_noise_inside_survives(noise: bytes, at: int) -> None:
    survives(parse, SAMPLE[:at] + noise + SAMPLE[at:])
