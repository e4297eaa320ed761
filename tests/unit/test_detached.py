"""Detached signatures: what minisign, signify and ssh-keygen make is taken, and nothing that they would refuse."""

from __future__ import annotations

import binascii
import hashlib
import subprocess
from collections.abc import Callable
from functools import cache

import pytest

from shim.errors import ConfigError
from shim.formats.minisign import parse_minisign_key, parse_minisign_signature
from shim.formats.sshsig import parse_allowed_signers, parse_ssh_key, parse_ssh_signature
from shim.model import Role, Verdict
from shim.verify import judge_piece
from shim.verify.piece import Piece
from shim.verify.policy_file import parse_policy
from tests.builders.detached import KINDS, Signer, make_signer, policy_table
from tests.unit.hostile import cuts, survives

pytestmark = pytest.mark.tools
DATA, OTHER = b"a kernel " * 5000, b"another kernel " * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Signer]:
    folder = tmp_path_factory.mktemp("signers")

    @cache
    def signer(tool: str, number: int = 0) -> Signer:
        return make_signer(folder / f"{tool}-{number}".replace(" ", "-"), tool)

    return signer


def judge(signers: list[Signer], beside: dict[str, bytes], data: bytes = DATA, threshold: int = 1) -> Verdict:
    table, files = policy_table(signers, threshold)
    policy = parse_policy(table, files.__getitem__)
    assert set(beside) <= set(policy.suffixes)
    return judge_piece(
        Piece(Role.KERNEL, "file", data, hashlib.sha256(data).digest(), hashlib.sha256, beside), policy)


@pytest.mark.parametrize("tool", KINDS)
def test_what_the_tool_made_is_taken(made: Callable[..., Signer], tool: str) -> None:
    signer = made(tool)
    signature = signer.sign(DATA)
    assert signer.verifies(DATA, signature)
    verdict = judge([signer], {signer.suffix: signature})
    assert verdict.accepted, verdict.reason
    assert (verdict.rule, verdict.covered) == (KINDS[tool], "all bytes")
    assert verdict.reason.startswith("signed by ")


@pytest.mark.parametrize("tool", KINDS)
def test_another_file_and_another_key_are_refused(made: Callable[..., Signer], tool: str) -> None:
    signer, stranger = made(tool), made(tool, 1)
    signature = signer.sign(DATA)
    assert not signer.verifies(OTHER, signature)
    assert "does not fit" in judge([signer], {signer.suffix: signature}, OTHER).reason
    assert not stranger.verifies(DATA, signature)
    reason = judge([stranger], {signer.suffix: signature}).reason
    assert "a key that" in reason
    assert "beside it" in judge([signer], {}).reason


@pytest.mark.parametrize("tool", KINDS)
def test_a_spoiled_byte_anywhere_in_the_signature_is_refused(made: Callable[..., Signer], tool: str) -> None:
    """But in what nobody signed: the untrusted comment, and where the tool itself does not mind."""
    signer = made(tool)
    signature = signer.sign(DATA)
    first = len(b"untrusted comment: ") if KINDS[tool] == "minisign" else 0
    for at in range(first, len(signature), 3):
        spoiled = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        verdict = judge([signer], {signer.suffix: spoiled})
        if verdict.accepted:
            assert signer.verifies(DATA, spoiled), (at, verdict.reason)
            assert at < signature.index(b"\n")
    for cut in cuts(signature[:-1], step=5):
        verdict = judge([signer], {signer.suffix: cut})
        if verdict.accepted and not signer.verifies(DATA, cut):  # half of minisign's old format is signify's
            assert (tool, verdict.reason.startswith("signed by the signify key")) == ("minisign legacy", True)


def test_the_comment_of_minisign_is_trusted_only_with_its_signature(made: Callable[..., Signer]) -> None:
    signer = made("minisign")
    lines = signer.sign(DATA).split(b"\n")
    assert "(a comment)" in judge([signer], {".minisig": b"\n".join(lines)}).reason
    lines[2] = b"trusted comment: another"
    assert "does not fit" in judge([signer], {".minisig": b"\n".join(lines)}).reason
    assert "has four lines" in judge([signer], {".minisig": b"\n".join(lines[:3]) + b"\n"}).reason
    short = parse_minisign_signature(signer.sign(DATA))
    assert short.hashed
    assert "never over a hash" in judge([signer], {".minisig": b"\n".join(lines[:2]) + b"\n"}).reason


