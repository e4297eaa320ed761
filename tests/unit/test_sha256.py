"""The purgatory's SHA-256 is SHA-256, in all of its forms."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.purgatory_host import compiled

PORTABLE, BMI2, NI = range(3)
FORMS = tuple(form for form in (PORTABLE, BMI2, NI) if form <= compiled().lib.sha256_best())

# WITNESS: NIST, FIPS 180-4 examples "SHA256.pdf"; CAVS 11.0 SHA256ShortMsg.rsp; RFC 6234, 8.5 (tests 3, 8, 10).
KNOWN = (
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
    (b"\x11\xaf", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    (b"01234567" * 80, "594847328451bdfa85056225462cc1d867d877fb388df0ce35f25ab5562bfbb5"),
)
# WITNESS: CAVS 11.0 SHA256Monte.rsp, seed and COUNT = 0.
MONTE_SEED = "f41ece2613e4573915696b5adcd51ca328be3bf566a9ca99c9ceb0279c1cb0a7"
MONTE_FIRST = "83d28614d49c3adc1d6fc05db5f48037c056f8d2a4ce44ec6457dea5dd797cd1"


def digest(form: int, *pieces: bytes) -> bytes:
    module = compiled()
    state, result = module.ffi.new("struct sha256 *"), module.ffi.new("uint8_t[32]")
    module.lib.sha256_init_form(state, form)
    for piece in pieces:
        module.lib.sha256_update(state, module.ffi.from_buffer(piece), len(piece))
    module.lib.sha256_final(state, result)
    return bytes(result)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("message", "expected"), KNOWN)
def test_known_answers(form: int, message: bytes, expected: str) -> None:
    assert digest(form, message).hex() == expected


@pytest.mark.parametrize("form", FORMS)
def test_monte_carlo(form: int) -> None:
    chain = [bytes.fromhex(MONTE_SEED)] * 3
    for _ in range(1000):
        chain = [*chain[1:], digest(form, *chain)]
    assert chain[-1].hex() == MONTE_FIRST


@pytest.mark.parametrize("form", FORMS)
def test_every_length_around_the_blocks_agrees_with_openssl(form: int) -> None:
    data = bytes(i * 7 & 0xFF for i in range(520))
    for size in range(len(data)):
        assert digest(form, data[:size]) == hashlib.sha256(data[:size]).digest()


@settings(deadline=None, max_examples=150)
@given(pieces=st.lists(st.binary(max_size=400), max_size=12), shift=st.integers(0, 15))
def test_pieces_of_any_length_and_alignment_agree_with_openssl(pieces: list[bytes], shift: int) -> None:
    whole = b"".join(pieces)
    held = bytes(shift) + whole
    for form in FORMS:
        assert digest(form, *pieces) == hashlib.sha256(whole).digest()
        module = compiled()
        state, result = module.ffi.new("struct sha256 *"), module.ffi.new("uint8_t[32]")
        module.lib.sha256_init_form(state, form)
        module.lib.sha256_update(state, module.ffi.from_buffer(held) + shift, len(whole))
        module.lib.sha256_final(state, result)
        assert bytes(result) == hashlib.sha256(whole).digest()


def test_the_default_is_one_of_them() -> None:
    module = compiled()
    state, result = module.ffi.new("struct sha256 *"), module.ffi.new("uint8_t[32]")
    module.lib.sha256_init(state)
    module.lib.sha256_final(state, result)
    assert bytes(result).hex() == KNOWN[0][1]


def test_the_extensions_are_used_where_the_kernel_says_that_the_cpu_has_them() -> None:
    flags = next((line.split() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("flags")), [])
    best = NI if {"sha_ni", "ssse3", "sse4_1"}.issubset(flags) else (
        BMI2 if {"bmi1", "bmi2"}.issubset(flags) else PORTABLE)
    assert compiled().lib.sha256_best() == best
