"""Verdicts on real files, each held against two witnesses that know nothing of each other.

WITNESS: sbverify of Debian trixie (sbsigntool 0.9.4-3.2+deb13u1: earlier ones take a chain without its root for
good), osslsigncode 2.9-2 of Debian trixie (it cannot read two entries in one certificate table; 2.5 of bookworm asks
for a PE checksum), virt-firmware of PyPI (image digests; its certificates are used, too).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest
import virt.firmware
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from virt.peutils.pesign import pe_authenticode_hash

from shim.formats.authenticode import certificate_entries, parse_signature
from shim.formats.pe import parse_pe
from shim.formats.siglist import parse_signature_database
from shim.model import Role
from shim.verify.piece import Image
from tests.builders.debian import kernel, package
from tests.builders.pe_tools import osslsigncode, run, sbsigntool, sign_with
from tests.builders.signing import Identity, Signing, identity, key, key_pem, signature_list, signed_pe, small_pe
from tests.unit.judging import accepts, judge, policy, reason_against

pytestmark = pytest.mark.tools
CERTIFICATES = Path(virt.firmware.__file__).parent / "certs"


def sbverify_accepts(file: Path, anchor: Path) -> bool:
    return run(sbsigntool("sbverify"), "--cert", anchor, file).returncode == 0


def osslsigncode_accepts(file: Path, anchor: Path) -> bool:
    return run(osslsigncode(), "verify", "-CAfile", anchor, "-in", file).returncode == 0


def pem(path: Path, data: bytes) -> Path:
    """Write a certificate as PEM."""
    certificate = x509.load_der_x509_certificate(data)
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def debian_ca() -> bytes:
    return (package("shim-unsigned") / "usr/share/shim/debian-uefi-ca.der").read_bytes()


@pytest.fixture(scope="module")
def stranger() -> Identity:
    return identity("Stranger", key("rsa2048", 9), ca=True)


REAL: dict[str, Callable[[], Path]] = {
    "amd64 kernel": lambda: kernel("cloud", "amd64").image,
    "arm64 kernel": lambda: kernel("cloud", "arm64").image,
    "fallback": lambda: package("shim-helpers-amd64-signed") / "usr/lib/shim/fbx64.efi.signed",
    "MOK manager": lambda: package("shim-helpers-amd64-signed") / "usr/lib/shim/mmx64.efi.signed",
}


@pytest.mark.parametrize("what", REAL)
def test_what_debian_signed(what: str, debian_ca: bytes, stranger: Identity, tmp_path: Path) -> None:
    path = REAL[what]()
    data = path.read_bytes()
    good, bad = pem(tmp_path / "good.pem", debian_ca), pem(tmp_path / "bad.pem", stranger.der)
    assert accepts(data, debian_ca).reason.endswith("under Debian Secure Boot CA (SHA-256)")
    assert sbverify_accepts(path, good) and osslsigncode_accepts(path, good)
    assert "no anchor of the policy has issued it" in reason_against(data, stranger)
    assert not sbverify_accepts(path, bad) and not osslsigncode_accepts(path, bad)


@pytest.mark.parametrize("what", REAL)
def test_image_digests(what: str) -> None:
    path = REAL[what]()
    image = Image(path.read_bytes(), hashlib.sha256)
    witness = pefile.PE(path, fast_load=True)
    for name, method in (("SHA-256", "sha256"), ("SHA-384", "sha384"), ("SHA-512", "sha512")):
        assert image.digest(name) == pe_authenticode_hash(witness, method)


@pytest.mark.parametrize("what", ["fallback", "amd64 kernel"])
def test_a_spoiled_byte_in_each_region(what: str, debian_ca: bytes, tmp_path: Path) -> None:
    data = bytearray(REAL[what]().read_bytes())
    pe = parse_pe(data)
    anchor = pem(tmp_path / "anchor.pem", debian_ca)
    counts = {
        "DOS header": 0x02, "PE header": pe.checksum_offset - 64, "before the slot": pe.certificate_entry_offset - 1,
        "behind the slot": pe.certificate_entry_offset + 8, "section table": pe.headers_end - 1,
        "headers' padding": pe.size_of_headers - 1,
        **{f"section {one.name} begins": one.raw_offset for one in pe.sections},
        **{f"section {one.name} ends": one.raw_offset + one.raw_size - 1 for one in pe.sections},
        "before the table": pe.certificates_offset - 1, "signature": len(data) - 100,
    }  # fmt: skip
    for where, at in counts.items():
        data[at] ^= 0x40
        assert not judge(bytes(data), policy([debian_ca])).accepted, where
        data[at] ^= 0x40
    free = {"checksum": pe.checksum_offset, "table's padding": len(data) - 1}
    if certificate_entries(data, pe)[0].content[-1]:
        del free["table's padding"]
    spoiled = tmp_path / "spoiled"
    for where, at in free.items():
        data[at] ^= 0x40
        assert judge(bytes(data), policy([debian_ca])).accepted, where
        spoiled.write_bytes(data)
        assert sbverify_accepts(spoiled, anchor), where
        data[at] ^= 0x40


def test_the_doubly_signed_shim(stranger: Identity, tmp_path: Path) -> None:
    path = package("shim-signed") / "usr/lib/shim/shimx64.efi.signed"
    data = path.read_bytes()
    assert len(certificate_entries(data, parse_pe(data))) == 2
    microsoft = CERTIFICATES / "microsoft.com"
    anchors = {year: microsoft / f"ms-uefi-{year}.pem" for year in ("2011", "2023")}
    for anchor in anchors.values():
        accepts(data, anchor.read_bytes())
        assert sbverify_accepts(path, anchor)
    for anchor in (microsoft / "windows-2011.pem", pem(tmp_path / "stranger.pem", stranger.der)):
        assert "the chain ends before an anchor" in reason_against(data, anchor.read_bytes())
        assert not sbverify_accepts(path, anchor)
    witness = pefile.PE(path, fast_load=True)
    for entry in certificate_entries(data, parse_pe(data)):
        assert parse_signature(entry.content).digest == pe_authenticode_hash(witness)


def test_a_revoked_signature_of_two_refuses_the_file() -> None:
    data = (package("shim-signed") / "usr/lib/shim/shimx64.efi.signed").read_bytes()
    first, second = ((CERTIFICATES / f"microsoft.com/ms-uefi-{year}.pem").read_bytes() for year in ("2011", "2023"))
    assert judge(data, policy([second])).accepted
    dbx = signature_list("x509", x509.load_pem_x509_certificate(first).public_bytes(Encoding.DER))
    assert "is revoked" in judge(data, policy([second], dbx=[dbx])).reason
    assert judge(data, policy([second], dbx=[signature_list("sha256", bytes(32))])).accepted


def test_a_timestamp_saves_no_revoked_signature() -> None:
    """Both signatures of shim are timestamped, before the revocation said here; without a dbt that counts nothing."""
    data = (package("shim-signed") / "usr/lib/shim/shimx64.efi.signed").read_bytes()
    microsoft = (CERTIFICATES / "microsoft.com/ms-uefi-2023.pem").read_bytes()
    body = x509.load_pem_x509_certificate(microsoft).tbs_certificate_bytes
    in_2100 = (2100).to_bytes(2, "little") + b"\1\1" + bytes(12)
    dbx = signature_list("x509_sha256", hashlib.sha256(body).digest() + in_2100)
    assert "Microsoft UEFI CA 2023 is revoked" in judge(data, policy([microsoft], dbx=[dbx])).reason


def test_debians_own_dbx_is_readable(debian_ca: bytes) -> None:
    """shim carries a vendor dbx in its section .vendor_cert: real revocations, in real lists."""
    data = (package("shim-signed") / "usr/lib/shim/shimx64.efi.signed").read_bytes()
    section = next(one for one in parse_pe(data).sections if b"vendor" in one.name.encode() or one.name == "/37")
    table = bytes(section.data(data))
    assert debian_ca in table
    sizes = [int.from_bytes(table[at : at + 4], "little") for at in (0, 4, 8, 12)]
    authorized_size, deauthorized_size, _, deauthorized_at = sizes
    assert authorized_size == len(debian_ca)
    listed = parse_signature_database(table[deauthorized_at : deauthorized_at + deauthorized_size])
    assert {one.kind for one in listed} <= {"sha256", "x509"}


@pytest.fixture(scope="module")
def chain() -> dict[str, Identity]:
    root = identity("Root", key("rsa2048"), ca=True, usage=["key_cert_sign"])
    middle = identity("Middle", key("rsa2048", 1), root, ca=True, usage=["key_cert_sign"])
    leaf = identity("Leaf", key("rsa2048", 2), middle, usage=["digital_signature"], extended=["1.3.6.1.5.5.7.3.3"])
    return {"root": root, "middle": middle, "leaf": leaf}


@pytest.mark.parametrize("signer", ["osslsigncode", "sbsign"])
@pytest.mark.parametrize("anchor", ["root", "middle", "stranger"])
def test_a_chain_with_an_unrooted_intermediate(
    signer: str, anchor: str, chain: dict[str, Identity], stranger: Identity, tmp_path: Path
) -> None:
    file = sign_with(signer, small_pe(), chain["leaf"], [chain["middle"]], tmp_path)
    anchors = {**chain, "stranger": stranger}
    certificate = pem(tmp_path / "anchor.pem", anchors[anchor].der)
    told = judge(file.read_bytes(), policy([anchors[anchor]]))
    assert told.accepted == (anchor != "stranger"), told.reason
    assert sbverify_accepts(file, certificate) == told.accepted
    if anchor != "middle":  # osslsigncode wants a chain up to a root
        assert osslsigncode_accepts(file, certificate) == told.accepted


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "rsa4096", "p256", "p384"])
def test_what_osslsigncode_signs(kind: str, digest: str, tmp_path: Path) -> None:
    signer = identity("Signer", key(kind), ca=True)
    file = sign_with("osslsigncode", small_pe(), signer, [], tmp_path, "-h", digest)
    assert f"SHA-{digest[3:]}" in accepts(file.read_bytes(), signer).reason
    data = bytearray(file.read_bytes())
    data[0x300] ^= 1
    assert "not what was signed" in reason_against(bytes(data), signer)


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_weak_hash_functions_are_refused_whoever_made_them(digest: str, tmp_path: Path) -> None:
    signer = identity("Signer", key("rsa2048"), ca=True)
    file = sign_with("osslsigncode", small_pe(), signer, [], tmp_path, "-h", digest)
    assert "too weak" in reason_against(file.read_bytes(), signer)


@pytest.mark.parametrize("kind", ["rsa2048", "rsa4096", "p256", "p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_signatures_made_in_these_tests_are_real(kind: str, digest: str, tmp_path: Path) -> None:
    root = identity("Root", key(kind), ca=True)
    file = tmp_path / "signed"
    file.write_bytes(signed_pe(small_pe(), Signing(identity("Leaf", key(kind, 1), root), digest=digest)))
    assert accepts(file.read_bytes(), root)
    assert osslsigncode_accepts(file, pem(tmp_path / "root.pem", root.der))


def test_a_uki_by_ukify(chain: dict[str, Identity], stranger: Identity, tmp_path: Path) -> None:
    root, leaf = chain["root"], identity("UKI signer", key("rsa2048", 3), chain["root"])
    uki = make_uki(leaf, tmp_path)
    data = uki.read_bytes()
    pe = parse_pe(data)
    verdict = judge(data, policy([root], uki={"require": ["authenticode"]}), Role.UKI)
    assert verdict.accepted, verdict.reason
    assert sbverify_accepts(uki, pem(tmp_path / "root.pem", root.der))
    assert osslsigncode_accepts(uki, tmp_path / "root.pem")
    assert Image(data, hashlib.sha256).digest("SHA-256") == pe_authenticode_hash(pefile.PE(uki, fast_load=True))
    assert not judge(data, policy([stranger], uki={"require": ["authenticode"]}), Role.UKI).accepted
    for name in (".linux", ".initrd", ".cmdline", ".osrel", ".uname", ".sbat", ".text"):
        section = pe.section(name)
        assert section is not None, name
        spoiled = bytearray(data)
        spoiled[section.raw_offset] ^= 1
        assert "not what was signed" in reason_against(bytes(spoiled), root), name


def make_uki(signer: Identity, directory: Path) -> Path:
    """Make and sign a UKI with ukify, systemd's stub and sbsign."""
    parts = {"linux": small_pe((0x1000, 0x200)), "initrd": b"initrd" * 999, "os-release": b"ID=test\n"}
    for name, content in parts.items():
        (directory / name).write_bytes(content)
    (directory / "key.pem").write_bytes(key_pem(signer.private))
    (directory / "certificate.pem").write_bytes(signer.pem)
    made = run(
        sys.executable, package("systemd-ukify", suite="trixie") / "usr/bin/ukify", "build",
        "--stub", package("systemd-boot-efi", suite="trixie") / "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        "--linux", directory / "linux", "--initrd", directory / "initrd", "--cmdline", "quiet root=/dev/vda",
        "--os-release", f"@{directory / 'os-release'}", "--uname", "6.1.0-test",
        "--signtool", "sbsign", "--tools", sbsigntool("sbsign").parent,
        "--secureboot-private-key", directory / "key.pem",
        "--secureboot-certificate", directory / "certificate.pem", "--output", directory / "uki.efi",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return directory / "uki.efi"
