"""TPM commands and responses: the bytes of the specification, every lie refused, and codes that tpm2-tools agree on."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from shim.errors import FormatError
from shim.formats.banks import NUMBERS, SIZES, bank_digest, bank_name
from shim.formats.tpm2 import (
    CAPABILITY,
    COUNT,
    PCR_VALUES,
    RESPONSE,
    SELECTION,
    Bank,
    build_get_pcr_banks,
    build_pcr_extend,
    build_pcr_read,
    build_startup,
    parse_pcr_banks,
    parse_pcr_value,
    parse_response,
)
from shim.formats.tpm2_codes import ERRORS, FORMAT_ONE_ERRORS, WARNINGS, response_name, response_text
from tests.unit.hostile import cuts, mutations, refuses, survives

EXTEND = build_pcr_extend(11, {"sha256": b"\xab" * 32})
BANKS = bytes.fromhex("00 00000005 00000003  0004 03 ffffff  000b 03 ffffff  0012 03 000000")
VALUE = bytes.fromhex("00000015 00000001 000b 03 000800 00000001 0020") + b"\x5a" * 32
GOOD = RESPONSE.build(tag=0x8001, response_size=RESPONSE.size + len(BANKS), response_code=0) + BANKS


def test_an_extend_has_the_bytes_of_the_specification() -> None:
    assert len(EXTEND) == 65
    said = bytes.fromhex(
        "8002 00000041 00000182"  # TPM_ST_SESSIONS, size, TPM_CC_PCR_Extend
        "0000000b 00000009 40000009 0000 00 0000"  # PCR 11, TPM_RS_PW: no nonce, no attributes, no password
        "00000001 000b"  # one digest, TPM_ALG_SHA256
    ) + b"\xab" * 32
    assert said == EXTEND


def test_the_other_commands_have_theirs() -> None:
    assert build_startup().hex() == "80010000000c000001440000"
    assert build_get_pcr_banks().hex() == "8001000000160000017a000000050000000000000001"
    assert build_pcr_read("sha256", 11).hex() == "8001000000140000017e00000001000b03000800"


def test_all_banks_are_extended_by_one_command() -> None:
    digests = {bank: bytes(size) for bank, size in SIZES.items()}
    assert len(build_pcr_extend(0, digests)) == 27 + 4 + sum(2 + size for size in SIZES.values())


@pytest.mark.parametrize("pcr", [-1, 24, 1 << 32])
def test_a_pcr_that_does_not_exist_is_refused(pcr: int) -> None:
    with pytest.raises(FormatError, match="no such PCR"):
        build_pcr_extend(pcr, {})


def test_a_digest_of_another_size_is_refused() -> None:
    with pytest.raises(FormatError, match="does not fit its bank"):
        build_pcr_extend(0, {"sha256": bytes(31)})


def test_banks_are_read_and_those_that_are_not_active_are_told_apart() -> None:
    body = parse_response(GOOD).body
    every = tuple(range(24))
    assert parse_pcr_banks(body) == (
        Bank(algorithm=4, pcrs=every), Bank(algorithm=11, pcrs=every), Bank(algorithm=0x12, pcrs=()),
    )  # fmt: skip
    assert [bank.name for bank in parse_pcr_banks(body)] == ["sha1", "sha256", "sm3_256"]


def test_a_value_is_read_and_one_of_another_pcr_is_not_taken_for_it() -> None:
    assert parse_pcr_value(VALUE, "sha256", 11) == b"\x5a" * 32
    for bank, pcr in (("sha256", 12), ("sha1", 11)):
        with pytest.raises(FormatError, match="no such PCR"):
            parse_pcr_value(VALUE, bank, pcr)


def test_every_cut_is_refused() -> None:
    for cut in cuts(GOOD):
        refuses(parse_response, cut)
    for cut in cuts(BANKS):
        refuses(parse_pcr_banks, cut)
    for cut in cuts(VALUE):
        refuses(lambda data: parse_pcr_value(data, "sha256", 11), cut)
    refuses(parse_pcr_banks, BANKS + b"\0")
    refuses(lambda data: parse_pcr_value(data, "sha256", 11), VALUE + b"\0")
    refuses(parse_response, GOOD + bytes(5000))


def test_every_number_may_lie() -> None:
    for what, data in mutations(RESPONSE, GOOD):
        survives(parse_response, data, what)
    for record, at in ((CAPABILITY, 0), (SELECTION, 9), (SELECTION, 15)):
        for what, data in mutations(record, BANKS, at):
            survives(parse_pcr_banks, data, what)
    for record, at in ((PCR_VALUES, 0), (SELECTION, 8), (COUNT, 14)):
        for what, data in mutations(record, VALUE, at):
            survives(lambda body: parse_pcr_value(body, "sha256", 11), data, what)


def test_a_bank_that_is_named_twice_is_refused() -> None:
    twice = bytes.fromhex("00 00000005 00000002  000b 03 ffffff  000b 03 000000")
    assert "twice" in str(refuses(parse_pcr_banks, twice))


def test_banks_hash_as_they_are_named() -> None:
    for bank in SIZES:
        assert bank_digest(bank, b"abc", hashlib.sha256) == hashlib.new(bank, b"abc").digest()
        assert bank_name(NUMBERS[bank]) == bank
    assert bank_name(0x77) == "0x0077"
    with pytest.raises(FormatError, match="not known here"):
        bank_digest("sm3_256", b"", hashlib.sha256)


CODES = [
    *(0x100 + code for code in ERRORS), *(0x900 + code for code in WARNINGS),
    *(0x080 + (code & 0x3F) + place for code in FORMAT_ONE_ERRORS for place in (0x140, 0x100, 0x900)),
]  # fmt: skip


@pytest.mark.tools
def test_tpm2_tools_know_all_codes_and_what_they_are_about() -> None:
    """It has no names, but says whether there is such a code, whether it is a warning, and which parameter it is of."""
    for code in CODES:
        said = subprocess.run(["tpm2_rc_decode", hex(code)], capture_output=True, text=True, check=True).stdout
        assert "unknown" not in said and "tpm:0x" not in said, (hex(code), said)
        assert response_name(code) != "TPM_RC_unknown", hex(code)
        if code & 0x80:
            subject = said.split(":")[1].replace("(", " ").rstrip(")")
            assert response_text(code).startswith(f"{subject}: "), (hex(code), said)
        else:
            assert said.startswith("tpm:warn" if code & 0x800 else "tpm:error"), (hex(code), said)


def test_codes_are_said_in_words() -> None:
    assert response_text(0x101) == "the TPM is in failure mode (TPM_RC_FAILURE, 0x101)"
    assert response_text(0x921) == "in dictionary attack lockout (TPM_RC_LOCKOUT, 0x921)"
    assert response_text(0x1C4) == "parameter 1: value out of range or not right here (TPM_RC_VALUE, 0x1c4)"
    assert response_text(0x98E).startswith("session 1: wrong authorization")
    assert response_text(0x18B).startswith("handle 1: ")
    for code in (0, 0x22, 0x17F, 0x4FF, 0x97F, 0xBF, 0xFFF, 0x80280400, 0xFFFFFFFF):
        assert f"{code:#05x}" in response_text(code)
