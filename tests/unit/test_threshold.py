"""A threshold counts signers: a key is one of them, by whatever kinds it speaks.

WITNESS: ssh-keygen makes signatures with the keys that signed otherwise.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.manifest import read_manifest
from shim.verify.piece import NO_PROOF, Piece, Proof
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from tests.builders.cms import By, cms
from tests.builders.detached import Signer, make_signer
from tests.builders.openpgp import DAY, THEN, Maker, packet
from tests.builders.signing import identity, key
from tests.unit.test_manifest import KERNEL, manifest

pytestmark = pytest.mark.tools
MAY_SIGN = (27, b"\x02")


Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def ssh_signer(folder: Path, private: Private) -> Signer:
    """Let ssh-keygen have a key that signs elsewhere, too."""
    folder.mkdir(exist_ok=True)
    encoded = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                    serialization.NoEncryption())
    (folder / "secret").write_bytes(encoded)
    (folder / "secret").chmod(0o600)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (folder / "secret.pub").write_bytes(public + b"\n")
    return Signer("ssh ed25519", folder, b"me@example.org " + public + b"\n")


def judge(policy: Policy, data: bytes, beside: dict[str, bytes], proof: Proof = NO_PROOF) -> Verdict:
    digest = hashlib.sha256(data).digest()
    return judge_piece(Piece(Role.KERNEL, "vda1:/vmlinuz", data, digest, hashlib.sha256, beside, proof), policy)


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_one_key_for_a_certificate_and_for_ssh(kind: str, tmp_path: Path) -> None:
    root, private, other = identity("Root", key("p256"), ca=True), key(kind, 1), key(kind, 2)
    leaf = identity("Leaf", private, root)
    for signer, accepted in ((private, False), (other, True)):
        ssh = ssh_signer(tmp_path, signer)
        policy = parse_policy(
            {"anchors": ["root"], "keys": {"ssh": ["ssh"]}, "kernel": {"require": ["cms", "ssh"], "threshold": 2}},
            {"root": root.der, "ssh": ssh.public}.__getitem__)
        verdict = judge(policy, KERNEL, {".p7s": cms(KERNEL, By(leaf)), ".sig": ssh.sign(KERNEL)})
        assert verdict.accepted == accepted, verdict.reason
        assert accepted or verdict.reason.startswith("1 of 2 approvals: signed by Leaf")


@pytest.mark.parametrize("version", [4, 6])
def test_one_key_for_openpgp_and_for_ssh(version: int, tmp_path: Path) -> None:
    maker = Maker(version)
    ring = packet(6, maker.body) + packet(2, maker.sign(0x1F, maker.hashed, MAY_SIGN))
    signature = packet(2, maker.sign(0, KERNEL, created=THEN + DAY))
    for private, accepted in ((maker.private, False), (ed25519.Ed25519PrivateKey.generate(), True)):
        ssh = ssh_signer(tmp_path, private)
        policy = parse_policy({"keys": {"ssh": ["ssh"], "openpgp": ["ring"]},
                               "kernel": {"require": ["openpgp", "ssh"], "threshold": 2}},
                              {"ring": ring, "ssh": ssh.public}.__getitem__)
        verdict = judge(policy, KERNEL, {".gpg": signature, ".sig": ssh.sign(KERNEL)})
        assert verdict.accepted == accepted, verdict.reason


def test_who_signed_the_manifest_does_not_count_again_for_a_file_in_it(tmp_path: Path) -> None:
    one, two, three = (make_signer(tmp_path / name, "minisign") for name in ("one", "two", "three"))
    files = {"1": one.public, "2": two.public, "3": three.public}

    def judged(threshold: int, by: list[Signer], listed_by: list[Signer]) -> Verdict:
        table = {
            "keys": {"minisign": list(files)},
            "manifest": {"require": ["minisign"], "path": "/m", "threshold": len(listed_by)},
            "kernel": {"require": ["manifest", "minisign"], "threshold": threshold},
        }
        policy = parse_policy(table, files.__getitem__)
        text, suffixes = manifest(), (".minisig", ".sig")
        piece = Piece(Role.MANIFEST, "vda1:/m", text, hashlib.sha256(text).digest(), hashlib.sha256,
                      {suffix: signer.sign(text) for suffix, signer in zip(suffixes, listed_by, strict=False)})
        proof = read_manifest(piece, judge_piece(piece, policy), policy)
        assert proof.manifest is not None
        beside = {suffix: signer.sign(KERNEL) for suffix, signer in zip(suffixes, by, strict=False)}
        return judge(policy, KERNEL, beside, proof)

    assert judged(2, [one], [two]).accepted
    same = judged(2, [one], [one])
    assert not same.accepted
    assert same.reason.startswith("1 of 2 approvals: it stands in the manifest, version 7, minisign key ")
    assert judged(2, [one, two], [one]).accepted
    assert not judged(3, [one, two], [one]).accepted
    assert not judged(3, [one, two], [one, two]).accepted  # two people, however often they sign
    assert judged(3, [one, two], [three]).accepted


def test_what_is_wrong_with_the_others_is_told(tmp_path: Path) -> None:
    """One signer of two is not enough: the sentence says why the second does not count."""
    one, two = (make_signer(tmp_path / name, "minisign") for name in ("one", "two"))
    root = identity("Root", key("p256"), ca=True)
    leaf, stranger = identity("Leaf", key("p256", 1), root), identity("Stranger", key("p256", 9), ca=True)
    table = {"anchors": ["root"], "keys": {"minisign": ["1", "2"]},
             "kernel": {"require": ["minisign", "cms"], "threshold": 2}}
    policy = parse_policy(table, {"root": root.der, "1": one.public, "2": two.public}.__getitem__)
    reason = judge(policy, KERNEL, {".minisig": one.sign(KERNEL), ".sig": two.sign(b"another")}).reason
    assert reason.startswith("1 of 2 approvals: signed by the minisign key ")
    assert "; .sig: the Ed25519 signature does not fit; its .sig: DER" in reason
    reason = judge(policy, KERNEL, {".p7s": cms(KERNEL, By(leaf), By(stranger))}).reason
    assert reason == (
        "1 of 2 approvals: signed by Leaf, under Root (SHA-256); no signature of minisign beside it; its .p7s, "
        "signer 2: no anchor of the policy has issued it (signer=Stranger, issuer=Stranger)")
    twice = {".minisig": one.sign(KERNEL), ".sig": one.sign(KERNEL)}
    assert "has approved already" in judge(policy, KERNEL, twice).reason
    assert judge(policy, KERNEL, {".minisig": one.sign(KERNEL), ".p7s": cms(KERNEL, By(stranger), By(leaf))}).accepted
