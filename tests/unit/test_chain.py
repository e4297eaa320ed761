"""Chains end at an anchor or nowhere, and every certificate is used only for what it allows."""

from __future__ import annotations

import hashlib

import pytest

from shim.errors import VerifyError
from shim.formats.x509 import parse_certificate
from shim.verify.chain import CHAIN_MAX, ChainBuilder
from shim.verify.keys import CHECKS_MAX, SignatureChecker
from tests.builders.signing import CODE_SIGNING, Identity, Signing, identity, key, signed_pe, small_pe
from tests.unit.hostile import bounded
from tests.unit.judging import accepts, reason_against

TLS_SERVER, MODULES_ONLY, ANY_USE = "1.3.6.1.5.5.7.3.1", "1.3.6.1.4.1.2312.16.1.2", "2.5.29.37.0"
NAME_CONSTRAINTS = "2.5.29.30"



@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


@pytest.fixture(scope="module")
def middle(root: Identity) -> Identity:
    return identity("Middle", key("p256", 1), root, ca=True)


@pytest.fixture(scope="module")
def leaf(middle: Identity) -> Identity:
    return identity("Leaf", key("p256", 2), middle)


def signed(signer: Identity, *carried: Identity) -> bytes:
    return signed_pe(small_pe(), Signing(signer, carried))


def test_the_chain_may_end_at_any_certificate_of_it(root: Identity, middle: Identity, leaf: Identity) -> None:
    file = signed(leaf, middle)
    assert accepts(file, root).reason == "signed by Leaf, under Root (SHA-256)"
    assert accepts(file, middle).reason == "signed by Leaf, under Middle (SHA-256)"
    assert accepts(file, leaf).reason == "signed by Leaf, which is an anchor itself (SHA-256)"
    accepts(signed(leaf), middle)


def test_an_intermediate_without_its_root_is_not_trusted_for_that(middle: Identity, leaf: Identity) -> None:
    """sbverify before 0.9.5 took such a signature for good, whatever certificate it was given."""
    stranger = identity("Stranger", key("p256", 3), ca=True)
    reason = reason_against(signed(leaf, middle), stranger)
    assert "the chain ends before an anchor of the policy (last=Middle, issuer=Root)" in reason


def test_a_root_that_the_signature_brings_itself_is_not_trusted(
    root: Identity, middle: Identity, leaf: Identity
) -> None:
    stranger = identity("Stranger", key("p256", 3), ca=True)
    assert "before an anchor" in reason_against(signed(leaf, middle, root), stranger)


def test_an_anchor_of_the_same_name_is_not_the_anchor(leaf: Identity, middle: Identity) -> None:
    impostor = identity("Root", key("p256", 4), ca=True)
    assert "signature does not fit" in reason_against(signed(leaf, middle), impostor)
    self_made = identity("Leaf", key("p256", 5))
    assert "no certificate authority" in reason_against(signed(self_made), leaf)
    assert "no certificate authority" in reason_against(signed(identity("Leaf", key("p256", 2))), leaf)


def test_a_missing_intermediate_is_said(root: Identity, leaf: Identity) -> None:
    assert "no anchor of the policy has issued it (signer=Leaf, issuer=Middle)" in reason_against(signed(leaf), root)


def test_several_anchors_are_all_tried(root: Identity, middle: Identity, leaf: Identity) -> None:
    stranger, impostor = identity("Stranger", key("p256", 3), ca=True), identity("Root", key("p256", 4), ca=True)
    accepts(signed(leaf, middle), stranger, impostor, root)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"ca": False}, "no certificate authority"),
        ({"ca": None}, "no certificate authority"),
        ({"ca": True, "usage": ["digital_signature"]}, "key usage does not include certificates"),
        ({"ca": True, "extended": [TLS_SERVER]}, "extended key usage does not include programs"),
        ({"ca": True, "critical": NAME_CONSTRAINTS}, "critical extension"),
    ],
)
def test_an_issuer_that_may_not_issue_is_refused(wrong: dict[str, object], reason: str, root: Identity) -> None:
    middle = identity("Middle", key("p256", 1), root, **wrong)
    assert reason in reason_against(signed(identity("Leaf", key("p256", 2), middle), middle), root)