INSIDE = "the signature could be a part of another file's: over its BLAKE2b-512, or over its signature with the comment"


def test_the_hash_of_a_signed_file_is_no_signed_file(made: Callable[..., Signer]) -> None:
    """Which of the two minisign signs is said in two letters that it does not sign; minisign itself takes both."""
    signer = made("minisign")
    lines = signer.sign(DATA).split(b"\n")
    body, digest = binascii.a2b_base64(lines[1]), hashlib.blake2b(DATA).digest()
    assert body[:2] == b"ED"
    lines[1] = binascii.b2a_base64(b"Ed" + body[2:], newline=False)
    relabelled = b"\n".join(lines)
    assert signer.verifies(digest, relabelled)
    assert judge([signer], {".minisig": relabelled}, digest).reason == f".minisig: {INSIDE}"
    assert judge([signer], {".minisig": signer.sign(digest)}, digest).accepted
    for size in (63, 65):
        legacy = made("minisign legacy")
        assert judge([legacy], {".minisig": legacy.sign(bytes(size))}, bytes(size)).accepted


def test_the_signature_of_a_comment_is_none_of_signify(made: Callable[..., Signer]) -> None:
    """It fits the bytes that it covers, a signature and the comment; signify itself takes it for a file of these."""
    signer, signify = made("minisign"), made("signify")
    lines = signer.sign(DATA).split(b"\n")
    body = binascii.a2b_base64(lines[1])
    inside = body[10:] + lines[2].removeprefix(b"trusted comment: ")
    second = binascii.b2a_base64(b"Ed" + body[2:10] + binascii.a2b_base64(lines[3]), newline=False)
    bare = lines[0] + b"\n" + second + b"\n"
    (signify.folder / "public").write_bytes(signer.public)
    assert signify.verifies(inside, bare)
    (signify.folder / "public").write_bytes(signify.public)
    assert judge([signer], {".minisig": bare}, inside).reason == f".minisig: {INSIDE}"
    for text in (b"one line of text " * 5, b"x" * 100 + b"\n", b"x" * 63 + b"\x11x", b"x" * 63 + b"\x10x\0"):
        assert judge([signify], {".sig": signify.sign(text)}, text).accepted


def test_an_ssh_signature_for_another_purpose_is_refused(made: Callable[..., Signer]) -> None:
    signer = made("ssh ed25519")
    git = signer.sign(DATA, "git")
    assert "another namespace (expected=file, found=git)" in judge([signer], {".sig": git}).reason
    principal, kind, key = signer.public.split()[:3]
    own = signer._replace(public=b'%s namespaces="git,boot" %s %s\n' % (principal, kind, key))
    assert judge([own], {".sig": git}).accepted
    assert "another namespace" in judge([own], {".sig": signer.sign(DATA)}).reason


def test_weak_algorithms_are_refused(made: Callable[..., Signer]) -> None:
    signer = made("ssh rsa")
    signature = signer.sign(DATA)
    body = binascii.a2b_base64(b"".join(signature.split(b"\n")[1:-2]))
    weak = body.replace(b"\0\0\0\x0crsa-sha2-512", b"\0\0\0\x0crsa-sha2-999")
    armored = b"-----BEGIN SSH SIGNATURE-----\n" + binascii.b2a_base64(weak) + b"-----END SSH SIGNATURE-----\n"
    reason = ".sig: signature algorithm is too weak or unknown (found=rsa-sha2-999)"
    assert judge([signer], {".sig": armored}).reason == reason
    short = body.replace(b"\0\0\0\x06sha512", b"\0\0\0\x06sha\xff\r1")
    armored = b"-----BEGIN SSH SIGNATURE-----\n" + binascii.b2a_base64(short) + b"-----END SSH SIGNATURE-----\n"
    reason = r".sig: an SSH signature over an unknown hash (found=sha\xff\r1)"
    assert judge([signer], {".sig": armored}).reason == reason


def test_one_file_has_one_ssh_signature(made: Callable[..., Signer]) -> None:
    signer = made("ssh ed25519")
    assert judge([signer], {".sig": signer.sign(DATA) * 2}).reason == ".sig: more than one SSH signature in a file"


