"""Authenticode: which bytes count, which layouts are taken, which signatures and which lies."""

from __future__ import annotations

import struct

import pytest

from shim.errors import FormatError
from shim.formats.authenticode import (
    TABLE_SIZE_MAX,
    WIN_CERTIFICATE,
    certificate_entries,
    hashed_ranges,
    parse_signature,
)
from shim.formats.pe import COFF_HEADER, OPTIONAL_HEADER, SECTION_HEADER, parse_pe
from tests.builders import signing
from tests.builders.signing import (
    CODE_SIGNING,
    Identity,
    Signing,
    entry,
    identity,
    key,
    places,
    signed_data,
    signed_pe,
    small_pe,
    with_table,
)
from tests.unit.hostile import bounded, cuts, mutations, survives, with_memory
from tests.unit.judging import accepts, judge, policy, reason_against


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("rsa2048"), ca=True, usage=["key_cert_sign"])


@pytest.fixture(scope="module")
def leaf(root: Identity) -> Identity:
    return identity("Leaf", key("rsa2048", 1), root, usage=["digital_signature"], extended=[CODE_SIGNING])


@pytest.fixture(scope="module")
def signed(leaf: Identity) -> bytes:
    return signed_pe(small_pe(tail=b"behind the sections, signed as well "[:32]), Signing(leaf))


def test_a_signed_file_is_accepted_and_says_by_whom(signed: bytes, root: Identity) -> None:
    verdict = accepts(signed, root)
    assert verdict.signer == "Leaf"
    assert verdict.reason == "signed by Leaf, under Root (SHA-256)"
    unsigned_size = len(signed) - parse_pe(signed).certificates_size
    assert verdict.covered is not None and verdict.covered.startswith(f"{unsigned_size - 12} of {len(signed)} bytes")


def test_every_byte_that_counts_counts(signed: bytes, root: Identity) -> None:
    rules = policy([root])
    ranges = hashed_ranges(parse_pe(signed), len(signed))
    spoiled = 0
    for part in ranges:
        for at in range(part.start, part.end):
            verdict = judge(signed[:at] + bytes([signed[at] ^ 0x01]) + signed[at + 1 :], rules)
            assert not verdict.accepted, hex(at)
            spoiled += 1
    assert spoiled == len(signed) - parse_pe(signed).certificates_size - 12


def test_the_checksum_does_not_count(signed: bytes, root: Identity) -> None:
    checksum, _ = places(signed)
    accepts(signed[:checksum] + b"\xff\xff\xff\xff" + signed[checksum + 4 :], root)


def test_the_place_of_the_certificate_table_and_its_padding_do_not_count(leaf: Identity, root: Identity) -> None:
    pe = small_pe()
    good = entry(signed_data(pe, Signing(leaf)), padded=False)
    padding = -len(good) % 8
    accepts(with_table(pe, good + b"\xaa" * padding), root)
    accepts(with_table(pe, good + bytes(padding) + entry(b"any other bytes")), root)


def test_a_byte_of_the_certificate_table_never_changes_what_is_trusted(signed: bytes, root: Identity) -> None:
    rules = policy([root])
    start = parse_pe(signed).certificates_offset
    accepted = 0
    for at in range(start, len(signed)):
        with bounded():
            verdict = judge(signed[:at] + bytes([signed[at] ^ 0x01]) + signed[at + 1 :], rules)
        accepted += verdict.accepted
        assert verdict.signer in (None, "Leaf")
    # Not covered by any signature: version numbers, padding, the list of hash functions' parameters ...
    assert accepted < 32


def test_a_file_without_a_signature_is_refused(root: Identity) -> None:
    assert reason_against(small_pe(), root) == "it carries no signature"


def test_something_that_is_no_program_is_refused(root: Identity) -> None:
    assert reason_against(b"\x7fELF" + bytes(200), root).startswith("no signed program: not a PE image")


@pytest.mark.parametrize("is_64", [True, False])
def test_pe32_is_as_good_as_pe32_plus(is_64: bool, leaf: Identity, root: Identity) -> None:
    accepts(signed_pe(small_pe(is_64=is_64), Signing(leaf)), root)


def test_the_hash_functions(leaf: Identity, root: Identity) -> None:
    for digest in ("sha256", "sha384", "sha512"):
        assert f"SHA-{digest[3:]}" in accepts(signed_pe(small_pe(), Signing(leaf, digest=digest)), root).reason
    for digest in ("sha1", "md5"):
        reason = reason_against(signed_pe(small_pe(), Signing(leaf, digest=digest)), root)
        assert "hash function is too weak" in reason