def test_an_anchor_that_may_not_issue_is_refused_as_issuer() -> None:
    anchor = identity("Root", key("p256"))
    assert "no certificate authority" in reason_against(signed(identity("Leaf", key("p256", 2), anchor)), anchor)
    accepts(signed(anchor), anchor)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"usage": ["key_cert_sign"]}, "key usage does not include signatures"),
        ({"extended": [TLS_SERVER]}, "does not include programs"),
        ({"extended": [ANY_USE]}, "does not include programs"),
        ({"extended": [CODE_SIGNING, MODULES_ONLY]}, "does not include programs"),
        ({"critical": NAME_CONSTRAINTS}, "critical extension"),
    ],
)
def test_a_signer_that_may_not_sign_is_refused(wrong: dict[str, object], reason: str, root: Identity) -> None:
    assert reason in reason_against(signed(identity("Leaf", key("p256", 2), root, **wrong)), root)


@pytest.mark.parametrize(
    "right",
    [
        {"extended": [TLS_SERVER, CODE_SIGNING]},
        {"usage": ["digital_signature"]},
        {"ca": True},
        {"ca": None},
        {"years": (2001, 2002)},
        {"years": (2060, 2070)},
    ],
)
def test_a_signer_is_accepted_whatever_the_time(right: dict[str, object], root: Identity) -> None:
    accepts(signed(identity("Leaf", key("p256", 2), root, **right)), root)


def test_a_certificate_signed_with_sha1_is_refused() -> None:
    root = identity("Root", key("rsa2048"), ca=True)
    reason = reason_against(signed(identity("Leaf", key("p256", 2), root, digest="sha1")), root)
    assert "too weak or unknown (certificate=Leaf, issuer=Root, found=SHA-1 with RSA)" in reason


def test_a_path_length_is_kept() -> None:
    root = identity("Root", key("p256"), ca=True, path_length=0)
    middle = identity("Middle", key("p256", 1), root, ca=True)
    accepts(signed(identity("Direct", key("p256", 3), root)), root)
    file = signed(identity("Leaf", key("p256", 2), middle), middle)
    reason = reason_against(file, root)
    assert "longer than the issuer allows (certificate=Middle, issuer=Root, expected=0, found=1)" in reason
    accepts(file, middle)


def test_a_chain_has_an_end() -> None:
    chain = [identity("Step 0", key("p256"), ca=True)]
    for number in range(1, CHAIN_MAX + 2):
        chain.append(identity(f"Step {number}", key("p256", number % 3), chain[-1], ca=True))
    accepts(signed(chain[CHAIN_MAX], *chain[1:CHAIN_MAX]), chain[0])
    assert "chain" in reason_against(signed(chain[CHAIN_MAX + 1], *chain[1 : CHAIN_MAX + 1]), chain[0])


def test_certificates_that_issue_each_other_end() -> None:
    one, other = identity("One", key("p256"), ca=True), identity("Other", key("p256", 1), ca=True)
    by_other, by_one = identity("One", one.private, other, ca=True), identity("Other", other.private, one, ca=True)
    leaf = identity("Leaf", key("p256", 2), by_other)
    reason_against(signed(leaf, by_one, by_other), identity("Stranger", key("p256", 3), ca=True))
    accepts(signed(leaf, by_one, by_other), by_one)


def test_a_crowd_of_certificates_costs_no_more_than_the_limit() -> None:
    """Thirty certificates of one name and key each pass for the issuer of each other: 30! chains."""
    private = key("p256")
    crowd = [identity("Same", private, ca=True) for _ in range(30)]
    stranger = parse_certificate(identity("Stranger", key("p256", 3), ca=True).der)
    pool = [parse_certificate(one.der) for one in crowd]
    with bounded(seconds=2.0), pytest.raises(VerifyError, match="too many signatures to check"):
        ChainBuilder(pool, [stranger], SignatureChecker(hashlib.sha256)).build(pool[0])
    assert CHECKS_MAX <= 32


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "rsa4096", "p256", "p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_every_key_with_every_hash_function(kind: str, digest: str) -> None:
    root = identity("Root", key(kind), ca=True)
    leaf = identity("Leaf", key(kind), root, digest=digest)
    accepts(signed_pe(small_pe(), Signing(leaf, digest=digest)), root)


@pytest.mark.parametrize(
    ("kind", "reason"), [("rsa1024", "too short or too long"), ("p521", "curve is unknown")]
)
def test_other_keys_are_refused(kind: str, reason: str, root: Identity) -> None:
    assert reason in reason_against(signed(identity("Leaf", key(kind), root)), root)
    weak_root = identity("Weak", key(kind), ca=True)
    assert reason in reason_against(signed(identity("Leaf", key("p256", 2), weak_root)), weak_root)
