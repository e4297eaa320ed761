"""DER, PEM and X.509: one encoding for one value, and nothing hostile gets further than a typed error."""

from __future__ import annotations

import base64
from pathlib import Path

import cryptography_vectors
import pytest
import virt.firmware
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import FormatError
from shim.formats.der import (
    BIT_STRING,
    BOOLEAN,
    DEPTH_MAX,
    INTEGER,
    OID,
    SEQUENCE,
    parse_bits,
    parse_boolean,
    parse_der,
    parse_integer,
    parse_oid,
)
from shim.formats.pem import parse_base64, parse_pem
from shim.formats.spki import parse_public_key
from shim.formats.x509 import parse_certificate
from tests.builders.signing import der, der_integer, der_oid, identity, key
from tests.unit.hostile import cuts, refuses, survives, with_memory

CERTIFICATES = [
    *sorted((Path(virt.firmware.__file__).parent / "certs").glob("*/*.pem")),
    *sorted((Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs").glob("*CACert.crt")),
]
CERTIFICATES = [path for path in CERTIFICATES if "DSAParametersInherited" not in path.name]  # the witness cannot


@given(st.integers(min_value=-(1 << 512), max_value=1 << 512))
def test_integers_come_back(value: int) -> None:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    raw = der(INTEGER, value.to_bytes(size, "big", signed=True))
    assert parse_integer(parse_der(raw, "number", INTEGER)) == value


@given(st.tuples(st.integers(0, 2), st.integers(0, 39), st.integers(0, 1 << 40), st.integers(0, 300)))
def test_object_identifiers_come_back(arcs: tuple[int, ...]) -> None:
    text = ".".join(map(str, arcs))
    assert parse_oid(parse_der(der_oid(text), "identifier", OID)) == text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is missing"),
        (b"\x30", "cut short"),
        (b"\x30\x80\x00\x00", "indefinite"),
        (b"\x30\x81\x05abcde", "longer than it must"),
        (b"\x30\x82\x00\x85" + bytes(0x85), "longer than it must"),
        (b"\x30\x85\x00\x00\x00\x00\x05abcde", "too long"),
        (b"\x30\xff" + bytes(127), "too long"),
        (b"\x30\x84\xff\xff\xff\xff", "longer than what holds it"),
        (b"\x30\x05abcd", "longer than what holds it"),
        (b"\x30\x02abc", "more than it may"),
        (b"\x31\x00", "another tag"),
        (b"\x3f\x81\x01\x00", "above 30"),
    ],
)
def test_lengths_and_tags_that_are_not_der(raw: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_der(raw, "thing")


@pytest.mark.parametrize(
    ("tag", "content", "parse"),
    [
        (INTEGER, b"", parse_integer), (INTEGER, b"\x00\x01", parse_integer), (INTEGER, b"\xff\xff", parse_integer),
        (INTEGER, b"\x01" * 1025, parse_integer), (BOOLEAN, b"\x01", parse_boolean), (BOOLEAN, b"", parse_boolean),
        (BIT_STRING, b"", parse_bits), (BIT_STRING, b"\x08\x00", parse_bits), (BIT_STRING, b"\x01", parse_bits),
        (BIT_STRING, b"\x01\x01", parse_bits), (OID, b"", parse_oid), (OID, b"\x80\x01", parse_oid),
        (OID, b"\x2a\x80\x01", parse_oid), (OID, b"\x2a\x81", parse_oid), (OID, b"\x2a" * 65, parse_oid),
        (SEQUENCE, b"", parse_oid),
    ],
)  # fmt: skip
def test_values_that_are_not_der(tag: int, content: bytes, parse: object) -> None:
    element = parse_der(der(tag, content), "value", tag)
    with pytest.raises(FormatError):
        parse(element)  # type: ignore[operator]


def test_nesting_has_an_end() -> None:
    raw = b""
    for _ in range(10 * DEPTH_MAX):
        raw = der(SEQUENCE, raw)
    element = parse_der(raw, "nest")
    with pytest.raises(FormatError, match="too deeply"):
        while True:
            element = element.children()[0]


def test_a_primitive_element_holds_no_others() -> None:
    with pytest.raises(FormatError, match="holds no others"):
        parse_der(der_integer(5), "number", INTEGER).fields()


@pytest.mark.parametrize("path", CERTIFICATES, ids=lambda path: path.stem)
def test_certificates_read_as_the_witness_reads_them(path: Path) -> None:
    """WITNESS: cryptography of PyPI."""
    data = path.read_bytes()
    if b"-----BEGIN" in data:
        (data,) = parse_pem(data, "CERTIFICATE")
    mine, witness = parse_certificate(data), x509.load_der_x509_certificate(data)
    assert mine.encoded == witness.public_bytes(Encoding.DER)
    assert mine.tbs == witness.tbs_certificate_bytes
    assert mine.issuer == witness.issuer.public_bytes()
    assert mine.subject == witness.subject.public_bytes()
    assert mine.signature_algorithm == witness.signature_algorithm_oid.dotted_string
    assert mine.not_before == witness.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert mine.not_after == witness.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    if witness.serial_number > 0:
        assert mine.serial == witness.serial_number
    found = {extension.oid.dotted_string: extension.value for extension in witness.extensions}
    constraints, usage = found.get("2.5.29.19"), found.get("2.5.29.15")
    expected = (constraints.ca, constraints.path_length) if constraints else (False, None)
    assert (mine.is_ca, mine.path_length) == expected
    if usage:
        assert mine.key_usage is not None
        assert (0 in mine.key_usage, 5 in mine.key_usage) == (usage.digital_signature, usage.key_cert_sign)
    uses = found.get("2.5.29.37")
    assert mine.extended_key_usage == (tuple(use.dotted_string for use in uses) if uses else None)


def test_public_keys_read_as_they_were_made() -> None:
    for kind in ("rsa2048", "p256", "p384"):
        private = key(kind)
        numbers = private.public_key().public_numbers()
        mine = parse_public_key(parse_certificate(identity("Any", private).der).spki)
        expected = (numbers.n, numbers.e) if kind.startswith("rsa") else (numbers.x, numbers.y)
        assert tuple(mine.as_dict().values())[-2:] == expected[-2:] or tuple(mine.as_dict().values()) == expected


def test_hostile_certificates_end_in_a_typed_error() -> None:
    root = identity("Root", key("rsa2048"), ca=True, path_length=3, usage=["key_cert_sign"], extended=["1.2.3"])
    data = root.der
    for cut in cuts(data):
        refuses(parse_certificate, cut)
    refuses(parse_certificate, data + b"\0")
    for at in range(len(data)):
        for value in {0x00, 0x7F, 0x80, 0x84, 0xFF, data[at] ^ 1, data[at] + 1 & 0xFF, data[at] - 1 & 0xFF}:
            spoiled = data[:at] + bytes([value]) + data[at + 1 :]
            survives(parse_certificate, spoiled, hex(at))
    spki = parse_certificate(data).spki
    for cut in cuts(spki):
        refuses(parse_public_key, cut)
    for at in range(len(spki)):
        survives(parse_public_key, spki[:at] + bytes([spki[at] ^ 0x81]) + spki[at + 1 :], hex(at))


def test_hostile_sizes_cost_no_memory() -> None:
    many = der(SEQUENCE, der(SEQUENCE) * 200_000)
    with with_memory():
        refuses(parse_certificate, many)
        refuses(parse_certificate, der(SEQUENCE, b"\0" * (1 << 20)))
        refuses(lambda data: parse_der(data, "list").children(), many)


@given(st.binary(max_size=300))
def test_base64_comes_back(data: bytes) -> None:
    assert parse_base64(base64.b64encode(data)) == data


NOT_BASE64 = [b"A", b"AB", b"ABC", b"A===", b"AB=C", b"AB==AB==", b"====", b"AB!=", b"AR==", b"ABD="]


@pytest.mark.parametrize("text", NOT_BASE64)
def test_what_is_not_base64(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_base64(text)


def test_pem_holds_any_number_of_certificates() -> None:
    first, second = identity("First", key("p256")), identity("Second", key("p256", 1))
    text = b"subject=First\n" + first.pem + b"\n" + second.pem.replace(b"\n", b"\r\n") + b"the end"
    assert parse_pem(text, "CERTIFICATE") == (first.der, second.der)
    for cut in cuts(first.pem[:-2], step=7):
        refuses(lambda data: parse_pem(data, "CERTIFICATE"), cut)
    with pytest.raises(FormatError, match="no such block"):
        parse_pem(first.pem, "PRIVATE KEY")
    refuses(lambda data: parse_pem(data, "CERTIFICATE"), b"-----BEGIN CERTIFICATE-----" * 9000)
