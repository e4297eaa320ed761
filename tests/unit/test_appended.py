"""Appended signatures: the record in full, the last signature of several, and what is loaded of a signed file.

WITNESS: sign-file of linux-kbuild-6.1 of Debian bookworm; Debian's kernel modules and the certificate in the kernel.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest

from shim.cli import main
from shim.errors import FormatError
from shim.formats.modsig import MAGIC, MODULE_SIGNATURE, SIGNATURE_SIZE_MAX, find_appended
from shim.formats.pkcs7 import parse_signed_data
from shim.formats.x509 import name_text, parse_certificate
from shim.load.parts import archive_of, check_archive
from shim.model import Artifact, Role, Verdict
from shim.system.blobs import MemoryBlobs
from shim.verify import judge_piece
from shim.verify.appended import ROLES
from shim.verify.piece import Piece
from tests.builders.cms import By, appended, cms
from tests.builders.debian import kernel, package
from tests.builders.signing import (
    Identity,
    Signing,
    identity,
    image_digest,
    key,
    key_pem,
    signature_list,
    signed_pe,
    small_pe,
)
from tests.builders.vmlinux import vmlinux_of
from tests.unit.hostile import bounded, cuts, mutations, refuses, survives
from tests.unit.judging import policy

FILE = b"070701 an initrd" * 100
RECORD_FROM_END = len(MAGIC) + MODULE_SIGNATURE.size


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


@pytest.fixture(scope="module")
def leaf(root: Identity) -> Identity:
    return identity("Leaf", key("p256", 1), root)


@pytest.fixture(scope="module")
def signed(leaf: Identity) -> bytes:
    return appended(FILE, cms(FILE, By(leaf, attributes=False)))


def judge(data: bytes, *anchors: Identity | bytes, dbx: bytes = b"", role: Role = Role.INITRD) -> Verdict:
    rules = policy(anchors, dbx=[dbx] if dbx else [], **{role.value: {"require": ["appended"]}})
    return judge_piece(Piece(role, "file", data, hashlib.sha256(data).digest(), hashlib.sha256), rules)


def refusal(data: bytes, *anchors: Identity | bytes, dbx: bytes = b"") -> str:
    verdict = judge(data, *anchors, dbx=dbx)
    assert not verdict.accepted, verdict.reason
    return verdict.reason


def test_a_good_signature(signed: bytes, root: Identity, leaf: Identity) -> None:
    verdict = judge(signed, root)
    assert (verdict.accepted, verdict.rule, verdict.signer) == (True, "appended", "Leaf")
    assert verdict.reason == "signed by Leaf, under Root (SHA-256)"
    assert verdict.covered == f"{len(FILE)} of {len(signed)} bytes: all before the signature"
    for digest in ("sha256", "sha384", "sha512"):
        assert judge(appended(FILE, cms(FILE, By(leaf, digest))), root).accepted
    for role in (Role.KERNEL, Role.DEVICETREE):
        assert judge(signed, root, role=role).accepted


def test_the_roles() -> None:
    assert set(ROLES) == {Role.KERNEL, Role.INITRD, Role.DEVICETREE}


def test_each_refusal(signed: bytes, root: Identity, leaf: Identity) -> None:
    stranger = identity("Stranger", key("p256", 9), ca=True)
    what = "appended signature: "
    assert refusal(FILE, root) == "no signature is appended to it"
    assert refusal(b"!" + signed[1:], root).startswith(f"{what}ECDSA signature does not fit")
    tampered = appended(FILE, cms(FILE, By(leaf)))
    assert refusal(b"!" + tampered[1:], root) == f"{what}the file is not what was signed"
    assert refusal(signed, stranger) == f"{what}no anchor of the policy has issued it (signer=Leaf, issuer=Root)"
    assert refusal(signed, root, dbx=signature_list("x509", leaf.der)) == "the certificate of Leaf is revoked"
    weak = appended(FILE, cms(FILE, By(leaf, "sha1", signature=b"")))
    assert refusal(weak, root) == f"{what}hash function is too weak or unknown (found=SHA-1)"
    other = appended(FILE, cms(b"another file", By(leaf)))
    assert refusal(other, root) == f"{what}the file is not what was signed"
    inside = appended(FILE, cms(FILE, By(leaf), embedded=FILE))
    assert refusal(inside, root).startswith(f"{what}signature is not detached")
    assert refusal(appended(FILE, b"no CMS"), root).startswith(f"{what}DER")
    assert refusal(signed + b"\n", root) == "no signature is appended to it"


def test_the_last_of_several_signatures_counts(signed: bytes, root: Identity, leaf: Identity) -> None:
    stranger = identity("Stranger", key("p256", 9), ca=True)
    twice = appended(signed, cms(signed, By(leaf)))
    assert judge(twice, root).covered == f"{len(signed)} of {len(twice)} bytes: all before the signature"
    assert "the file is not what was signed" in refusal(appended(signed, cms(FILE, By(leaf))), root)
    assert "no anchor" in refusal(appended(signed, cms(signed, By(stranger))), root)
    tail = signed[len(FILE) :]
    assert "ECDSA signature does not fit" in refusal(signed + tail, root)


def test_a_revoked_digest_is_that_of_what_was_signed(leaf: Identity, root: Identity) -> None:
    """The whole file has another digest whenever an unsigned byte of its signature changes."""
    initrd = appended(FILE, cms(FILE, By(leaf)))
    listed = signature_list("sha256", hashlib.sha256(FILE).digest())
    assert refusal(initrd, root, dbx=listed).startswith("its SHA-256 is revoked")
    program = signed_pe(small_pe(), Signing(leaf))
    whole = appended(program, cms(program, By(leaf)))
    assert judge(whole, root, role=Role.KERNEL).accepted
    listed = signature_list("sha256", image_digest(small_pe(), "sha256"))
    assert judge(whole, root, role=Role.KERNEL, dbx=listed).reason.startswith("its image digest is revoked")


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (0, "a field that must be zero: algo"), (1, "a field that must be zero: hash"),
        (2, "of an unknown kind: id_type"), (3, "a field that must be zero: signer_len"),
        (4, "a field that must be zero: key_id_len"), (5, "a field that must be zero: pad"),
        (6, "a field that must be zero: pad"), (7, "a field that must be zero: pad"),
    ],
)  # fmt: skip
def test_every_field_is_checked(at: int, reason: str, leaf: Identity, root: Identity) -> None:
    head = bytearray(b"\0\0\2\0\0\0\0\0")
    for lie in (head[at] ^ 1, 0xFF):
        wrong = head[:at] + bytes([lie]) + head[at + 1 :]
        data = appended(FILE, cms(FILE, By(leaf)), head=bytes(wrong))
        with pytest.raises(FormatError, match=reason):
            find_appended(data)
        assert reason in refusal(data, root)


def test_every_length_is_checked(leaf: Identity) -> None:
    signature = cms(FILE, By(leaf))
    room = len(FILE) + len(signature)
    for size in (0, room, room + 1, 1 << 31, (1 << 32) - 1):
        with pytest.raises(FormatError, match="wrong length: sig_len"):
            find_appended(appended(FILE, signature, size=size))
    swapped = struct.unpack("<I", struct.pack(">I", len(signature)))[0]
    with pytest.raises(FormatError, match="wrong length: sig_len"):
        find_appended(appended(FILE, signature, size=swapped))
    with pytest.raises(FormatError, match="wrong length: sig_len"):
        find_appended(appended(b"x", bytes(SIGNATURE_SIZE_MAX + 1)))
    found = find_appended(appended(b"x", b"y"))
    assert found is not None and (found.content_size, found.signature) == (1, b"y")
    for short in (MAGIC, b"\0" * 11 + MAGIC, b"\0\0\2" + bytes(9) + MAGIC):
        refuses(find_appended, short)


def test_hostile_input_ends_in_a_verdict(signed: bytes, root: Identity) -> None:
    start = len(FILE)
    for cut in cuts(signed, 7):
        assert find_appended(cut) is None
    for end in range(start, len(signed)):
        lost = signed[:start] + signed[end:]
        survives(find_appended, lost)
        with bounded():
            assert not judge(lost, root).accepted or end == start
    for what, data in mutations(MODULE_SIGNATURE, signed, len(signed) - RECORD_FROM_END):
        survives(find_appended, data, what)
        with bounded():
            assert not judge(data, root).accepted or data == signed, what
    for at in range(start, len(signed)):
        with bounded():
            assert judge(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :], root).signer in (None, "Leaf")


def artifact(data: bytes) -> Artifact:
    sink = MemoryBlobs().create("initrd")
    sink.write(data)
    digest = hashlib.sha256(data).digest()
    return Artifact(role=Role.INITRD, name="initrd", size=len(data), sha256=digest, blob=sink.seal())


def test_an_initrd_is_loaded_without_its_signature(leaf: Identity) -> None:
    from shim.formats.cpio import CpioEntry, build_cpio

    data = build_cpio([CpioEntry.file("a", b"b")])
    plain, loaded = archive_of(artifact(data)), archive_of(artifact(appended(data, cms(data, By(leaf)))))
    assert bytes(loaded.data) == bytes(plain.data) == data
    check_archive(loaded)
    assert plain.sha256 == hashlib.sha256(data).digest() and loaded.sha256 is None
    with pytest.raises(FormatError, match="sig_len"):
        archive_of(artifact(appended(data, b"", size=0)))


def test_inspect_tells_of_it(
    signed: bytes, leaf: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "initrd"

    def told(data: bytes) -> str:
        file.write_bytes(data)
        assert main(["inspect", str(file)]) == 0
        return capsys.readouterr().out

    signer = "    signer Leaf, issued by Root, ECDSA P-256"
    assert f"  appended signature over {len(FILE)} bytes\n{signer}\n" in told(signed)
    bare = appended(FILE, cms(FILE, By(leaf, key_id=b"\1"), certificates=False))
    assert "    signer (certificate not carried), issued by (not said), unknown key\n" in told(bare)
    assert "  problem: appended: appended signature has a wrong length" in told(appended(FILE, b"", size=0))
    assert "appended" not in told(FILE)


@pytest.mark.tools
def test_a_kernel_is_laid_out_the_same_with_a_signature_behind_it(leaf: Identity) -> None:
    from shim.load.kernels import lay_out_kernel

    for data in (kernel().image.read_bytes(), vmlinux_of(kernel().image)):
        plain = lay_out_kernel(memoryview(data))
        longer = lay_out_kernel(memoryview(appended(data, cms(data, By(leaf)))))
        assert longer.request == plain.request
        assert [bytes(one.data) for one in longer.pieces] == [bytes(one.data) for one in plain.pieces]


@pytest.mark.tools
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_what_the_kernels_own_tool_signs(kind: str, root: Identity, tmp_path: Path) -> None:
    tool = package("linux-kbuild-6.1") / "usr/lib/linux-kbuild-6.1/scripts/sign-file"
    signer = identity("Signer", key(kind, 3), root)
    (tmp_path / "key").write_bytes(key_pem(signer.private))
    (tmp_path / "certificate").write_bytes(signer.pem)
    for digest in ("sha256", "sha384", "sha512"):
        (tmp_path / "file").write_bytes(FILE)
        done = subprocess.run([tool, digest, "key", "certificate", "file", "signed"], cwd=tmp_path, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        data = (tmp_path / "signed").read_bytes()
        assert judge(data, signer).reason == f"signed by Signer, which is an anchor itself (SHA-{digest[3:]})"
        assert "the signer's certificate is neither carried nor an anchor" in refusal(data, root)
        assert "does not fit" in refusal(b"!" + data[1:], signer)


@pytest.mark.tools
def test_debians_modules() -> None:
    """Their key was thrown away, but its certificate stands in the kernel that loads them."""
    vmlinux = vmlinux_of(kernel().image)
    modules = sorted(kernel().modules.rglob("*.ko"))[:40]
    assert len(modules) == 40
    anchor = b""
    for path in modules:
        data = path.read_bytes()
        found = find_appended(data)
        assert found is not None and data[: found.content_size].startswith(b"\x7fELF"), path
        signer, = parse_signed_data(found.signature).signers
        assert name_text(signer.issuer) == "Build time autogenerated kernel key"
        anchor = anchor or certificate_in(vmlinux, signer.issuer, signer.serial)
        verdict = judge(data, anchor)
        assert verdict.accepted, verdict.reason
        middle = found.content_size // 2
        assert "RSA signature does not fit" in refusal(data[:middle] + b"?" + data[middle + 1 :], anchor)


def certificate_in(data: bytes, issuer: bytes, serial: int) -> bytes:
    """Return the certificate with this issuer and serial number that stands somewhere in the data."""
    at = data.find(issuer)
    while at >= 0:
        for start in range(at - 64, at):
            size = 4 + int.from_bytes(data[start + 2 : start + 4], "big")
            if data[start : start + 2] != b"\x30\x82":
                continue
            try:
                found = parse_certificate(data[start : start + size])
            except FormatError:
                continue
            if (found.issuer, found.serial) == (issuer, serial):
                return found.encoded
        at = data.find(issuer, at + 1)
    raise LookupError("no such certificate")
