"""OS packages: who is believed. Certificates and signatures by openssl, archives by zip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.errors import ConfigError, VerifyError
from shim.formats.x509 import parse_certificate
from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.keys import Ed25519Checker, SignatureChecker
from shim.verify.kinds import KINDS
from shim.verify.ospkg import SUFFIXES
from shim.verify.piece import Piece
from shim.verify.policy_file import parse_policy
from tests.builders.detached import make_signer
from tests.builders.ospkg import (
    P256,
    RSA,
    PackageSigner,
    descriptor,
    descriptor_of,
    make_package,
    make_package_signer,
    make_root,
    openssl,
)
from tests.builders.signing import signature_list

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("ospkg")]
KERNEL, INITRAMFS = b"kernel " * 500, b"070701 initramfs" * 90


class Shop(NamedTuple):
    """A package, a root, three signers under it and a stranger under another root."""

    folder: Path
    archive: bytes
    root: PackageSigner
    signers: tuple[PackageSigner, ...]
    other_root: PackageSigner
    stranger: PackageSigner


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("ospkg")
    root, other = make_root(folder, "root"), make_root(folder, "other")
    signers = tuple(make_package_signer(folder, f"signer{number}", root) for number in range(3))
    archive = make_package(folder / "package", KERNEL, INITRAMFS)
    return Shop(folder, archive, root, signers, other, make_package_signer(folder, "stranger", other))


def judge(
    archive: bytes, beside: bytes | None, roots: Sequence[bytes], threshold: int = 1, dbx: bytes = b"", **more: object
) -> Verdict:
    files = {**{f"root{number}": data for number, data in enumerate(roots)}, "dbx": dbx}
    rules = parse_policy({
        "keys": {"ospkg": [name for name in files if name != "dbx"]}, "dbx": ["dbx"] if dbx else [],
        "ospkg": {"require": ["ospkg"], "threshold": threshold, **more},
    }, files.__getitem__)  # fmt: skip
    digest = hashlib.sha256(archive).digest()
    found = {} if beside is None else {SUFFIXES[0]: beside}
    return judge_piece(Piece(Role.OSPKG, "vda:/ospkg/a.zip", archive, digest, hashlib.sha256, found), rules)


def reason(verdict: Verdict, *, accepted: bool = False) -> str:
    assert verdict.accepted is accepted, verdict.reason
    return verdict.reason


def test_a_signed_package_says_by_whom(shop: Shop) -> None:
    verdict = judge(shop.archive, descriptor(shop.archive, shop.signers[0]), [shop.root.pem])
    assert "signed by (no name), key " in reason(verdict, accepted=True)
    assert "under root (Ed25519)" in verdict.reason
    assert (verdict.rule, verdict.covered) == ("ospkg", "all bytes")


def test_roots_may_be_der_or_several_pem(shop: Shop) -> None:
    beside = descriptor(shop.archive, shop.signers[0])
    for roots in ([shop.root.der], [shop.other_root.pem + shop.root.pem], [shop.other_root.der, shop.root.pem]):
        reason(judge(shop.archive, beside, roots), accepted=True)


def test_two_of_three_are_needed_and_are_enough(shop: Shop) -> None:
    one, two, three = shop.signers
    for signers, accepted in (((one, two), True), ((one, two, three), True), ((three,), False), ((), False),
                              ((one, shop.stranger, two), True), ((shop.stranger, two), False)):
        verdict = judge(shop.archive, descriptor(shop.archive, *signers), [shop.root.pem], 2)
        said = reason(verdict, accepted=accepted)
        if accepted:
            assert said.count("signed by") == 2
            assert len(set((verdict.signer or "").split(", key "))) == 3
        elif signers:
            assert "1 of 2 approvals" in said
            assert ("no anchor of the policy has issued it" in said) == (shop.stranger in signers)


def test_a_signature_counts_once(shop: Shop) -> None:
    signer = shop.signers[0]
    beside = descriptor(shop.archive, signer, signer)
    assert "1 of 2 approvals" in reason(judge(shop.archive, beside, [shop.root.pem], 2))


def test_a_key_with_two_certificates_counts_once(shop: Shop) -> None:
    """stboot tells certificates apart, not keys: two certificates for one key would count twice there."""
    signer, request = shop.signers[0], shop.folder / "again.csr"
    openssl("req", "-new", "-key", str(signer.key), "-subj", "/CN=again", "-out", str(request))
    again = openssl("x509", "-req", "-in", str(request), "-CA", str(shop.root.certificate), "-CAkey",
                    str(shop.root.key), "-days", "9", "-set_serial", "77")
    signature = signer.sign(shop.archive)
    twice = descriptor_of([(signer.pem, signature), (again, signature)])
    reason(judge(shop.archive, twice, [shop.root.pem]), accepted=True)
    assert "1 of 2 approvals" in reason(judge(shop.archive, twice, [shop.root.pem], 2))


def test_the_wrong_root_takes_nothing(shop: Shop) -> None:
    beside = descriptor(shop.archive, *shop.signers)
    said = reason(judge(shop.archive, beside, [shop.other_root.pem]))
    roots = (shop.root, shop.other_root)
    assert [signer.is_under(root) for signer in shop.signers for root in roots] == [True, False] * 3
    assert said.count("no anchor of the policy has issued it") == 3


def test_a_root_of_the_same_name_takes_nothing(shop: Shop) -> None:
    """Without names, only the signature of the certificate tells one root from another."""
    nameless = make_root(shop.folder / "nameless", "root")
    assert not shop.signers[0].is_under(nameless)
    beside = descriptor(shop.archive, shop.signers[0])
    assert "does not fit" in reason(judge(shop.archive, beside, [nameless.pem]))


def test_the_descriptor_of_another_archive_is_refused(shop: Shop) -> None:
    other = make_package(shop.folder / "second", KERNEL + b"!", INITRAMFS)
    beside = descriptor(other, *shop.signers)
    reason(judge(other, beside, [shop.root.pem], 3), accepted=True)
    assert reason(judge(shop.archive, beside, [shop.root.pem])).count("the Ed25519 signature does not fit") == 3


def test_one_changed_byte_is_refused_as_openssl_refuses_it(shop: Shop) -> None:
    signer = shop.signers[0]
    signature = signer.sign(shop.archive)
    for at in range(0, len(shop.archive), 97):
        changed = shop.archive[:at] + bytes([shop.archive[at] ^ 1]) + shop.archive[at + 1 :]
        reason(judge(changed, descriptor_of([(signer.pem, signature)]), [shop.root.pem]))
    assert signer.verifies(shop.archive, signature)
    assert not signer.verifies(shop.archive + b"x", signature)


def test_one_changed_bit_of_a_signature_is_refused(shop: Shop) -> None:
    signer = shop.signers[0]
    good = signer.sign(shop.archive)
    for bit in range(0, 512, 7):
        signature = bytearray(good)
        signature[bit // 8] ^= 1 << bit % 8
        reason(judge(shop.archive, descriptor_of([(signer.pem, bytes(signature))]), [shop.root.pem]))


def test_without_a_descriptor_or_signatures_it_is_refused(shop: Shop) -> None:
    assert "no descriptor lies beside it" in reason(judge(shop.archive, None, [shop.root.pem]))
    assert "no signature" in reason(judge(shop.archive, descriptor_of([]), [shop.root.pem]))
    assert "unknown version" in reason(judge(shop.archive, descriptor_of([], version=2), [shop.root.pem]))


def test_a_signature_of_the_archive_itself_or_in_another_form_is_refused(shop: Shop) -> None:
    """What is signed is the digest; and a proof by Sigsum, which newer stmgr can put there, is not one."""
    signer, whole = shop.signers[0], shop.folder / "whole"
    whole.write_bytes(shop.archive)
    direct = openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(signer.key), "-in", str(whole))
    for wrong in (direct, b"version=2\nlog=00\n", b"", signer.sign(shop.archive) + b"\0"):
        reason(judge(shop.archive, descriptor_of([(signer.pem, wrong)]), [shop.root.pem]))


def test_a_bad_pair_does_not_spoil_the_others(shop: Shop) -> None:
    signer = shop.signers[0]
    good = (signer.pem, signer.sign(shop.archive))
    junk = (b"no certificate", b"x" * 64)
    reason(judge(shop.archive, descriptor_of([junk, good]), [shop.root.pem]), accepted=True)
    reason(judge(shop.archive, descriptor_of([(signer.pem, b"x" * 64), good]), [shop.root.pem]), accepted=True)


@pytest.mark.parametrize(("kind", "name"), [(RSA, "RSA-2048"), (P256, "ECDSA P-256")])
def test_leaves_of_other_kinds_are_refused_as_stboot_refuses_them(shop: Shop, kind: Sequence[str], name: str) -> None:
    leaf = make_package_signer(shop.folder / name, "leaf", shop.root, kind)
    signature = openssl("dgst", "-sha256", "-sign", str(leaf.key), str(shop.folder / "package/made.zip"))
    said = reason(judge(shop.archive, descriptor_of([(leaf.pem, signature)]), [shop.root.pem]))
    assert f"signed by Ed25519 keys only (found={name})" in said


@pytest.mark.parametrize("kind", [RSA, P256], ids=["rsa", "p256"])
def test_roots_of_other_kinds_may_issue(shop: Shop, kind: Sequence[str]) -> None:
    root = make_root(shop.folder / kind[1], "root", kind)
    leaf = make_package_signer(shop.folder / kind[1], "leaf", root)
    reason(judge(shop.archive, descriptor(shop.archive, leaf), [root.pem]), accepted=True)


@pytest.mark.parametrize(("kind", "more", "why"), [
    (("-newkey", "rsa:1024"), (), "too short"), (RSA, ("-sha1",), "SHA-1 with RSA"), (RSA, ("-md5",), "MD5 with RSA"),
    (P256, ("-sha1",), "SHA-1 with ECDSA"),
])  # fmt: skip
def test_weak_roots_and_weak_hashes_are_refused(
    shop: Shop, tmp_path: Path, kind: Sequence[str], more: Sequence[str], why: str
) -> None:
    root = make_root(tmp_path, "root", kind)
    leaf = make_package_signer(tmp_path, "leaf", root, more=more)
    assert why in reason(judge(shop.archive, descriptor(shop.archive, leaf), [root.pem]))


def test_a_root_may_sign_itself_and_an_intermediate_may_not_help(shop: Shop) -> None:
    assert "a root itself" in reason(
        judge(shop.archive, descriptor(shop.archive, shop.root), [shop.root.pem]), accepted=True)
    middle = make_package_signer(shop.folder, "middle", shop.root, subject="/CN=middle", extensions=(
        "basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign"))
    leaf = make_package_signer(shop.folder, "below", middle)
    beside = descriptor_of([(leaf.pem, leaf.sign(shop.archive)), (middle.pem, b"x" * 64)])
    assert "no anchor of the policy has issued it" in reason(judge(shop.archive, beside, [shop.root.pem]))
    both = descriptor_of([(leaf.pem + middle.pem, leaf.sign(shop.archive))])
    assert "several certificates" in reason(judge(shop.archive, both, [shop.root.pem]))


@pytest.mark.parametrize(("extensions", "why"), [
    (("keyUsage=critical,keyEncipherment",), "key usage does not include signatures"),
    (("extendedKeyUsage=serverAuth",), "extended key usage does not include programs"),
    (("nameConstraints=critical,permitted;DNS:x",), "critical extension that is not understood"),
])
def test_a_certificate_for_something_else_is_refused(
    shop: Shop, tmp_path: Path, extensions: Sequence[str], why: str
) -> None:
    leaf = make_package_signer(tmp_path, "leaf", shop.root, extensions=extensions)
    assert why in reason(judge(shop.archive, descriptor(shop.archive, leaf), [shop.root.pem]))


def test_a_leaf_issues_nothing(shop: Shop, tmp_path: Path) -> None:
    leaf = make_package_signer(tmp_path, "leaf", shop.signers[0])
    beside = descriptor(shop.archive, leaf)
    assert "no certificate authority" in reason(judge(shop.archive, beside, [shop.signers[0].pem]))


def test_time_ends_no_signature_as_everywhere_in_the_policy(shop: Shop, tmp_path: Path) -> None:
    """stboot looks at validity dates, by a clock that nobody vouches for. What must end is revoked."""
    (tmp_path / "index.txt").write_text("")
    config, request = tmp_path / "ca.cnf", tmp_path / "late.csr"
    config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index.txt\nnew_certs_dir={tmp_path}\nrand_serial=yes\n"
                      "policy=p\ndefault_md=default\n[p]\ncommonName=optional\n")
    leaf = PackageSigner(tmp_path / "late.key", tmp_path / "late.pem")
    openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", str(leaf.key), "-subj", "/CN=late",
            "-out", str(request))
    openssl("ca", "-batch", "-notext", "-config", str(config), "-in", str(request), "-out", str(leaf.certificate),
            "-keyfile", str(shop.root.key), "-cert", str(shop.root.certificate), "-startdate", "20100101000000Z",
            "-enddate", "20110101000000Z")
    reason(judge(shop.archive, descriptor(shop.archive, leaf), [shop.root.pem]), accepted=True)


def test_revoked_certificates_refuse(shop: Shop) -> None:
    one, two, _ = shop.signers
    beside = descriptor(shop.archive, one, two)
    bodies = {signer: hashlib.sha256(tbs_of(signer)).digest() + bytes(16) for signer in (one, shop.root)}
    for dbx in (signature_list("x509", one.der), signature_list("x509", shop.root.der),
                *(signature_list("x509_sha256", body) for body in bodies.values())):
        assert "is revoked" in reason(judge(shop.archive, beside, [shop.root.pem], dbx=dbx))
    assert reason(judge(shop.archive, beside, [shop.root.pem], dbx=signature_list("x509", shop.stranger.der)),
                  accepted=True)
    digest = signature_list("sha256", hashlib.sha256(shop.archive).digest())
    assert "its SHA-256 is revoked" in reason(judge(shop.archive, beside, [shop.root.pem], dbx=digest))


def tbs_of(signer: PackageSigner) -> bytes:
    from cryptography import x509

    return x509.load_pem_x509_certificate(signer.pem).tbs_certificate_bytes


def test_ed25519_is_no_way_into_authenticode(shop: Shop) -> None:
    """A chain for PE files or CMS takes no Ed25519: UEFI does not, either."""
    leaf = parse_certificate(shop.signers[0].der)
    root = parse_certificate(shop.root.der)
    assert Ed25519Checker(hashlib.sha256).is_issued_by(leaf, root)
    assert not SignatureChecker(hashlib.sha256).is_issued_by(leaf, root)
    with pytest.raises(VerifyError, match="too weak or unknown"):
        SignatureChecker(hashlib.sha256).check(root.spki, leaf.signature_algorithm, leaf.tbs, leaf.signature)


def test_many_signatures_have_a_bound(shop: Shop) -> None:
    pairs = [(signer.pem, bytes(64)) for signer in shop.signers] * 6
    assert "too many signatures" in reason(judge(shop.archive, descriptor_of(pairs), [shop.root.pem]))
    reason(judge(shop.archive, descriptor_of(pairs[:16]), [shop.root.pem]))


def test_many_signers_and_revocations_without_names_fit_into_the_bound(shop: Shop, tmp_path: Path) -> None:
    """Of certificates without names each could be above each; still nobody is refused for the work that this is."""
    root = make_root(tmp_path, "nameless", subject="/")
    signers = [make_package_signer(tmp_path, f"signer{number}", root) for number in range(19)]
    dbx = b"".join(signature_list("x509", one.der) for one in signers[16:])
    beside = descriptor(shop.archive, *signers[:16])
    said = reason(judge(shop.archive, beside, [root.pem], 16, dbx), accepted=True)
    assert said.count("signed by (no name)") == 16
    swapped = descriptor(shop.archive, *signers[:15], signers[18])
    assert "is revoked" in reason(judge(shop.archive, swapped, [root.pem], 15, dbx))


def test_other_kinds_judge_the_archive(shop: Shop, tmp_path: Path) -> None:
    signer = make_signer(tmp_path, "minisign")
    digest = hashlib.sha256(shop.archive).digest()
    rules = parse_policy({
        "keys": {"minisign": ["key"], "ospkg": ["root"]},
        "ospkg": {"require": ["ospkg", "minisign", "sha256"], "threshold": 3, "sha256": [digest.hex()]},
    }, {"key": signer.public, "root": shop.root.pem}.__getitem__)  # fmt: skip
    beside = {SUFFIXES[0]: descriptor(shop.archive, shop.signers[0]), ".minisig": signer.sign(shop.archive)}
    verdict = judge_piece(Piece(Role.OSPKG, "a", shop.archive, digest, hashlib.sha256, beside), rules)
    assert "ospkg and minisign and sha256" in (reason(verdict, accepted=True) and verdict.rule)


def test_every_kind_for_files_judges_archives() -> None:
    assert [name for name, kind in KINDS.items() if Role.OSPKG in kind.ROLES] == [
        "cms", "sha256", "manifest", "minisign", "openpgp", "ospkg", "ssh", "unsigned"]


@pytest.mark.parametrize(("table", "why"), [
    ({"ospkg": {"require": ["ospkg"]}}, "ospkg needs policy.keys.ospkg"),
    ({"kernel": {"require": ["ospkg"]}}, "not a kind for this role"),
    ({"ospkg": {"require": ["authenticode"]}}, "not a kind for this role"),
    ({"keys": {"ospkg": ["junk"]}, "ospkg": {"require": ["ospkg"]}}, "not a usable key"),
    ({"keys": {"ospkg": ["root"]}, "ospkg": {"require": ["ospkg"], "ospkg": ["00"]}}, "roots stand in"),
    ({"ospkg": {"require": ["unsigned"], "minimum_version": "1"}}, "unknown key"),
])  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(shop: Shop, table: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_policy(table, {"root": shop.root.pem, "junk": b"junk"}.__getitem__)
