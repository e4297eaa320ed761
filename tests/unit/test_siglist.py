"""Signature databases: every kind of entry read, every lie refused, and what is revoked stays revoked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from virt.firmware.varstore import edk2

from shim.errors import ConfigError, FormatError
from shim.formats.siglist import AUTHENTICATION_2, SIGNATURE_LIST, parse_signature_database
from shim.formats.x509 import parse_certificate
from shim.model import Role
from tests.builders.debian import package
from tests.builders.signing import (
    Identity,
    Signing,
    identity,
    image_digest,
    key,
    signature_list,
    signed_pe,
    small_pe,
    variable_update,
)
from tests.unit.hostile import cuts, mutations, refuses, survives, with_memory
from tests.unit.judging import judge, policy

SHA = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
NO_TIME = bytes(16)
LONG_AGO = bytes.fromhex("d007010100000000" "0000000000000000")  # EFI_TIME: 2000-01-01
UNSIGNED = {"require": ["unsigned"]}


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


@pytest.fixture(scope="module")
def middle(root: Identity) -> Identity:
    return identity("Middle", key("p256", 1), root, ca=True)


@pytest.fixture(scope="module")
def leaf(middle: Identity) -> Identity:
    return identity("Leaf", key("p256", 2), middle)


@pytest.fixture(scope="module")
def signed(leaf: Identity, middle: Identity) -> bytes:
    return signed_pe(small_pe(), Signing(leaf, [middle]))


def refusal(data: bytes, root: Identity, dbx: bytes, **roles: dict[str, object]) -> str:
    verdict = judge(data, policy([root], dbx=[dbx], **roles))
    assert not verdict.accepted
    return verdict.reason


@pytest.mark.parametrize("kind", SHA)
def test_a_revoked_image_is_refused_whatever_speaks_for_it(kind: str, signed: bytes, root: Identity) -> None:
    dbx = signature_list(kind, image_digest(small_pe(), kind), bytes(len(image_digest(small_pe(), kind))))
    assert "image digest is revoked" in refusal(signed, root, dbx)
    assert "image digest is revoked" in refusal(signed, root, dbx, kernel=UNSIGNED)
    pinned = {"require": ["sha256"], "sha256": [hashlib.sha256(signed).hexdigest()]}
    assert "image digest is revoked" in refusal(signed, root, dbx, kernel=pinned)
    assert "image digest is revoked" in refusal(small_pe(), root, dbx, kernel=UNSIGNED)
    assert judge(small_pe(tail=bytes(8)), policy([root], dbx=[dbx], kernel=UNSIGNED)).accepted


def test_an_image_revoked_by_a_padded_digest_is_refused(root: Identity) -> None:
    """Tools that list the digest of an unsigned file count the zeros that a signature would put behind it."""
    file = small_pe(tail=b"odd")
    dbx = signature_list("sha256", image_digest(file + bytes(5), "sha256"))
    assert "image digest is revoked" in refusal(file, root, dbx, kernel=UNSIGNED)
    dbx = signature_list("sha256", image_digest(file, "sha256"))
    assert "image digest is revoked" in refusal(file, root, dbx, kernel=UNSIGNED)


def test_any_file_can_be_revoked_by_its_sha256(root: Identity) -> None:
    initrd = b"070701 an initrd"
    dbx = signature_list("sha256", hashlib.sha256(initrd).digest())
    verdict = judge(initrd, policy([root], dbx=[dbx], initrd=UNSIGNED), Role.INITRD)
    assert not verdict.accepted and "SHA-256 is revoked" in verdict.reason


@pytest.mark.parametrize("who", ["Leaf", "Middle", "Root"])
def test_a_revoked_certificate_anywhere_above_the_file_refuses_it(
    who: str, signed: bytes, root: Identity, middle: Identity, leaf: Identity
) -> None:
    one = {"Leaf": leaf, "Middle": middle, "Root": root}[who]
    reason = f"the certificate of {who} is revoked"
    assert reason in refusal(signed, root, signature_list("x509", one.der))
    for kind, function in SHA.items():
        digest = function(parse_certificate(one.der).tbs).digest()
        for time in (NO_TIME, LONG_AGO):
            assert reason in refusal(signed, root, signature_list(f"x509_{kind}", digest + time))


def test_another_certificate_for_a_revoked_key_does_not_help(root: Identity, middle: Identity, leaf: Identity) -> None:
    fresh = identity("Middle", middle.private, root, ca=True)
    assert fresh.der != middle.der
    file = signed_pe(small_pe(), Signing(leaf, [fresh]))
    assert judge(file, policy([root])).accepted
    assert "is revoked" in refusal(file, root, signature_list("x509", middle.der))


def test_a_revoked_issuer_above_the_anchor_refuses_the_file(root: Identity, middle: Identity, leaf: Identity) -> None:
    file, dbx = signed_pe(small_pe(), Signing(leaf, [middle])), signature_list("x509", root.der)
    assert judge(file, policy([middle])).accepted
    reason = judge(file, policy([middle], dbx=[dbx])).reason
    assert reason == "the certificate of Root, which issued that of Middle, is revoked"
    same_name = identity("Root", key("p256", 7), ca=True)
    assert judge(file, policy([middle], dbx=[signature_list("x509", same_name.der)])).accepted


def test_a_revoked_signature_spoils_a_good_one(signed: bytes, root: Identity) -> None:
    bad, good = identity("Bad", key("p256", 5), root), identity("Good", key("p256", 6), root)
    file = signed_pe(small_pe(), Signing(good), Signing(bad))
    dbx = signature_list("x509", bad.der)
    assert judge(file, policy([root])).accepted
    assert "certificate of Bad is revoked" in refusal(file, root, dbx)
    assert judge(signed_pe(small_pe(), Signing(good)), policy([root], dbx=[dbx])).accepted


def test_a_pin_outlives_a_revoked_certificate(signed: bytes, root: Identity, leaf: Identity) -> None:
    for require in (["authenticode", "sha256"], ["sha256", "authenticode"]):
        rule = {"require": require, "sha256": [hashlib.sha256(signed).hexdigest()]}
        assert judge(signed, policy([root], dbx=[signature_list("x509", leaf.der)], kernel=rule)).accepted


def test_lists_follow_each_other_bare_or_behind_a_header() -> None:
    lists = signature_list("sha256", bytes(32), b"\1" * 32) + signature_list("x509_sha256", b"\2" * 48)
    for data in (lists, variable_update(lists)):
        found = parse_signature_database(data)
        assert [(one.kind, one.data[:1]) for one in found] == [
            ("sha256", b"\0"), ("sha256", b"\1"), ("x509_sha256", b"\2"),
        ]  # fmt: skip
    assert parse_signature_database(b"") == ()


def test_hostile_databases_end_in_a_typed_error() -> None:
    lists = signature_list("sha256", bytes(32), b"\1" * 32)
    update = variable_update(lists)
    for cut in cuts(lists):
        if cut:
            refuses(parse_signature_database, cut)
    for cut in cuts(update):
        survives(parse_signature_database, cut)
    for what, data in mutations(SIGNATURE_LIST, lists):
        survives(parse_signature_database, data, what)
    for what, data in mutations(AUTHENTICATION_2, update):
        survives(parse_signature_database, data, what)
    for size in (0, 1, 15, 16):
        spoiled = lists[:24] + size.to_bytes(4, "little") + lists[28:]
        assert "wrong signature size" in str(refuses(parse_signature_database, spoiled))
    refuses(parse_signature_database, bytes(1 << 20))


def test_large_databases_cost_little() -> None:
    for size in (1, 32, 48):
        kind = "x509_sha256" if size == 48 else "sha256" if size == 32 else "x509"
        lists = signature_list(kind, *[bytes(size)] * ((4 << 20) // (16 + size) - 2))
        with with_memory():
            refuses(parse_signature_database, lists)
    refuses(parse_signature_database, signature_list("sha256", bytes(32)) * 50_000)
    refuses(parse_signature_database, bytes((4 << 20) + 1))


@pytest.mark.tools
def test_the_databases_of_a_real_firmware() -> None:
    """WITNESS: virt-firmware of PyPI reads the variables of Debian's OVMF."""
    store = edk2.Edk2VarStore(str(package("ovmf") / "usr/share/OVMF/OVMF_VARS_4M.ms.fd"))
    variables = store.get_varlist()
    listed = {name: parse_signature_database(bytes(variables[name].data)) for name in ("KEK", "db", "dbx")}
    assert [one.kind for one in listed["dbx"]] == ["sha256"]
    for name in ("KEK", "db"):
        witness = [item.x509.public_bytes(Encoding.DER) for group in [variables[name].sigdb] for item in group]
        assert [one.data for one in listed[name]] == witness


