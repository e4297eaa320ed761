"""OpenPGP: what gpg makes is taken, nothing that gpgv would refuse is, and hostile bytes end in a typed error.

WITNESS: gpg and gpgv, run beside each case; RFC 9580, A.3 and A.6, for version 6.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator

import pytest

from shim.errors import FormatError, VerifyError
from shim.formats.manifest import Manifest, ManifestFile, build_manifest
from shim.formats.openpgp import EMBEDDED, parse_key, parse_packets, parse_signatures
from shim.formats.openpgp_armor import crc24, parse_cleartext, unarmored
from shim.formats.openpgp_keys import fingerprint, parse_certificates
from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.manifest import read_manifest
from shim.verify.openpgp_keys import Checker
from shim.verify.piece import Piece
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from tests.builders.openpgp import DAY, THEN, Gpg, packet
from tests.unit.hostile import bounded, cuts, survives

pytestmark = pytest.mark.tools
DATA, OTHER = b"a kernel " * 5000, b"another kernel " * 5000
TEXT = b"first line  \n- a dash\n-----BEGIN\nFrom me\n\nlast\n"
KINDS = ("rsa2048", "rsa4096", "nistp256", "nistp384", "ed25519")


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    home = Gpg()
    home.make("anna", "ed25519")
    home.make("bert", "nistp256")
    yield home
    home.close()


def judge(ring: bytes, signature: bytes, data: bytes = DATA, threshold: int = 1, suffix: str = ".asc") -> Verdict:
    table = {"keys": {"openpgp": ["ring"]}, "kernel": {"require": ["openpgp"], "threshold": threshold}}
    policy = parse_policy(table, {"ring": ring}.__getitem__)
    beside = {suffix: signature}
    return judge_piece(Piece(Role.KERNEL, "file", data, hashlib.sha256(data).digest(), hashlib.sha256, beside), policy)


def reason_against(gpg: Gpg, ring: bytes, signature: bytes, data: bytes = DATA, *, gpgv: bool = False) -> str:
    """Check that a signature is refused, and what gpgv thinks; return why."""
    assert gpg.gpgv(unarmored(ring, "PUBLIC KEY BLOCK"), data, signature) == gpgv
    verdict = judge(ring, signature, data)
    assert not verdict.accepted, verdict.reason
    return verdict.reason


@pytest.mark.parametrize("kind", KINDS)
def test_what_gpg_signs_is_taken(gpg: Gpg, kind: str) -> None:
    name = gpg.make(kind, kind)
    for hashed in ("SHA256", "SHA384", "SHA512"):
        if (kind, hashed) == ("nistp384", "SHA256"):
            continue  # gpg takes a longer one
        for armor, suffix in ((True, ".asc"), (False, ".sig"), (False, ".gpg")):
            signature = gpg.sign(DATA, kind, armor=armor, words=("--digest-algo", hashed))
            assert gpg.gpgv(gpg.export(kind), DATA, signature)
            verdict = judge(gpg.export(kind, armor=armor), signature, suffix=suffix)
            assert verdict.accepted, verdict.reason
            hash_name = hashed.replace("SHA", "SHA-")
            assert verdict.reason == f"signed by {kind} <{kind}@example.org>, key {name} ({hash_name})"
            assert (verdict.rule, verdict.covered, verdict.signer) == ("openpgp", "all bytes", f"OpenPGP key {name}")


def test_other_files_and_other_keys_are_refused(gpg: Gpg) -> None:
    ring, signature = gpg.export("anna"), gpg.sign(DATA, "anna")
    assert "not what was signed" in reason_against(gpg, ring, signature, OTHER)
    assert "not what was signed" in reason_against(gpg, ring, signature, DATA[:-1])
    assert "a key that the policy does not have" in reason_against(gpg, gpg.export("bert"), signature)
    assert "cut short" in reason_against(gpg, ring, unarmored(signature, "SIGNATURE")[:-1])
    raw = unarmored(signature, "SIGNATURE")
    assert "does not fit" in reason_against(gpg, ring, raw[:-1] + bytes([raw[-1] ^ 1]))


def test_weak_hashes_and_text_are_refused(gpg: Gpg) -> None:
    gpg.make("old", "rsa2048")
    sha1 = gpg.sign(DATA, "old", words=("--digest-algo", "SHA1"))
    assert "too weak or unknown (found=SHA-1)" in reason_against(gpg, gpg.export("old"), sha1, gpgv=True)
    text = gpg.sign(TEXT, "anna", words=("--textmode",))
    reason = reason_against(gpg, gpg.export("anna"), text, TEXT, gpgv=True)
    assert "of another type (expected=bytes, found=text)" in reason
    gpg.make("ancient", "rsa2048", "never", "--cert-digest-algo", "SHA1")
    reason = reason_against(gpg, gpg.export("ancient"), gpg.sign(DATA, "ancient"), gpgv=True)
    assert "no self-signature that counts" in reason


def test_times_are_those_that_the_signature_gives_itself(gpg: Gpg) -> None:
    gpg.make("short", "ed25519", "10d")
    ring, before = gpg.export("short"), gpg.sign(DATA, "short", when=THEN + 9 * DAY)
    assert judge(ring, before).accepted
    late = gpg.sign(DATA, "anna", when=THEN + 11 * DAY)
    assert judge(gpg.export("anna"), late).accepted
    early = gpg.sign(DATA, "anna", when=THEN - DAY, words=("--ignore-time-conflict", "--ignore-valid-from"))
    assert judge(gpg.export("anna"), early).reason == (
        ".asc, signature 1: the signature is older than the key (signature=2020-09-12T12:26:40Z, "
        "key=2020-09-13T12:26:40Z)")


def test_subkeys(gpg: Gpg) -> None:
    gpg.make("carl", "ed25519")
    sub = gpg.add_subkey("carl", "rsa2048")
    other = gpg.add_subkey("carl", "ed25519")
    one, two = gpg.sign(DATA, f"{sub}!"), gpg.sign(DATA, f"{other}!")
    ring = gpg.export("carl")
    for signature in (one, two):
        assert gpg.gpgv(ring, DATA, signature)
        assert judge(ring, signature).accepted
    both = one + two
    assert "1 of 2 approvals" in judge(ring, both, threshold=2).reason
    revoked = gpg.revoke("carl", 1)
    assert "the subkey is revoked" in reason_against(gpg, revoked, one, gpgv=gpg.gpgv(revoked, DATA, one))
    assert judge(revoked, two).accepted
    assert "the subkey is revoked" in judge(ring + revoked, one).reason  # a copy that does not know it yet
    packets = split(ring)
    stripped = b"".join(packets[:4])  # the subkey without its binding
    assert "not bound to its key" in reason_against(gpg, stripped, one)
    whole = gpg.revoke("carl")
    assert "the key is revoked" in reason_against(gpg, whole, two, gpgv=gpg.gpgv(whole, DATA, two))


def test_a_subkey_belongs_to_whom_both_say(gpg: Gpg) -> None:
    gpg.make("dora", "ed25519")
    signature = gpg.sign(DATA, f"{gpg.add_subkey('dora', 'ed25519')}!")
    ring = gpg.export("dora")
    assert judge(ring, signature).accepted
    certificate, = parse_certificates(ring)
    embedded, = certificate.subkeys[0].bindings[0].values(EMBEDDED)
    spoiled = ring.replace(embedded, embedded[:-1] + bytes([embedded[-1] ^ 1]))
    assert "has not signed that it belongs" in reason_against(gpg, spoiled, signature)
    adopted = b"".join((*split(gpg.export("bert")), *split(ring)[3:]))  # another's subkey, with the other's binding
    assert "not bound to its key" in reason_against(gpg, adopted, signature)
    unable = gpg.make("emil", "ed25519")
    gpg.add_subkey("emil", "cv25519", "encr")
    assert judge(gpg.export("emil"), gpg.sign(DATA, f"{unable}!")).accepted


def test_what_was_made_after_the_end_is_refused(gpg: Gpg) -> None:
    """A key that was shortened later: gpg itself would not sign any more."""
    name = gpg.make("fritz", "ed25519", "30d")
    signature = gpg.sign(DATA, "fritz", when=THEN + 20 * DAY)
    assert judge(gpg.export("fritz"), signature).accepted
    gpg.run("--quick-set-expire", name, "10d", when=THEN + 5 * DAY)
    reason = judge(gpg.export("fritz"), signature).reason
    assert "the key had expired when the signature was made" in reason


def split(data: bytes) -> list[bytes]:
    """Return the packets with new headers."""
    return [packet(kind, body) for kind, body in parse_packets(data)]


def test_two_signers_of_two_are_counted(gpg: Gpg) -> None:
    ring = gpg.export("anna") + gpg.export("bert")
    both = gpg.sign(DATA, "anna", "bert")
    verdict = judge(ring, both, threshold=2)
    assert verdict.accepted, verdict.reason
    assert gpg.gpgv(ring, DATA, both)
    once = gpg.sign(DATA, "anna")
    assert judge(ring, once + gpg.sign(DATA, "bert"), threshold=2).accepted
    assert "1 of 2 approvals" in judge(ring, once + once, threshold=2).reason
    assert judge(ring, once + once).accepted
    assert judge(gpg.export("anna"), both).accepted


def test_what_is_critical_and_not_understood_is_refused(gpg: Gpg) -> None:
    ring = gpg.export("anna")
    critical = gpg.sign(DATA, "anna", words=("--sig-notation", "!key@example.org=value"))
    assert "demands what is not understood" in reason_against(gpg, ring, critical)
    assert judge(ring, gpg.sign(DATA, "anna", words=("--sig-notation", "key@example.org=value"))).accepted


def judge_cleartext(ring: bytes, message: bytes, role: Role = Role.MANIFEST) -> Verdict:
    path = {"path": "/manifest.toml"} if role is Role.MANIFEST else {}
    table = {"keys": {"openpgp": ["ring"]}, role.value: {"require": ["openpgp"], **path}}
    digest = hashlib.sha256(message).digest()
    piece = Piece(role, "manifest", message, digest, hashlib.sha256)
    return judge_piece(piece, parse_policy(table, {"ring": ring}.__getitem__))


def test_a_manifest_may_be_a_cleartext_signed_message(gpg: Gpg) -> None:
    signed, ring = gpg.sign(TEXT, "anna", action="--clearsign"), gpg.export("anna")
    assert parse_cleartext(signed).text == TEXT.replace(b"line  \n", b"line\n")
    for message in (signed, signed.replace(b"\n", b"\r\n")):
        verdict = judge_cleartext(ring, message)
        assert (verdict.accepted, verdict.covered) == (True, "its text"), verdict.reason
    assert "not what was signed" in judge_cleartext(ring, signed.replace(b"last", b"lost")).reason
    assert "a key that the policy does not have" in judge_cleartext(gpg.export("bert"), signed).reason
    for odd in (signed + b"x", signed.replace(b"Hash:", b"Comment:")):
        assert "cleartext has" in judge_cleartext(ring, odd).reason
    for odd in (b"x\n" + signed, TEXT):
        assert judge_cleartext(ring, odd).reason == "no signature of OpenPGP beside it"
    for cut in cuts(signed[:-1]):
        survives(parse_cleartext, cut)


def test_no_other_file_is_taken_for_a_signature_inside_it(gpg: Gpg) -> None:
    """The kernel would get the armor, too."""
    signed = gpg.sign(TEXT, "anna", action="--clearsign")
    assert judge_cleartext(gpg.export("anna"), signed, Role.INITRD).reason == "no signature of OpenPGP beside it"


def test_what_a_cleartext_signed_manifest_lists_is_its_text(gpg: Gpg) -> None:
    listed = build_manifest(Manifest(version=3, files=(ManifestFile(name="/x", size=1, sha256=bytes(32)),))).encode()
    signed, ring = gpg.sign(listed, "anna", action="--clearsign"), gpg.export("anna")
    piece = Piece(Role.MANIFEST, "manifest", signed, b"", hashlib.sha256)
    proof = read_manifest(piece, judge_cleartext(ring, signed), Policy(rules={}))
    assert proof.manifest is not None
    assert (proof.manifest.version, proof.manifest.find("/x") is not None) == (3, True)


V6_KEY = b"""-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
"""
V6_TEXT = b"""-----BEGIN PGP SIGNED MESSAGE-----

