"""What lies beside a UKI is read once, judged by its own rules, and left out when it is unreadable or not trusted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from shim.errors import FetchError, ShimError, SystemError_
from shim.fetch import Limits, artifacts_of, fetch_entry, release, release_left_out
from shim.formats.cpio import CpioEntry, build_cpio
from shim.formats.digests import SHA256
from shim.formats.stub import ExtraKind
from shim.load.parts import parts_of
from shim.model import Candidate, Entry, FileRef, Role, Verified
from shim.system.files import TreeFiles
from shim.system.memory_files import MemoryFiles
from shim.system.recording import RecordingMachine
from shim.verify import verify
from shim.verify.policy import Policy
from tests.builders.debian import kernel
from tests.builders.filesystems import make_filesystem
from tests.builders.sections import sectioned_pe
from tests.builders.signing import Identity, Signing, identity, key, signed_pe
from tests.builders.uki import make_uki
from tests.builders.world import World
from tests.unit.hostile import bounded
from tests.unit.judging import policy

PATH = "/EFI/Linux/foo+3-1.efi"
OWN = "/EFI/Linux/foo.efi.extra.d"
ARCHIVE = build_cpio([CpioEntry.file("x", b"x")])
UKI = sectioned_pe((".linux", b"MZ kernel"), (".initrd", ARCHIVE), (".cmdline", b"ro"), (".dtbauto", b"tree"))
UNSIGNED = {"require": ["unsigned"]}
OPEN = {"uki": UNSIGNED, "addon": UNSIGNED, "credential": UNSIGNED, "extension": UNSIGNED}


def addon(cmdline: str, *more: tuple[str, bytes]) -> bytes:
    return sectioned_pe((".cmdline", cmdline.encode()), *more)


FILES: dict[str, bytes | ShimError] = {
    PATH: UKI,
    "/loader/addons/z.addon.efi": addon("z", (".ucode", ARCHIVE), (".initrd", ARCHIVE)),
    "/loader/addons/a.cred": b"of no kind here",
    f"{OWN}/b.addon.efi": addon("b", (".ucode", ARCHIVE)), f"{OWN}/A.addon.efi": addon("A", (".dtb", b"tree")),
    f"{OWN}/one.cred": b"1", f"{OWN}/c.confext.raw": b"confext", f"{OWN}/s.raw": b"sysext", f"{OWN}/readme": b"no",
    "/loader/credentials/all.cred": b"2", "/loader/credentials/a.raw": b"of no kind here",
}  # fmt: skip
ORDER = [
    (ExtraKind.ADDON, "z.addon.efi"), (ExtraKind.ADDON, "A.addon.efi"), (ExtraKind.ADDON, "b.addon.efi"),
    (ExtraKind.CREDENTIAL, "one.cred"), (ExtraKind.GLOBAL_CREDENTIAL, "all.cred"), (ExtraKind.SYSEXT, "s.raw"),
    (ExtraKind.CONFEXT, "c.confext.raw"),
]  # fmt: skip


def entry(**given: object) -> Entry:
    started = given or {"uki": FileRef(volume="esp", path=PATH)}
    return Entry(id="foo.efi", dialect="bls2", volume="esp", source="x:0", **started)  # type: ignore[arg-type]


def fetched(machine: RecordingMachine, files: object, what: Entry | None = None, **limits: int) -> Candidate:
    trees = {"esp": files}
    return fetch_entry(what or entry(), trees, machine.blobs, machine.sha256, Limits(**limits))  # type: ignore[arg-type]


def verified(rules: Policy, **files: bytes) -> Verified:
    return verify(fetched(RecordingMachine(), MemoryFiles({**FILES, **files})), rules, hashlib.sha256)


@pytest.mark.parametrize("what", [
    entry(), entry(efi=FileRef(volume="esp", path=PATH)), entry(uki=FileRef(volume="esp", path=PATH), profile=0)])
def test_everything_is_read_in_order_with_its_role(what: Entry) -> None:
    machine = RecordingMachine()
    candidate = fetched(machine, MemoryFiles(FILES), what)
    assert [(extra.kind, extra.name) for extra in candidate.extras] == ORDER
    assert [item.role for item in artifacts_of(candidate)] == [
        Role.UKI, *[Role.ADDON] * 3, *[Role.CREDENTIAL] * 2, *[Role.EXTENSION] * 2]
    assert candidate.extras[3].artifact.name == f"esp:{OWN}/one.cred"
    assert candidate.extras[3].artifact.sha256 == hashlib.sha256(b"1").digest()
    assert candidate.passed_over == ()
    release(artifacts_of(candidate))
    assert machine.blobs.held == []


def test_a_kernel_that_is_no_uki_has_nothing_beside_it() -> None:
    candidate = fetched(RecordingMachine(), MemoryFiles(FILES), entry(linux=FileRef(volume="esp", path=PATH)))
    assert candidate.extras == ()


def test_the_parts_come_in_the_order_of_the_stub() -> None:
    parts = parts_of(verified(policy(**OPEN)))
    assert parts.cmdline == b"ro z A b"
    assert [archive.name.removeprefix("esp:") for archive in parts.archives] == [
        f"{OWN}/b.addon.efi .ucode", "/loader/addons/z.addon.efi .ucode", f"{PATH} .initrd",
        ".extra/credentials, 1 files", ".extra/global_credentials, 1 files", ".extra/sysext, 1 files",
        ".extra/confext, 1 files", "/loader/addons/z.addon.efi .initrd"]
    assert "not used on this architecture: .dtbauto" in parts.trace
    assert f"its device tree is not used on this architecture: esp:{OWN}/A.addon.efi" in parts.trace


@pytest.mark.parametrize("closed", ["addon", "credential", "extension"])
def test_what_no_rule_takes_is_left_out_and_the_rest_is_booted(closed: str) -> None:
    proof = verified(policy(**{name: rule for name, rule in OPEN.items() if name != closed}))
    refused = [verdict for verdict in proof.verdicts if not verdict.accepted]
    assert {verdict.role.value for verdict in refused} == {closed}
    assert {verdict.reason for verdict in refused} == {f"the policy has no rule that would take a {closed}"}
    assert closed not in {extra.artifact.role.value for extra in proof.candidate.extras}
    assert len(proof.candidate.extras) + len(refused) == len(ORDER)
    assert (parts_of(proof).cmdline == b"ro") == (closed == "addon")


def test_an_empty_credential_is_one() -> None:
    candidate = fetched(RecordingMachine(), MemoryFiles({**FILES, f"{OWN}/one.cred": b""}))
    assert [(extra.kind, extra.name) for extra in candidate.extras] == ORDER


def test_what_is_left_out_is_let_go() -> None:
    machine = RecordingMachine()
    candidate = fetched(machine, MemoryFiles(FILES))
    proof = verify(candidate, policy(uki=UNSIGNED, credential=UNSIGNED), hashlib.sha256)
    release_left_out(candidate, proof.candidate)
    assert len(machine.blobs.held) == 3
    assert parts_of(proof).cmdline == b"ro"


def test_a_pin_takes_one_file_and_the_others_stay_out() -> None:
    pin = {"require": ["sha256"], "sha256": [hashlib.sha256(b"2").hexdigest()]}
    proof = verified(policy(uki=UNSIGNED, credential=pin))
    assert [extra.name for extra in proof.candidate.extras] == ["all.cred"]


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("p256"), ca=True)


def test_an_addon_must_be_signed_where_the_policy_says_so(root: Identity) -> None:
    good, bad = signed_pe(addon("good"), Signing(root)), bytearray(signed_pe(addon("evil"), Signing(root)))
    bad[bad.index(b"evil")] ^= 1
    stranger = signed_pe(addon("strange"), Signing(identity("Other", key("p256", 1), ca=True)))
    files = {f"{OWN}/{name}.addon.efi": bytes(data) for name, data in
             {"good": good, "bad": bad, "stranger": stranger, "zero": addon("zero")}.items()}
    proof = verified(policy([root], uki=UNSIGNED, addon={"require": ["authenticode"]}), **files)
    assert [extra.name for extra in proof.candidate.extras] == ["good.addon.efi"]
    assert parts_of(proof).cmdline == b"ro good"


def test_a_revoked_addon_is_left_out_whatever_else_speaks_for_it() -> None:
    rules = policy(**OPEN)
    digest = hashlib.sha256(addon("evil")).digest()
    revoked = rules.revoked.replace(images=frozenset({(SHA256, digest)}))
    proof = verified(rules.replace(revoked=revoked), **{f"{OWN}/b.addon.efi": addon("evil")})
    assert parts_of(proof).cmdline == b"ro z A"


def test_an_addon_that_does_not_fit_is_passed_over_and_said() -> None:
    parts = parts_of(verified(policy(**OPEN), **{f"{OWN}/b.addon.efi": UKI, f"{OWN}/A.addon.efi": b"MZ nothing"}))
    assert parts.cmdline == b"ro z"
    assert f"the add-on esp:{OWN}/b.addon.efi was left out: a UKI is no add-on" in parts.trace
    assert any(text.startswith(f"the add-on esp:{OWN}/A.addon.efi was left out: ") for text in parts.trace)


PROBLEMS: dict[str, tuple[dict[str, bytes | ShimError], dict[str, int], str]] = {
    "an unreadable file": ({f"{OWN}/x.cred": FetchError("the device cannot read it")}, {}, "cannot read it"),
    "an empty add-on": ({f"{OWN}/x.addon.efi": b""}, {}, "the file is empty"),
    "a directory": ({f"{OWN}/x.cred/y": b"y"}, {}, "not a regular file"),
    "a long credential": ({f"{OWN}/x.cred": bytes(4097)}, {"credential_size": 4096}, "the file is too long"),
    "a long extension": ({f"{OWN}/x.raw": bytes(4097)}, {"extension_size": 4096}, "the file is too long"),
    "a long add-on": ({f"{OWN}/x.addon.efi": bytes(9000)}, {"addon_size": 8192}, "the file is too long"),
    "no room left": ({f"{OWN}/x.raw": bytes(1 << 20)}, {"total_size": 100_000}, "too long together"),
    "a control character": ({f"{OWN}/x\x1b[2J.cred": b"x"}, {}, "1 files are left out: their names"),
    "another alphabet": ({f"{OWN}/\u043a\u043b\u044e\u0447.cred": b"x"}, {}, "1 files are left out: their names"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_cannot_be_read_is_a_problem_and_the_rest_is_taken(case: str) -> None:
    files, limits, reason = PROBLEMS[case]
    machine = RecordingMachine()
    candidate = fetched(machine, MemoryFiles({**FILES, **files}), **limits)
    assert [(extra.kind, extra.name) for extra in candidate.extras] == ORDER
    problem, = candidate.passed_over
    assert reason in problem.error
    assert problem.source.startswith(f"esp:{OWN}")
    assert len(machine.blobs.held) == 1 + len(ORDER)


def test_what_is_packed_into_archives_counts_twice() -> None:
    files = MemoryFiles({PATH: UKI, f"{OWN}/a.raw": bytes(20_000), f"{OWN}/b.raw": bytes(20_000)})
    enough = len(UKI) + 80_000
    assert len(fetched(RecordingMachine(), files, total_size=enough).extras) == 2
    candidate = fetched(RecordingMachine(), files, total_size=enough - 1)
    assert [extra.name for extra in candidate.extras] == ["a.raw"]
    assert "too long together" in candidate.passed_over[0].error


def test_too_many_files_are_cut_off_and_said() -> None:
    machine = RecordingMachine()
    many: dict[str, bytes | ShimError] = {f"{OWN}/{number:06}.cred": b"x" for number in range(100_000)}
    files = MemoryFiles({PATH: UKI, **many})
    with bounded(seconds=5):
        candidate = fetched(machine, files)
    assert len(candidate.extras) == Limits().extra_count
    assert candidate.passed_over[0].error == "only the first 256 of 100000 files beside it are read"


def test_a_hostile_directory_is_survived(tmp_path: Path) -> None:
    own = tmp_path / OWN[1:]
    own.mkdir(parents=True)
    (tmp_path / PATH[1:]).write_bytes(UKI)
    (tmp_path.parent / "secret").write_bytes(b"secret")
    (own / "good.cred").write_bytes(b"good")
    (own / "out.cred").symlink_to("../../../../secret")
    (own / "loop.cred").symlink_to("loop.cred")
    (own / "absolute.raw").symlink_to("/etc/passwd")
    (own / "line\nbreak.cred").write_bytes(b"x")
    os.mkfifo(own / "fifo.addon.efi")
    (own / "directory.raw").mkdir()
    (tmp_path / "loader").symlink_to("/etc")
    machine = RecordingMachine()
    candidate = fetched(machine, TreeFiles(str(tmp_path)))
    assert [extra.name for extra in candidate.extras] == ["good.cred"]
    assert len(candidate.passed_over) == 8
    reasons = " ".join(problem.error for problem in candidate.passed_over)
    for reason in ("leads out of the volume", "too many symbolic links", "not a regular file", "names are not plain"):
        assert reason in reasons
    assert len(machine.blobs.held) == 2


def test_no_memory_for_a_file_beside_it_is_a_failure_like_others() -> None:
    machine = RecordingMachine()
    machine.blobs.errors = {"credential:one.cred": SystemError_("no memory for a file", 12)}
    with pytest.raises(SystemError_):
        fetched(machine, MemoryFiles(FILES))
    assert machine.blobs.held == []


@pytest.mark.tools
def test_a_boot_says_what_was_left_out_and_what_could_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "initrd").write_bytes(ARCHIVE)
    uki = make_uki(tmp_path / "uki.efi", kernel().image, [tmp_path / "initrd"], "ro").read_bytes()
    pinned = f'sha256 = ["{hashlib.sha256(uki).hexdigest()}"]\n'
    rules = f'[policy.uki]\nrequire = ["sha256"]\n{pinned}[policy.credential]\nrequire = ["unsigned"]\n'
    superblock = make_filesystem("ext4", tmp_path / "disk").read_bytes()[: 1 << 20]
    world = World(superblock, f'[boot]\nwait = 0\ntimeout = 0\non_failure = "reset"\n{rules}')
    world.plug("vda", {**FILES, PATH: uki, f"{OWN}/bad.raw": FetchError("the device cannot read it")}).boot()
    assert world.tried == [("foo.efi", None)]
    attempt = world.report.as_json()["attempts"][0]
    assert [row["role"] for row in attempt["artifacts"]] == [
        "uki", *["addon"] * 3, *["credential"] * 2, *["extension"] * 2]
    assert [row["accepted"] for row in attempt["verdicts"]] == [True, *[False] * 3, *[True] * 2, *[False] * 2]
    assert attempt["cmdline"] == "ro"
    left_out = [note for note in world.report.notes if note.startswith("left out: ")]
    assert len(left_out) == 5
    problem, = (problem for problem in world.report.problems if "bad.raw" in problem.source)
    assert problem.error.startswith("the system extension is left out: the device cannot read it")
    assert "credential trusted: unsigned" in world.text
    assert "extension refused: none" in world.text
    assert len(world.machine.blobs.held) == 3


def test_a_file_whose_signature_cannot_be_read_holds_no_memory() -> None:
    machine = RecordingMachine()
    name = f"{OWN}/one.cred"
    files = MemoryFiles({**FILES, f"{name}.minisig": bytes((1 << 20) + 1)})
    candidate = fetch_entry(entry(), {"esp": files}, machine.blobs, machine.sha256, Limits(), [".minisig"])
    problem, = candidate.passed_over
    assert (problem.source, "the file is too long" in problem.error) == (f"esp:{name}", True)
    assert len(machine.blobs.held) == len(artifacts_of(candidate))
    release(artifacts_of(candidate))
    assert machine.blobs.held == []