LIES = {
    "image digest": {"image_digest": bytes(32)},
    "image digest of a wrong size": {"image_digest": bytes(20)},
    "message digest": {"message_digest": bytes(32)},
    "no message digest": {"message_digest": b""},
    "signer with another hash function": {"signer_digest": "sha512"},
    "hash function not listed": {"listed_digest": "sha512"},
    "another content type": {"content_type": "1.2.840.113549.1.7.1"},
    "another content type in the attributes": {"attribute_content_type": "1.2.840.113549.1.7.1"},
    "two content types": {"extra_attributes": [signing.attribute(signing.CONTENT_TYPE, signing.der_oid("1.2.3.4"))]},
    "two message digests": {"extra_attributes": [signing.attribute(signing.MESSAGE_DIGEST, signing.der(4, b"x"))]},
    "signature of another kind of key": {"signature_oid": signing.EC_SHA256_OID},
    "signature algorithm with SHA-1": {"signature_oid": "1.2.840.113549.1.1.5"},
    "signature algorithm with another hash function": {"signature_oid": "1.2.840.113549.1.1.13"},
    "signature algorithm RSASSA-PSS": {"signature_oid": "1.2.840.113549.1.1.10"},
    "spoiled signature": {"spoil_signature": True},
    "too many signers": {"signer_count": 9},
    "too many nested": {"nested": [signing.der(0x30)] * 9},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_signature_that_lies_is_refused(lie: str, leaf: Identity, root: Identity) -> None:
    reason = reason_against(signed_pe(small_pe(), Signing(leaf, **LIES[lie])), root)
    assert reason.startswith("signature 1: ")


def test_a_signature_of_another_file_is_refused(leaf: Identity, root: Identity) -> None:
    content = signed_data(small_pe((0x200, 0x400)), Signing(leaf))
    assert "not what was signed" in reason_against(with_table(small_pe(), entry(content)), root)


def test_one_good_signature_of_several_is_enough(leaf: Identity, root: Identity) -> None:
    pe, stranger = small_pe(), identity("Stranger", key("rsa2048", 2))
    good, other = signed_data(pe, Signing(leaf)), signed_data(pe, Signing(stranger))
    broken = b"\x30\x03\x02\x01"
    for contents in ([other, good], [good, other], [broken, good], [good, broken], [broken, other, good]):
        accepts(with_table(pe, b"".join(map(entry, contents))), root)
    accepts(with_table(pe, entry(good, kind=0x0EF1) + entry(good)), root)
    accepts(signed_pe(pe, Signing(stranger, nested=[good])), root)
    unreadable = signing.der(0x30, b"\x05\x00")
    accepts(signed_pe(pe, Signing(stranger, nested=[unreadable, good])), root)
    assert "not PKCS #7" in reason_against(with_table(pe, entry(good, kind=0x0EF1)), root)
    assert "not PKCS #7" in reason_against(with_table(pe, entry(good, revision=0x100)), root)
    reason = reason_against(with_table(pe, entry(other) + entry(broken)), root)
    assert "signature 1: " in reason and "signature 2: " in reason


def test_signed_attributes_must_be_there(leaf: Identity, root: Identity) -> None:
    reason = reason_against(signed_pe(small_pe(), Signing(leaf, signed_attributes=False)), root)
    assert reason == "signature 1: signature has no signed attributes, or names its signer by a key"


def test_many_signatures_cost_no_more_than_the_limit(root: Identity) -> None:
    """Sixteen entries, each with eight signers whose chains lead nowhere, slowly."""
    slow_root = identity("Root", key("p384"), ca=True)
    slow = identity("Slow", key("p384", 1), slow_root)
    file = signed_pe(small_pe(), *[Signing(slow, signer_count=8)] * 16)
    with bounded(seconds=2.0):
        assert "too many signatures to check" in reason_against(file, identity("Root", key("p384", 2), ca=True))


def test_bytes_behind_the_signature_are_refused_but_padding_is_not(leaf: Identity, root: Identity) -> None:
    pe = small_pe()
    content = signed_data(pe, Signing(leaf))
    accepts(with_table(pe, entry(content + bytes(7))), root)
    assert "DER" in reason_against(with_table(pe, entry(content + bytes(8))), root)
    assert "DER" in reason_against(with_table(pe, entry(content + b"\1")), root)


def test_a_certificate_table_that_lies_is_refused(leaf: Identity, root: Identity) -> None:
    pe = small_pe()
    good = entry(signed_data(pe, Signing(leaf)))
    file = with_table(pe, good)
    assert "bytes follow" in reason_against(file + bytes(8), root)
    for cut in (1, 8, len(good) - 1):
        assert "outside the file" in reason_against(file[:-cut], root)
    assert "wrong length" in reason_against(with_table(pe, good + bytes(8)), root)
    assert "wrong length" in reason_against(with_table(pe, struct.pack("<IHH", 8, 0x200, 2) + good), root)
    assert "cut short" in reason_against(with_table(pe, good + bytes(4)), root)
    many = with_table(pe, entry(b"x") * 17)
    assert "too many entries" in reason_against(many, root)
    slot = places(file)[1]
    moved = file[:slot] + struct.pack("<II", len(pe) + 4, len(good) - 4) + file[slot + 8 :]
    assert "misplaced" in reason_against(moved, root)
    inside = file[:slot] + struct.pack("<II", len(pe) - 8, len(good) + 8) + file[slot + 8 :]
    assert "beyond what is signed" in reason_against(inside, root)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("pointer_to_raw_data", 0x3F0, "overlaps"),
        ("pointer_to_raw_data", 0x100, "overlaps"),
        ("pointer_to_raw_data", 0x408, "gap"),
        ("size_of_raw_data", 0x208, "beyond what is signed"),
        ("size_of_raw_data", 0xFFFFFFFF, "beyond what is signed"),
    ],
)
def test_a_layout_in_which_bytes_would_escape_is_refused(field: str, value: int, reason: str, root: Identity) -> None:
    pe = bytearray(small_pe())
    second = parse_pe(pe).headers_end - SECTION_HEADER.size
    struct.pack_into("<I", pe, second + SECTION_HEADER.offsets[field], value)
    with pytest.raises(FormatError, match=reason):
        hashed_ranges(parse_pe(pe), len(pe))
    assert reason in reason_against(bytes(pe), root)