What we need from the grocery store:

- - tofu
- - vegetables
- - noodles

-----BEGIN PGP SIGNATURE-----

wpgGARsKAAAAKQWCY5ijYyIhBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce6
2azJAAAAAGk2IHZJX1AhiJD39eLuPBgiUU9wUA9VHYblySHkBONKU/usJ9BvuAqo
/FvLFuGWMbKAdA+epq7V4HOtAPlBWmU8QOd6aud+aSunHQaaEJ+iTFjP2OMW0KBr
NK2ay45cX1IVAQ==
-----END PGP SIGNATURE-----
"""


def test_version_6(gpg: Gpg) -> None:
    key, = parse_certificates(V6_KEY)
    name = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9"
    assert fingerprint(key.primary, hashlib.sha256).hex().upper() == name
    assert b"- vegetables\n" in parse_cleartext(V6_TEXT).text
    assert judge_cleartext(V6_KEY, V6_TEXT).accepted
    assert "not what was signed" in judge_cleartext(V6_KEY, V6_TEXT.replace(b"tofu", b"toffee")).reason
    assert f"a key that the policy does not have (key={name}" in judge_cleartext(gpg.export("anna"), V6_TEXT).reason
    for parse, data in ((parse_certificates, V6_KEY), (parse_cleartext, V6_TEXT)):
        for cut in cuts(unarmored(data, "PUBLIC KEY BLOCK") if data is V6_KEY else data):
            survives(parse, cut)


V4_KEY = "xjMEU/NfCxYJKwYBBAHaRw8BAQdAPwmJlL3ZFu1AUxl5NOSofIBzOhKA1i+AEJkuQ+47JAY="
V4_SIGNATURE = ("iF4EABYIAAYFAlX5X5UACgkQjP3hIZeWWpr2IgD/VvkMypjiECY3vZg/2xbBMd/S"
                "ftgr9N3lYG4NdWrtM2YBANCcT6EVJ/A44PV/IgHYLy6iyQMyZfps60iehUuuYbQE")


def test_the_sample_of_the_old_ed25519() -> None:
    """RFC 9580, A.1 and A.2: a signature by a key that says nothing of itself."""
    key = parse_key(b64decode(V4_KEY)[2:])
    signature, = parse_signatures(b64decode(V4_SIGNATURE))
    assert fingerprint(key, hashlib.sha256).hex() == "c959bdbafa32a2f89a153b678cfde12197965a9a"
    Checker(hashlib.sha256).check(key, signature, (b"OpenPGP",))
    with pytest.raises(VerifyError, match="not what was signed"):
        Checker(hashlib.sha256).check(key, signature, (b"OpenPGp",))


def without_hints(signature: bytes) -> bytes:
    """Return a signature of version 4 whose unhashed subpackets are gone, and the hashed issuer renamed."""
    (_, body), = parse_packets(unarmored(signature, "SIGNATURE"))
    end = 6 + int.from_bytes(body[4:6], "big")
    behind = end + 2 + int.from_bytes(body[end : end + 2], "big")
    return packet(2, body[:end] + b"\0\0" + body[behind:])


def test_hints_decide_nothing_but_whose_key_is_tried(gpg: Gpg) -> None:
    signature = without_hints(gpg.sign(DATA, "anna"))
    assert judge(gpg.export("anna"), signature).accepted  # the fingerprint is signed, too
    again = unarmored(signature, "SIGNATURE").replace(bytes.fromhex(gpg.fingerprints("anna")[0]), bytes(20))
    assert f"does not have (key={'00' * 20}" in reason_against(gpg, gpg.export("anna"), again)


def test_effort_is_bounded(gpg: Gpg) -> None:
    ring, once = gpg.export("anna"), unarmored(gpg.sign(DATA, "anna"), "SIGNATURE")
    with bounded(seconds=3.0):
        reason = judge(ring, once * 200, OTHER).reason
    assert "signature 16: " in reason
    assert "signature 17: " not in reason
    for data in (bytes(1 << 16) + b"x", once * 1000, b"\xff" * (1 << 21)):
        with bounded(seconds=0.5):
            assert "too long" in judge(ring, data).reason
    with bounded(seconds=1.0), pytest.raises(FormatError):
        parse_certificates(b"\xb0\x00" * (1 << 19))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no signature"),
        (b"\xc2\xe0" + bytes(40), "comes in parts"),
        (b"\x8b" + bytes(40), "no stated length"),
        (b"\xc2\xff\xff\xff\xff\xff", "cut short"),
        (b"\xc2\x05\x03\x05\x00\x00\x00", "unknown version"),
        (b"\xcb\x06b\0\0\0\0\0", "another packet"),
        (b"not armored", "no such block"),
        (b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n", "no end"),
        (b"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n", "of another kind"),
        (packet(2, b"\4\0\x16\x08\0\0\0\0\0\0"), "does not say once when"),
        (packet(2, b"\4\0\x16\x08\0\7\5\2\0\0\0\1\0"), "no type"),
        (packet(2, b"\4\0\x16\x08\0\2\1\xe0\0\0\0\0"), "demands what is not understood"),
        (packet(2, b"\4\0\x16\x08\0\5\4\2\0\0\0\0\0\0\0"), "wrong size"),
    ],
)
def test_malformed_signatures_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_signatures(data)


def test_malformed_keyrings_are_named(gpg: Gpg) -> None:
    ring = gpg.export("anna")
    key, name, *rest = split(ring)
    secret = gpg.run("--export-secret-keys", "anna@")
    for data, reason in (
        (b"", "no public key"), (secret, "secret key"), (name + key, "does not begin"),
        (key + packet(11, b"x"), "no part of a public key"),
        (packet(6, b"\3\0\0\0\0\0\0\1"), "unknown version"), (packet(6, b"\6\0\0\0\0\x1b\0\0\0\2x"), "wrong size"),
        (key + packet(2, b"\3\5\x20\0\0\0\0"), "revocation that is not understood"),
        (key + packet(2, b"\4\x20"), "revocation that is not understood"),
    ):
        with pytest.raises(FormatError, match=reason):
            parse_certificates(data)
    assert len(parse_certificates(key + name + packet(2, b"\3\5\x10\0\0\0\0") + b"".join(rest))) == 1


def test_names_and_checksums(gpg: Gpg) -> None:
    for name in ("anna", "bert"):
        key, = parse_certificates(gpg.export(name, armor=True))
        assert fingerprint(key.primary, hashlib.sha256).hex().upper() == gpg.fingerprints(name)[0]
    assert crc24(b"") == 0xB704CE
    lines = gpg.sign(DATA, "anna").split(b"\n")
    without = b"\n".join(line for line in lines if not line.startswith(b"="))
    assert judge(gpg.export("anna"), without).accepted
    wrong = b"\n".join(b"=AAAA" if line.startswith(b"=") else line for line in lines)
    assert "does not fit its checksum" in judge(gpg.export("anna"), wrong).reason


def test_hostile_bytes_end_in_a_typed_error(gpg: Gpg) -> None:
    ring, armored = gpg.export("bert"), gpg.sign(DATA, "bert")
    raw = unarmored(armored, "SIGNATURE")
    for parse, data in ((parse_signatures, raw), (parse_signatures, armored), (parse_certificates, ring)):
        for cut in cuts(data):
            survives(parse, cut)
        for at in range(len(data)):
            for value in {0, 0x7F, 0x80, 0xE0, 0xFF, data[at] ^ 1, data[at] + 1 & 0xFF}:
                survives(parse, data[:at] + bytes([value]) + data[at + 1 :], hex(at))
    signature, = parse_signatures(raw)
    hints = range(3 + len(signature.head), len(raw) - len(signature.material) - 2)  # nobody signs these
    taken = [at for at in range(len(raw)) if judge(ring, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).accepted]
    assert set(taken) <= set(hints)
    for cut in cuts(raw):
        assert not judge(ring, cut).accepted


def test_a_number_has_the_length_that_it_says(gpg: Gpg) -> None:
    """RFC 9580, 3.2: [00 02 01] is not formed correctly, it should be [00 01 01]."""
    raw = unarmored(gpg.sign(DATA, "bert"), "SIGNATURE")
    signature, = parse_signatures(raw)
    at = len(raw) - len(signature.material)
    bits = int.from_bytes(raw[at : at + 2], "big")
    for lie in (bits - 1, bits + 1, (bits + 7) // 8 * 8 - 7, (bits + 7) // 8 * 8):
        if lie != bits and (lie + 7) // 8 == (bits + 7) // 8:
            reason = judge(gpg.export("bert"), raw[:at] + lie.to_bytes(2, "big") + raw[at + 2 :]).reason
            assert reason.endswith(f"integer of another length than it says (at=0x{2 + (bits + 7) // 8:x}, "
                                   f"expected={lie}, found={bits})")
