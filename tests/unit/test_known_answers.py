"""Signatures and chains against answers from outside.

WITNESS: the vectors of ed25519.cr.yp.to (sign.input), NIST CAVP (SigVer15_186-3.rsp of 2011-03-02,
SigVer15EMTest.txt of 2006-09-18, SigVer.rsp of 2011-03-16) and NIST PKITS 1.0.1, as PyPI's cryptography-vectors
carries them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shim.errors import ShimError, VerifyError
from shim.formats.spki import EcKey, RsaKey
from shim.formats.x509 import Certificate, parse_certificate
from shim.verify.chain import ChainBuilder
from shim.verify.ecdsa import check_ecdsa
from shim.verify.ed25519 import L, P, check_ed25519
from shim.verify.keys import SignatureChecker
from shim.verify.rsa import DIGEST_INFOS, check_rsa
from tests.builders.signing import key

VECTORS = Path(cryptography_vectors.__file__).parent
PKITS = VECTORS / "x509" / "PKITS_data" / "certs"
NAMES = {"SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512"}


def rows(path: Path, start: str) -> Iterator[dict[str, str]]:
    """Yield the cases of a CAVP file: what stands before counts on until it is said anew; `start` begins a case."""
    row: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            row = {"section": line.strip("[]")}
        elif "=" in line:
            name, _, value = line.partition("=")
            row[name.strip()] = value.strip()
            if name.strip() == "Result":
                assert start in row
                yield dict(row)


def is_good(check: object, *args: object) -> bool:
    try:
        check(*args)  # type: ignore[operator]
    except VerifyError:
        return False
    return True


def test_ed25519() -> None:
    """Every eighth of the 1024 vectors, each with a byte of the key, the message or the signature spoiled, too."""
    lines = (VECTORS / "asymmetric/Ed25519/sign.input").read_text().splitlines()[::8]
    assert len(lines) == 128
    for number, line in enumerate(lines):
        _secret, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        assert is_good(check_ed25519, public, (message,), signed[:64])
        pieces = [bytearray(public), bytearray(message), bytearray(signed[:64])]
        spoiled = pieces[number % 3] or pieces[0]
        spoiled[number % len(spoiled)] ^= 1 << number % 8
        assert not is_good(check_ed25519, bytes(pieces[0]), (bytes(pieces[1]),), bytes(pieces[2]))


@pytest.mark.parametrize("what", ["s + L", "y + p", "small order", "not a point", "cut", "empty"])
def test_ed25519_in_another_encoding_is_refused(what: str) -> None:
    """Spec: RFC 8032, 5.1.7, and what "Taming the many EdDSAs" (2020) found others to take."""
    line = (VECTORS / "asymmetric/Ed25519/sign.input").read_text().splitlines()[1]
    _secret, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
    signature = signed[:64]
    if what == "s + L":
        number = int.from_bytes(signature[32:], "little") + L
        signature = signature[:32] + number.to_bytes(32, "little")
    elif what == "y + p":
        public = (P + 1).to_bytes(32, "little")  # the neutral point, written with more than p
    elif what == "small order":  # any message fits: R is the neutral point, S is 0
        public, signature = (1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    elif what == "not a point":
        public = (2).to_bytes(32, "little")
    else:
        signature = signature[:63] if what == "cut" else b""
    with pytest.raises(VerifyError):
        check_ed25519(public, (message,), signature)


@pytest.mark.parametrize("file", ["FIPS_186-2/SigVer15_186-3.rsp", "SigVer15EMTest.txt"])
def test_rsa(file: str) -> None:
    accepted = refused = 0
    for row in rows(VECTORS / "asymmetric" / "RSA" / file, "SHAAlg"):
        name, exponent = NAMES.get(row["SHAAlg"]), int(row["e"], 16)
        if name is None:
            continue
        rsa_key = RsaKey(modulus=int(row["n"], 16), exponent=exponent)
        digest = hashlib.new(row["SHAAlg"].lower(), bytes.fromhex(row["Msg"])).digest()
        strong = rsa_key.modulus.bit_length() >= 2048 and exponent == 65537
        good = is_good(check_rsa, rsa_key, name, digest, bytes.fromhex(row["S"]))
        assert good == (row["Result"].startswith("P") and strong), row
        accepted, refused = accepted + good, refused + (strong and not good)
    assert refused >= 15
    assert accepted >= 9 or "EM" in file


def test_ecdsa() -> None:
    accepted = refused = 0
    for row in rows(VECTORS / "asymmetric" / "ECDSA" / "FIPS_186-3" / "SigVer.rsp", "Qx"):
        curve, _, function = row["section"].partition(",")
        name = NAMES.get(function.replace("-", ""))
        if curve not in ("P-256", "P-384") or name is None:
            continue
        ec_key = EcKey(curve=curve, x=int(row["Qx"], 16), y=int(row["Qy"], 16))
        digest = hashlib.new(function.replace("-", "").lower(), bytes.fromhex(row["Msg"])).digest()
        signature = encode_dss_signature(int(row["R"], 16), int(row["S"], 16))
        good = is_good(check_ecdsa, ec_key, name, digest, signature)
        assert good == row["Result"].startswith("P"), row
        accepted, refused = accepted + good, refused + (not good)
    assert accepted >= 12
    assert refused >= 60


def test_numbers_out_of_range_are_refused() -> None:
    p256 = EcKey(
        curve="P-256",
        x=0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
        y=0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
    )
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for r, s in ((0, 1), (1, 0), (0, 0), (order, 1), (1, order), (order + 1, order + 1)):
        with pytest.raises(VerifyError, match="out of range"):
            check_ecdsa(p256, "SHA-256", bytes(32), encode_dss_signature(r, s))
    for raw in (b"", b"\x30\x00", b"\x30\x06\x02\x01\x01\x02\x01\x01\x00", b"\x30\x07\x02\x02\x00\x01\x02\x01\x01"):
        with pytest.raises(VerifyError, match="malformed"):
            check_ecdsa(p256, "SHA-256", bytes(32), raw)
    for off_curve in (p256.replace(y=p256.y + 1), p256.replace(x=0, y=0), p256.replace(x=1 << 256)):
        with pytest.raises(VerifyError, match="not on its curve"):
            check_ecdsa(off_curve, "SHA-256", bytes(32), encode_dss_signature(1, 1))


@pytest.mark.parametrize("bits", [0, 1, 1024, 2047, 4097, 16384])
def test_rsa_keys_out_of_bounds_are_refused(bits: int) -> None:
    with pytest.raises(VerifyError, match="too short or too long"):
        check_rsa(RsaKey(modulus=(1 << bits) - 1, exponent=65537), "SHA-256", bytes(32), bytes(bits // 8))


@pytest.mark.parametrize("exponent", [1, 3, 17, 65536, 65538, (1 << 32) + 1])
def test_rsa_exponents_out_of_bounds_are_refused(exponent: int) -> None:
    with pytest.raises(VerifyError, match="exponent"):
        check_rsa(RsaKey(modulus=(1 << 2048) - 1, exponent=exponent), "SHA-256", bytes(32), bytes(256))


def test_only_one_encoding_of_a_digest_is_accepted() -> None:
    """What the key has really signed is not enough: padding, block type, DigestInfo and its end are compared."""
    numbers = key("rsa2048").private_numbers()
    public = RsaKey(modulus=numbers.public_numbers.n, exponent=numbers.public_numbers.e)
    digest = hashlib.sha256(b"any").digest()
    info = DIGEST_INFOS["SHA-256"]
    short_info = bytes.fromhex("302f300b0609608648016503040201" + "0420")  # without the NULL

    def message(block: int, tail: bytes, fill: int = 0xFF, behind: bytes = b"") -> bytes:
        return bytes([0, block]) + bytes([fill]) * (253 - len(tail) - len(behind)) + b"\0" + tail + behind

    def is_taken(encoded: bytes) -> bool:
        signature = pow(int.from_bytes(encoded, "big"), numbers.d, public.modulus).to_bytes(256, "big")
        return is_good(check_rsa, public, "SHA-256", digest, signature)

    assert is_taken(message(1, info + digest))
    for forged in (
        message(2, info + digest), message(0, info + digest, fill=0), message(1, short_info + digest),
        message(1, info + digest, fill=0xFE), message(1, info + digest[:-1]), message(1, digest),
        message(1, info + digest, behind=b"\0"), b"\0\1\0" + info + digest + bytes(253 - len(info + digest)),
        b"\0\1" + b"\xff" * 8 + b"\0" + info + digest + b"\xaa" * (245 - len(info + digest)),
        message(1, DIGEST_INFOS["SHA-512"] + digest),
    ):  # fmt: skip
        assert len(forged) == 256
        assert not is_taken(forged), forged.hex()


ACCEPTED = (
    "ValidCertificatePath", "ValidNegativeSerialNumber", "ValidLongSerialNumber", "ValidbasicConstraintsNotCritical",
    "ValidpathLenConstraint", "ValidkeyUsageNotCritical", "ValidUnknownNotCritical", "ValidNameUIDs",
    "ValidRFC3280MandatoryAttributeTypes", "ValidRFC3280OptionalAttributeTypes", "ValidUTF8StringEncodedNames",
    "ValidGeneralizedTimenot", "Validpre2000UTC",
    # Not valid any more or yet: signatures do not expire (UEFI 2.10, 32.5.1).
    "InvalidCAnot", "InvalidEEnot", "Invalidpre2000UTC",
)  # fmt: skip
REFUSED = (
    "InvalidCASignature", "InvalidEESignature", "InvalidNameChaining", "InvalidMissingbasicConstraints",
    "InvalidcAFalse", "InvalidkeyUsageCriticalkeyCertSignFalse", "InvalidkeyUsageNotCriticalkeyCertSignFalse",
    "InvalidpathLenConstraint", "InvalidSelfIssuedpathLenConstraint", "InvalidUnknownCriticalCertificateExtension",
    "InvalidDN", "InvalidRFC822nameConstraints", "InvalidURInameConstraints", "InvalidDSASignature",
    # Valid, but with what is not done here: DSA, name constraints, names that differ in case or blanks.
    "ValidDSA", "ValidDNnameConstraints", "ValidNameChainingCapitalization", "ValidNameChainingWhitespace",
)  # fmt: skip


def pkits(prefixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in PKITS.glob("*EE.crt") if path.name.startswith(prefixes))


@pytest.fixture(scope="module")
def issuers() -> tuple[Certificate, ...]:
    paths = [path for path in sorted(PKITS.glob("*.crt")) if not path.name.endswith("EE.crt")]
    return tuple(parse_certificate(path.read_bytes()) for path in paths)


def chain_problem(path: Path, issuers: tuple[Certificate, ...]) -> ShimError | None:
    anchor = parse_certificate((PKITS / "TrustAnchorRootCertificate.crt").read_bytes())
    try:
        ChainBuilder(issuers, [anchor], SignatureChecker(hashlib.sha256)).build(parse_certificate(path.read_bytes()))
    except ShimError as problem:
        return problem
    return None


@pytest.mark.parametrize("path", pkits(ACCEPTED), ids=lambda path: path.stem)
def test_chains_that_are_good(path: Path, issuers: tuple[Certificate, ...]) -> None:
    assert chain_problem(path, issuers) is None


@pytest.mark.parametrize("path", pkits(REFUSED), ids=lambda path: path.stem)
def test_chains_that_are_bad(path: Path, issuers: tuple[Certificate, ...]) -> None:
    assert isinstance(chain_problem(path, issuers), VerifyError)