def test_a_stranger_is_named_as_ssh_keygen_does(made: Callable[..., Signer]) -> None:
    signer, stranger = made("ssh ed25519"), made("ssh ecdsa")
    told = subprocess.run(["ssh-keygen", "-l", "-f", stranger.folder / "secret.pub"], check=True, capture_output=True)
    reason = judge([signer], {".sig": stranger.sign(DATA)}).reason
    key = told.stdout.decode().split()[1]
    assert reason == (".sig: signed by a key that is not among the allowed signers "
                      f"(type=ecdsa-sha2-nistp384, key={key})")


def test_a_threshold_counts_different_signers_of_any_kind(made: Callable[..., Signer]) -> None:
    one, two, ssh = made("minisign"), made("signify"), made("ssh ed25519")
    beside = {".minisig": one.sign(DATA), ".sig": two.sign(DATA)}
    both = judge([one, two], beside, threshold=2)
    assert both.accepted, both.reason
    assert (both.rule, both.signer) == (
        "minisign", ", ".join(f"minisign key {parse_minisign_key(signer.public).key_id}" for signer in (one, two)))
    mixed = judge([one, ssh], {".minisig": one.sign(DATA), ".sig": ssh.sign(DATA)}, threshold=2)
    assert (mixed.accepted, mixed.rule) == (True, "minisign and ssh")
    same = judge([one, two], {".minisig": one.sign(DATA), ".sig": one.sign(DATA)}, threshold=2)
    assert not same.accepted
    assert same.reason.startswith("1 of 2 approvals: signed by the minisign key")
    assert "0 of 2 approvals: none" in judge([one, two], {}, threshold=2).reason


@pytest.mark.parametrize(("table", "sentence"), [
    ({"kernel": {"require": ["minisign"]}}, "minisign needs policy.keys.minisign"),
    ({"keys": {"minisign": []}}, "no key is named"), ({"keys": {"gpg": ["x"]}}, "unknown key"),
    ({"keys": {"minisign": ["junk"]}}, "not a usable key: not a minisign public key"),
    ({"keys": {"ssh": ["junk"]}}, "not a usable key"), ({"keys": 3}, "must be a table"),
    ({"kernel": {"require": ["sha256"], "threshold": 0}}, "not a number of approvals"),
    ({"kernel": {"require": ["sha256"], "threshold": True}}, "not a number of approvals"),
    ({"kernel": {"require": ["unsigned"], "threshold": 2}}, "means nothing"),
    ({"kernel": {"require": ["ssh"], "ssh": ["x"]}, "keys": {"ssh": ["good"]}}, "stand in policy.keys.ssh"),
    ({"mode": "loose"}, "not a mode"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(
    made: Callable[..., Signer], table: dict[str, object], sentence: str
) -> None:
    files = {"junk": b"junk", "good": made("ssh ed25519").public}
    with pytest.raises(ConfigError, match=sentence):
        parse_policy(table, files.__getitem__)


@pytest.mark.parametrize(("line", "sentence"), [
    ("me ssh-ed25519", "expected: principals"), ("me cert-authority ssh-ed25519 AAAA", "not known"),
    ('me valid-before="2030" ssh-ed25519 AAAA', "not known"), ("me ssh-ed25519 !!!!", "not base64"),
    ("me ssh-dss AAAAB3NzaC1kc3MAAAAA x", "not known"),
    ("me ssh-rsa AAAAE2VjZHNhLXNoYTItbmlzdHA1MjE=", r"type that is not known \(.*found=ecdsa-sha2-nistp521"),
    ("# nothing", "no allowed signer"),
])  # fmt: skip
def test_allowed_signers_that_could_not_be_obeyed_are_refused(line: str, sentence: str) -> None:
    from shim.errors import FormatError

    with pytest.raises(FormatError, match=sentence):
        parse_allowed_signers(line.encode())


def test_every_cut_and_lie_is_a_typed_error(made: Callable[..., Signer]) -> None:
    for tool in KINDS:
        signer = made(tool)
        parse = parse_ssh_signature if signer.kind == "ssh" else parse_minisign_signature
        for cut in cuts(signer.sign(DATA)):
            survives(parse, cut)
        parse_key = parse_allowed_signers if signer.kind == "ssh" else parse_minisign_key
        for cut in cuts(signer.public):
            survives(parse_key, cut)
    blob = binascii.a2b_base64(made("ssh rsa").public.split()[2])
    for at in range(len(blob)):
        for value in (0, 0x7F, 0x80, 0xFF):
            survives(parse_ssh_key, blob[:at] + bytes([value]) + blob[at + 1 :])
