"""A signed manifest speaks for a boot as a whole, and one that is not trusted for nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cli import main
from shim.errors import ConfigError, FormatError, VerifyError
from shim.formats.manifest import Manifest, ManifestFile, build_manifest, parse_manifest
from shim.model import Artifact, Candidate, Entry, FileRef, Role, Verdict
from shim.system.blobs import MemoryBlob
from shim.verify import verify
from shim.verify.policy_file import parse_policy
from tests.builders.detached import Signer, make_signer
from tests.unit.hostile import cuts, survives

pytestmark = pytest.mark.tools
KERNEL, INITRD, LINE = b"kernel" * 900, b"initrd" * 800, "root=/dev/vda2 ro"
FILES = {"/vmlinuz": KERNEL, "/initrd.img": INITRD}
RULE = {"require": ["manifest"]}


def manifest(version: int = 7, cmdlines: tuple[str, ...] = (LINE,), **files: bytes) -> bytes:
    held = {**FILES, **{f"/{name}": data for name, data in files.items()}}
    rows = tuple(ManifestFile(name=name, size=len(data), sha256=hashlib.sha256(data).digest())
                 for name, data in held.items())
    return build_manifest(Manifest(version=version, files=rows, cmdlines=cmdlines)).encode()


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("signer"), "minisign")


def artifact(role: Role, path: str, data: bytes, **beside: bytes) -> Artifact:
    return Artifact(role=role, name=f"vda1:{path}", size=len(data), sha256=hashlib.sha256(data).digest(),
                    blob=MemoryBlob(data), beside=tuple((f".{name}", held) for name, held in beside.items()))


def judged(
    signer: Signer, listed: bytes | None, signature: bytes = b"", *, kernel: bytes = KERNEL, initrd: bytes = INITRD,
    cmdline: str = LINE, minimum: int = 0, path: str = "/initrd.img",
) -> tuple[Verdict, ...]:  # fmt: skip
    table = {
        "keys": {"minisign": ["k"]}, **dict.fromkeys(("kernel", "initrd", "cmdline"), RULE),
        "manifest": {"require": ["minisign"], "path": "/manifest.toml", "minimum_version": minimum},
    }  # fmt: skip
    policy = parse_policy(table, {"k": signer.public}.__getitem__)
    entry = Entry(id="e", dialect="bls1", volume="vda1", source="/e:1", linux=FileRef(volume="vda1", path="/vmlinuz"))
    proof = None if listed is None else artifact(
        Role.MANIFEST, "/manifest.toml", listed, minisig=signature or signer.sign(listed))
    candidate = Candidate(
        entry=entry, kernel=artifact(Role.KERNEL, "/vmlinuz", kernel), cmdline=cmdline, manifest=proof,
        initrds=(artifact(Role.INITRD, path, initrd),))
    return verify(candidate, policy, hashlib.sha256).verdicts


def test_a_whole_boot_stands_in_one_manifest(signer: Signer) -> None:
    verdicts = judged(signer, manifest(), minimum=7)
    assert [(verdict.role.value, verdict.rule) for verdict in verdicts] == [
        ("manifest", "minisign"), ("kernel", "manifest"), ("cmdline", "manifest"), ("initrd", "manifest")]
    assert verdicts[1].reason.startswith("it stands in the manifest, version 7, minisign key ")
    assert verdicts[1].signer == verdicts[0].signer


def test_what_does_not_stand_in_it_is_refused(signer: Signer) -> None:
    for sentence, changed in {
        "it is not what the manifest lists": {"kernel": KERNEL + b"!"},
        "the initrd is not trusted: it is not what": {"initrd": INITRD[:-1]},
        "the manifest does not name it": {"path": "/other.img"},
        "none of the manifest's command lines": {"cmdline": f"{LINE} init=/evil"},
        "the manifest is too old: version 7, at least 8": {"minimum": 8},
    }.items():
        with pytest.raises(VerifyError, match=sentence):
            judged(signer, manifest(), **changed)  # type: ignore[arg-type]


def test_a_manifest_that_is_not_trusted_speaks_for_nothing(signer: Signer, tmp_path: Path) -> None:
    good = manifest()
    stranger = make_signer(tmp_path / "stranger", "minisign")
    for sentence, listed, signature in (
        ("there is no manifest", None, b""),
        ("the manifest is not trusted: .minisig: the Ed25519 signature does not fit", manifest(8), signer.sign(good)),
        ("the manifest is not trusted: .minisig: signed by a key", good, stranger.sign(good)),
        ("the manifest cannot be used: not a manifest", b"x = 1\n", b""),
    ):
        with pytest.raises(VerifyError, match=sentence) as caught:
            judged(signer, listed, signature)
        assert "manifest" not in [verdict.role.value for verdict in caught.value.verdicts if verdict.accepted]


def test_what_is_good_without_it_still_boots(signer: Signer) -> None:
    pins = [hashlib.sha256(data).hexdigest() for data in (KERNEL, INITRD)]
    rule = {"require": ["manifest", "sha256"], "sha256": pins}
    table = {"kernel": rule, "initrd": rule, "cmdline": {"require": ["exact"], "exact": [LINE]},
             "keys": {"minisign": ["k"]}, "manifest": {"require": ["minisign"], "path": "/manifest.toml"}}
    policy = parse_policy(table, {"k": signer.public}.__getitem__)
    entry = Entry(id="e", dialect="bls1", volume="vda1", source="/e:1")
    candidate = Candidate(entry=entry, kernel=artifact(Role.KERNEL, "/vmlinuz", KERNEL), cmdline=LINE,
                          initrds=(artifact(Role.INITRD, "/initrd.img", INITRD),),
                          manifest=artifact(Role.MANIFEST, "/manifest.toml", b"junk", minisig=b"junk"))
    verdicts = verify(candidate, policy, hashlib.sha256).verdicts
    assert [verdict.rule for verdict in verdicts] == ["sha256", "exact", "sha256"]


@pytest.mark.parametrize(("table", "sentence"), [
    ({"kernel": RULE}, "manifest needs the table policy.manifest"),
    ({"manifest": {"require": ["sha256"]}}, "not the absolute path"),
    ({"manifest": {"require": ["sha256"], "path": "relative"}}, "not the absolute path"),
    ({"manifest": {"require": ["unsigned"], "path": "/m"}}, "not a kind for this role"),
    ({"manifest": {"require": ["manifest"], "path": "/m"}}, "not a kind for this role"),
    ({"manifest": {"require": [], "path": "/m", "minimum_version": -1}}, "not a version"),
    ({"kernel": {"require": ["manifest"], "path": "/m"}}, "unknown key"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_policy(table, dict[str, bytes]().__getitem__)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)


@given(st.integers(0, 1 << 62), st.lists(PRINTABLE, max_size=3), st.dictionaries(PRINTABLE, st.binary(), max_size=3))
def test_what_was_built_is_what_is_parsed(version: int, cmdlines: list[str], files: dict[str, bytes]) -> None:
    rows = tuple(ManifestFile(name=f"/{name}", size=len(data), sha256=hashlib.sha256(data).digest())
                 for name, data in files.items())
    made = Manifest(version=version, files=rows, cmdlines=tuple(cmdlines))
    assert parse_manifest(build_manifest(made).encode()) == made


def test_every_cut_and_nonsense_is_a_typed_error() -> None:
    for cut in cuts(manifest()):
        survives(parse_manifest, cut)
    for nonsense in (
        b"\xff", b"a" * (2 << 20), b"x = " + b"[" * 5000, b'schema = "bootshim.manifest/1"\nversion = true',
        b'schema = "bootshim.manifest/1"\nversion = 1\nfile = [3]',
        b'schema = "bootshim.manifest/1"\nversion = 1\nx = 1',
        b'schema = "bootshim.manifest/1"\nversion = 1\n[[file]]\nname = "/a"\nsize = 1\nsha256 = "zz"',
        b'schema = "bootshim.manifest/1"\nversion = 1\ncmdline = [1]', b"version = " + b"9" * 5000,
        manifest() + manifest().split(b"\n\n", 1)[1],
    ):  # fmt: skip
        with pytest.raises(FormatError):
            parse_manifest(nonsense)


def test_the_verb_writes_what_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in FILES.items():
        Path(tmp_path, name[1:]).write_bytes(data)
    words = ["manifest", "--root", str(tmp_path), "--version", "7", "--cmdline", LINE, "vmlinuz", "./initrd.img"]
    assert main(words) == 0
    assert capsys.readouterr().out.encode() == manifest()
    assert main([*words, "--json"]) == 0
    assert '"version": 7' in capsys.readouterr().out
    assert main([*words, "absent"]) == 2
    assert main([*words[:-1], "../x"]) == 2
