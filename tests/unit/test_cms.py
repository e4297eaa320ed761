"""Detached CMS signatures: who is believed, what is refused and in which words, held against openssl."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shim.cli import main
from shim.formats.pkcs7 import parse_signed_data
from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.cms import ROLES, SIGNATURE_SIZE_MAX, SUFFIXES
from shim.verify.piece import Piece
from tests.builders.cms import By, cms, openssl_accepts, openssl_cms
from tests.builders.keys import make_ca, make_leaf
from tests.builders.signing import (
    CODE_SIGNING,
    Identity,
    Signing,
    attribute,
    der,
    identity,
    key,
    signature_list,
    signed_data,
    signed_pe,
    small_pe,
)
from tests.unit.hostile import bounded, cuts, survives
from tests.unit.judging import policy

FILE = b"070701 an initrd" * 100
EMAIL, ANY_USE = "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


@pytest.fixture(scope="module")
def leaf(root: Identity) -> Identity:
    return identity("Leaf", key("p256", 1), root)


@pytest.fixture(scope="module")
def stranger() -> Identity:
    return identity("Stranger", key("p256", 9), ca=True)


def judge(
    beside: bytes | Mapping[str, bytes], *anchors: Identity, data: bytes = FILE, dbx: bytes = b"", threshold: int = 1
) -> Verdict:
    rules = policy(anchors, dbx=[dbx] if dbx else [], initrd={"require": ["cms"], "threshold": threshold})
    found = {".p7s": beside} if isinstance(beside, bytes) else beside
    digest = hashlib.sha256(data).digest()
    return judge_piece(Piece(Role.INITRD, "file", data, digest, hashlib.sha256, found), rules)


def accepts(beside: bytes | Mapping[str, bytes], *anchors: Identity, data: bytes = FILE) -> str:
    verdict = judge(beside, *anchors, data=data)
    assert verdict.accepted, verdict.reason
    return verdict.reason


def refuses(beside: bytes | Mapping[str, bytes], *anchors: Identity, data: bytes = FILE, dbx: bytes = b"") -> str:
    verdict = judge(beside, *anchors, data=data, dbx=dbx)
    assert not verdict.accepted, verdict.reason
    return verdict.reason


def test_a_good_signature_says_by_whom(root: Identity, leaf: Identity) -> None:
    verdict = judge(cms(FILE, By(leaf)), root)
    assert (verdict.accepted, verdict.rule, verdict.signer, verdict.covered) == (True, "cms", "Leaf", "all bytes")
    assert verdict.reason == "signed by Leaf, under Root (SHA-256)"
    assert accepts(cms(FILE, By(leaf, attributes=False)), root) == "signed by Leaf, under Root (SHA-256)"
    assert accepts(cms(FILE, By(leaf), certificates=False), leaf).endswith("which is an anchor itself (SHA-256)")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_suffix_is_looked_at(suffix: str, root: Identity, leaf: Identity) -> None:
    good, bad = cms(FILE, By(leaf)), cms(b"other", By(leaf))
    accepts({suffix: good}, root)
    assert refuses({suffix: bad}, root) == f"its {suffix}: the file is not what was signed"
    accepts({**dict.fromkeys(SUFFIXES, bad), suffix: good}, root)


def test_nothing_beside_it(root: Identity) -> None:
    assert refuses({}, root) == "no signature lies beside it (.p7s, .p7, .sig)"
    assert "no signature lies beside it" in refuses({".asc": b"other kinds' signatures"}, root)


def test_every_role_but_the_command_line_has_a_file() -> None:
    assert set(Role) - set(ROLES) == {Role.CMDLINE}


@pytest.mark.parametrize("attributes", [True, False])
def test_a_tampered_file(attributes: bool, root: Identity, leaf: Identity) -> None:
    signature = cms(FILE, By(leaf, attributes=attributes))
    reason = "the file is not what was signed" if attributes else "ECDSA signature does not fit"
    for spoiled in (FILE[:-1], FILE + b"\0", FILE[:9] + b"!" + FILE[10:], b""):
        assert refuses(signature, root, data=spoiled).startswith(f"its .p7s: {reason}")


def test_the_wrong_authority(root: Identity, leaf: Identity, stranger: Identity) -> None:
    expected = "its .p7s: no anchor of the policy has issued it (signer=Leaf, issuer=Root)"
    assert refuses(cms(FILE, By(leaf)), stranger) == expected
    assert "the chain ends before an anchor" in refuses(cms(FILE, By(leaf), carried=[root]), stranger)
    impostor = identity("Leaf", key("p256", 8), identity("Root", key("p256", 7), ca=True))
    assert "ECDSA signature does not fit" in refuses(cms(FILE, By(impostor)), root)
    missing = cms(FILE, By(leaf), certificates=False)
    reason = "its .p7s: the signer's certificate is neither carried nor an anchor (serial=0x"
    assert refuses(missing, root).startswith(reason)


def test_an_intermediate(root: Identity) -> None:
    middle = identity("Middle", key("p256", 2), root, ca=True)
    signature = cms(FILE, By(identity("Deep", key("p256", 3), middle)), carried=[middle])
    assert accepts(signature, root) == "signed by Deep, under Root (SHA-256)"


@pytest.mark.parametrize(
    ("uses", "good"),
    [(None, True), ([CODE_SIGNING], True), ([CODE_SIGNING, EMAIL], True), ([EMAIL], False), ([ANY_USE], False)],
)
def test_the_extended_key_usage(uses: list[str] | None, good: bool, root: Identity) -> None:
    signature = cms(FILE, By(identity("Leaf", key("p256", 1), root, extended=uses)))
    assert judge(signature, root).accepted == good
    if not good:
        expected = "its .p7s: the signer's extended key usage does not include programs (signer=Leaf)"
        assert refuses(signature, root) == expected


def test_a_revoked_certificate(root: Identity, leaf: Identity) -> None:
    signature = cms(FILE, By(leaf))
    for attributes in (True, False):
        signature = cms(FILE, By(leaf, attributes=attributes))
        refused = refuses(signature, root, dbx=signature_list("x509", leaf.der))
        assert refused == "the certificate of Leaf is revoked"
    assert refuses(signature, root, dbx=signature_list("x509", root.der)) == "the certificate of Root is revoked"
    body = hashlib.sha256(leaf.certificate.tbs_certificate_bytes).digest() + bytes(16)
    assert "the certificate of Leaf is revoked" in refuses(signature, root, dbx=signature_list("x509_sha256", body))
    good = cms(FILE, By(identity("Good", key("p256", 2), root)))
    either = {".p7s": good, ".sig": signature}
    assert "is revoked" in refuses(either, root, dbx=signature_list("x509", leaf.der))
    digest = signature_list("sha256", hashlib.sha256(FILE).digest())
    assert refuses(good, root, dbx=digest).startswith("its SHA-256 is revoked")


@pytest.mark.parametrize(("digest", "name"), [("sha1", "SHA-1"), ("md5", "MD5")])
@pytest.mark.parametrize("attributes", [True, False])
def test_a_downgraded_hash_function(digest: str, name: str, attributes: bool, root: Identity, leaf: Identity) -> None:
    """No library makes such a signature with these keys, so it is only claimed."""
    signature = cms(FILE, By(leaf, digest, attributes, signature=b""))
    assert refuses(signature, root) == f"its .p7s: hash function is too weak or unknown (found={name})"


def test_a_signature_of_another_file_and_a_second_one(root: Identity, leaf: Identity, stranger: Identity) -> None:
    other, good = cms(b"another file", By(leaf)), cms(FILE, By(leaf))
    assert refuses(other, root) == "its .p7s: the file is not what was signed"
    assert accepts({".p7s": good, ".p7": good}, root) == "signed by Leaf, under Root (SHA-256)"
    assert refuses(good + good, root).startswith("its .p7s: DER: signature holds more than it may")
    foreign = cms(FILE, By(stranger))
    assert refuses({".p7s": foreign, ".sig": other}, root) == (
        "its .p7s: no anchor of the policy has issued it (signer=Stranger, issuer=Stranger); "
        "its .sig: the file is not what was signed"
    )
    unreadable = b"\x99 an OpenPGP signature"
    accepts({".sig": unreadable, ".p7s": good}, root)
    assert refuses({".sig": unreadable}, root).startswith("its .sig: DER element is longer than")


def test_several_signers(root: Identity, leaf: Identity, stranger: Identity) -> None:
    second = identity("Second", key("rsa2048"), root)
    both = cms(FILE, By(stranger), By(leaf), By(second, "sha512"))
    assert accepts(both, root) == "signed by Leaf, under Root (SHA-256)"
    told = judge(both, root, threshold=2)
    assert told.reason == "signed by Leaf, under Root (SHA-256); signed by Second, under Root (SHA-512)"
    assert refuses(cms(FILE, By(stranger), By(stranger)), root).count("no anchor of the policy") == 2
    twice = judge({".p7s": cms(FILE, By(leaf), By(leaf)), ".sig": cms(FILE, By(leaf, "sha384"))}, root, threshold=2)
    assert twice.reason.startswith("1 of 2 approvals: signed by Leaf, under Root (SHA-256)")


def test_one_key_is_one_signer_by_whatever_kind(root: Identity, leaf: Identity) -> None:
    kernel = signed_pe(small_pe(), Signing(leaf))
    second = identity("Second", key("p256", 2), root)
    rules = policy([root], kernel={"require": ["authenticode", "cms"], "threshold": 2})

    def told(by: Identity) -> Verdict:
        beside = {".p7s": cms(kernel, By(by))}
        return judge_piece(
            Piece(Role.KERNEL, "file", kernel, hashlib.sha256(kernel).digest(), hashlib.sha256, beside), rules
        )

    assert told(second).rule == "authenticode and cms"
    assert not told(leaf).accepted
    assert told(leaf).reason.startswith("1 of 2 approvals")


def test_signed_attributes_must_belong(root: Identity, leaf: Identity) -> None:
    wrong = {
        "the file is not what was signed": By(leaf, message_digest=bytes(32)),
        "signed attributes name another content type": By(leaf, attribute_content_type="1.2.3"),
        "signed attribute is not there exactly once": By(
            leaf, extra_attributes=[attribute("1.2.840.113549.1.9.4", der(0x04, hashlib.sha256(FILE).digest()))]
        ),
    }
    for reason, by in wrong.items():
        assert reason in refuses(cms(FILE, by), root)
    assert "does not list the signer's hash" in refuses(cms(FILE, By(leaf), listed_digests=["sha512"]), root)


def test_a_signature_with_content_or_over_something_else(root: Identity, leaf: Identity) -> None:
    assert "is not detached" in refuses(cms(FILE, By(leaf), embedded=FILE), root)
    assert "is not detached" in refuses(cms(b"other", By(leaf), embedded=b"other"), root)
    assert "not one over plain data" in refuses(cms(FILE, By(leaf), content_type="1.2.840.113549.1.9.16.1.4"), root)
    assert "not one over plain data" in refuses(signed_data(small_pe(), Signing(leaf)), root)
    assert "carry the image digest" in _authenticode_of_detached(leaf)


def _authenticode_of_detached(leaf: Identity) -> str:
    from shim.errors import FormatError
    from shim.formats.authenticode import SPC_INDIRECT_DATA, parse_signature

    with pytest.raises(FormatError) as caught:
        parse_signature(cms(FILE, By(leaf), content_type=SPC_INDIRECT_DATA))
    return str(caught.value)


def test_signed_attributes_are_no_file(root: Identity, leaf: Identity) -> None:
    """A signature over attributes, with these taken away, is one over the file that their encoding makes."""
    signature = cms(FILE, By(leaf))
    attributes = parse_signed_data(signature).signers[0].signed
    assert attributes is not None
    moved = parse_signed_data(signature).signers[0].signature
    forged = cms(attributes, By(leaf, attributes=False, signature=moved))
    assert refuses(forged, root, data=attributes) == (
        "its .p7s: the file could be the signed attributes of another signature"
    )
    accepts(cms(b"1 is no SET", By(leaf, attributes=False)), root, data=b"1 is no SET")


def test_signers_named_by_key(root: Identity, leaf: Identity) -> None:
    assert "the signer's certificate is neither carried nor an anchor (serial=0102)" in refuses(
        cms(FILE, By(leaf, key_id=b"\1\2")), root
    )
    assert "unknown version" in refuses(cms(FILE, By(leaf, version=2)), root)
    assert "another tag" in refuses(cms(FILE, By(leaf, version=3)), root)


def test_text(root: Identity, leaf: Identity, stranger: Identity, tmp_path: Path) -> None:
    good = openssl_cms(tmp_path, FILE, leaf, form="PEM")
    accepts(good, root)
    accepts(good.replace(b" CMS-", b" PKCS7-"), root)
    accepts(b"a note\n" + good, root)
    foreign = openssl_cms(tmp_path, FILE, stranger, form="PEM")
    accepts(foreign + good, root)
    assert refuses(root.pem, root) == "its .p7s: PEM has no signature (expected=CMS PKCS7)"
    accepts(foreign * 15 + good, root)
    assert refuses(good * 17, root) == "too many signatures lie beside it (expected=16)"
    assert "too many signatures lie beside it" in refuses({".p7s": good * 8, ".p7": good * 8, ".sig": good}, root)
    assert "PEM block has no end" in refuses(good[:-20], root)
    assert "not base64" in refuses(good.replace(b"\nM", b"\n?", 1), root)
    assert "its .p7s, signature 2: no anchor" in refuses(foreign * 2, root)


def test_hostile_signatures_end_in_a_verdict(root: Identity, leaf: Identity) -> None:
    for by in (By(leaf), By(leaf, attributes=False)):
        signature = cms(FILE, by)
        for cut in cuts(signature):
            with bounded():
                assert not judge(cut, root).accepted
        for at in range(len(signature)):
            for value in {0x00, 0x80, 0x84, 0xFF, signature[at] ^ 1, signature[at] + 1 & 0xFF}:
                survives(parse_signed_data, signature[:at] + bytes([value]) + signature[at + 1 :], hex(at))
            with bounded():
                lie = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
                assert judge(lie, root).signer in (None, "Leaf")


def test_the_price_of_hostile_signatures(root: Identity, leaf: Identity) -> None:
    big = bytes(8 << 20)
    slow = cms(big, *[By(identity("Slow", key("p384", 1), identity("Root", key("p384"), ca=True)), "sha512")] * 8)
    with bounded(seconds=3.0):
        assert not judge(dict.fromkeys(SUFFIXES, slow), root, data=big).accepted
    with bounded(seconds=1.0):
        assert "too long" in refuses(bytes(SIGNATURE_SIZE_MAX + 1), root)
        text = b"-----BEGIN CMS-----\n" + b"AAAA" * (SIGNATURE_SIZE_MAX // 4 - 100) + b"\n-----END CMS-----\n"
        assert "its .p7s: DER" in refuses(text, root)


def test_the_command_reads_what_lies_beside_a_file(
    root: Identity, leaf: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "my.toml").write_text('[policy]\nanchors = ["root.pem"]\n[policy.initrd]\nrequire = ["cms"]\n')
    (tmp_path / "initrd").write_bytes(FILE)
    words = ["verify", str(tmp_path / "initrd"), "--policy", str(tmp_path / "my.toml"), "--role", "initrd"]
    assert main(words) == 1
    assert "no signature lies beside it (.p7s, .p7, .sig)" in capsys.readouterr().out
    (tmp_path / "initrd.p7s").write_bytes(openssl_cms(tmp_path, FILE, leaf))
    assert main(words) == 0
    assert "trusted as initrd: signed by Leaf, under Root (SHA-256)" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["rsa2048", "rsa4096", "p256", "p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_what_openssl_signs(kind: str, digest: str, root: Identity, stranger: Identity, tmp_path: Path) -> None:
    signer = identity("Signer", key(kind, 1), root, extended=[CODE_SIGNING])
    for form in ("DER", "PEM"):
        for more in ([], ["-noattr"], ["-nosmimecap"]):
            made = openssl_cms(tmp_path, FILE, signer, form=form, more=["-md", digest, *more])
            assert accepts(made, root) == f"signed by Signer, under Root (SHA-{digest[3:]})"
            assert openssl_accepts(tmp_path, FILE, made, root, form)
            for data, anchor in ((FILE + b"!", root), (FILE, stranger)):
                assert not judge(made, anchor, data=data).accepted
                assert not openssl_accepts(tmp_path, data, made, anchor, form)


@pytest.mark.parametrize("attributes", [True, False])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_signatures_made_in_these_tests_are_real(kind: str, attributes: bool, root: Identity, tmp_path: Path) -> None:
    signer = identity("Signer", key(kind, 1), root)
    for digest in ("sha256", "sha384", "sha512"):
        made = cms(FILE, By(signer, digest, attributes))
        assert accepts(made, root)
        assert openssl_accepts(tmp_path, FILE, made, root)


def test_openssl_with_a_weak_hash_function_content_or_no_certificate(
    root: Identity, leaf: Identity, tmp_path: Path
) -> None:
    rsa_leaf = identity("RSA", key("rsa2048"), root)
    weak = openssl_cms(tmp_path, FILE, rsa_leaf, more=["-md", "sha1"])
    assert refuses(weak, root) == "its .p7s: hash function is too weak or unknown (found=SHA-1)"
    assert "not detached" in refuses(openssl_cms(tmp_path, FILE, leaf, more=["-nodetach"]), root)
    bare = openssl_cms(tmp_path, FILE, leaf, more=["-nocerts"])
    assert "the signer's certificate is neither carried nor an anchor" in refuses(bare, root)
    assert accepts(bare, leaf) == "signed by Leaf, which is an anchor itself (SHA-256)"
    both = openssl_cms(tmp_path, FILE, leaf, rsa_leaf)
    assert judge(both, root, threshold=2).accepted
    pss = openssl_cms(tmp_path, FILE, rsa_leaf, more=["-keyopt", "rsa_padding_mode:pss"])
    assert refuses(pss, root).startswith("its .p7s: signature algorithm is too weak or unknown (found=RSASSA-PSS")


def test_openssl_names_a_signer_by_its_key(tmp_path: Path) -> None:
    authority = make_ca(tmp_path, "Authority")
    signer = make_leaf(tmp_path, "Signer", authority, "p256")
    certificates = [x509.load_der_x509_certificate(one.der.read_bytes()) for one in (authority, signer)]
    private = load_pem_private_key(signer.key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    anchor, leaf = (Identity(private, one) for one in certificates)
    made = openssl_cms(tmp_path, FILE, leaf, more=["-keyid"])
    assert parse_signed_data(made).signers[0].key_id is not None
    assert accepts(made, anchor) == "signed by Signer, under Authority (SHA-256)"
    assert openssl_accepts(tmp_path, FILE, made, anchor)