def test_a_dbx_that_cannot_be_obeyed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not understood \(kind=sha1\)"):
        policy(dbx=[signature_list("sha1", bytes(20))], kernel=UNSIGNED)
    with pytest.raises(ConfigError, match="not a usable dbx"):
        policy(dbx=[signature_list("x509", bytes(100))], kernel=UNSIGNED)
    with pytest.raises(ConfigError, match="not a usable dbx"):
        policy(dbx=[b"not a database of signatures at all"], kernel=UNSIGNED)
    with pytest.raises(FormatError, match="wrong size"):
        parse_signature_database(signature_list("sha256", bytes(31)))


@pytest.mark.tools
def test_a_database_by_virt_firmware(tmp_path: Path, root: Identity) -> None:
    """WITNESS: virt-fw-sigdb of PyPI's virt-firmware."""
    (tmp_path / "root.pem").write_bytes(root.pem)
    digest, owner = hashlib.sha256(b"any").hexdigest(), "77fa9abd-0359-4d32-bd60-28f4e78f784b"
    tool = Path(sys.executable).with_name("virt-fw-sigdb")
    words = ["--add-cert", owner, tmp_path / "root.pem", "--add-hash", owner, digest, "--output", tmp_path / "db"]
    made = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    found = parse_signature_database((tmp_path / "db").read_bytes())
    assert {(one.kind, one.data) for one in found} == {("x509", root.der), ("sha256", bytes.fromhex(digest))}