def test_sections_may_stand_in_any_order_in_the_table(leaf: Identity, root: Identity) -> None:
    pe = bytearray(small_pe())
    end = parse_pe(pe).headers_end
    size = SECTION_HEADER.size
    pe[end - 2 * size : end] = pe[end - size : end] + pe[end - 2 * size : end - size]
    accepts(signed_pe(bytes(pe), Signing(leaf)), root)


def test_hostile_input_ends_in_a_verdict(signed: bytes, root: Identity) -> None:
    rules = policy([root])
    for cut in cuts(signed):
        with bounded():
            assert not judge(cut, rules).accepted
    coff = struct.unpack_from("<I", signed, 0x3C)[0]
    records = [(COFF_HEADER, coff), (OPTIONAL_HEADER, coff + 24), (SECTION_HEADER, parse_pe(signed).headers_end - 40)]
    for record, at in records:
        for what, data in mutations(record, signed, at):
            with bounded():
                verdict = judge(data, rules)
            assert not verdict.accepted or "check_sum" in what or data == signed, what
    for what, data in mutations(WIN_CERTIFICATE, signed, parse_pe(signed).certificates_offset):
        with bounded():
            assert not judge(data, rules).accepted or what.startswith("length") or data == signed, what


def test_large_signatures_cost_little(leaf: Identity, root: Identity) -> None:
    tiny = b"\x05\x00"
    pe, size = small_pe(), TABLE_SIZE_MAX
    bombs = {
        "one attribute": [signing.der(0x30, tiny * (size // 2 - 2000))],
        "many attributes": [signing.attribute("1.2.3", tiny)] * 1000,
        "many values": [signing.attribute(f"1.2.{n}", *[tiny] * 100) for n in range(30)],
        "many in time": [signing.attribute(f"1.2.{n}", *[tiny] * 16) for n in range(30)],
    }
    for what, attributes in bombs.items():
        for count in (1, 8):
            content = signed_data(pe, Signing(leaf, extra_attributes=attributes, signer_count=count))
            with with_memory():
                survives(parse_signature, content, what)
            file = with_table(pe, entry(content))
            with bounded(seconds=1.0):
                assert len(content) > size or judge(file, policy([root])).accepted == (what == "many in time")
    assert "misplaced or too long" in reason_against(with_table(pe, bytes(size + 8)), root)


def test_hostile_signatures_end_in_a_typed_error(signed: bytes) -> None:
    content = certificate_entries(signed, parse_pe(signed))[0].content
    for cut in cuts(content):
        survives(parse_signature, cut)
    for at in range(len(content)):
        for value in {0x00, 0x80, 0x84, 0xFF, content[at] ^ 1, content[at] + 1 & 0xFF}:
            survives(parse_signature, content[:at] + bytes([value]) + content[at + 1 :], hex(at))
