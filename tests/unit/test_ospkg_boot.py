"""OS packages from a disk to a loaded kernel: entries, verdict, unpacking, measuring; and what the verbs say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli import main
from shim.entries import read_entries
from shim.errors import LoadError, MeasureError
from shim.load.unpacked import join_package
from shim.measure.plan import measure_candidate
from shim.model import Artifact, Candidate, Entry, Role, SegmentsPlan, Volume
from shim.system.blobs import MemoryBlob
from shim.system.files import TreeFiles
from shim.system.memory_files import MemoryFiles
from shim.system.recording_tpm import RecordingTpm
from tests.builders.filesystems import make_filesystem
from tests.builders.ospkg import PackageSigner, descriptor, make_package, make_package_signer, make_root
from tests.builders.world import INITRD, World, memtest

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("ospkg")]
BOOT = '[boot]\nwait = 0\ntimeout = 0\non_failure = "reset"\n'
POLICY = '[policy.keys]\nospkg = ["root.pem"]\n[policy.ospkg]\nrequire = ["ospkg"]\nthreshold = 2\n'
CMDLINE = "ro quiet"


class Shop(NamedTuple):
    folder: Path
    archive: bytes
    root: PackageSigner
    signers: tuple[PackageSigner, PackageSigner]
    superblock: bytes


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("ospkg")
    root = make_root(folder, "root")
    one, two = (make_package_signer(folder, f"signer{number}", root) for number in range(2))
    (folder / "disk").mkdir()
    superblock = make_filesystem("ext4", folder / "disk").read_bytes()[: 1 << 20]
    archive = make_package(folder / "package", memtest(), INITRD, cmdline=CMDLINE)
    return Shop(folder, archive, root, (one, two), superblock)


def booted(shop: Shop, files: dict[str, bytes], policy: str = POLICY, tpm: RecordingTpm | None = None) -> World:
    world = World(shop.superblock, BOOT + policy, tpm=tpm, held={"root.pem": shop.root.pem})
    return world.plug("vda", {f"/ospkg/{name}": data for name, data in files.items()}).boot()


def package(shop: Shop, **changes: bytes) -> dict[str, bytes]:
    return {"a.zip": shop.archive, "a.json": descriptor(shop.archive, *shop.signers), **changes}


def test_a_package_boots_and_what_is_loaded_was_in_it(shop: Shop) -> None:
    world = booted(shop, package(shop))
    assert world.tried == [("a.zip", None)], world.text
    plan = world.machine.kexec.loaded
    assert isinstance(plan, SegmentsPlan)
    segments = {segment.name: bytes(segment.data) for segment in plan.segments}
    assert segments["initrd.0"] == INITRD
    assert segments["kernel"] in memtest()
    attempt = world.report.attempts[-1]
    assert "of the OS package A test" in str(attempt.why)
    verdict, = attempt.verdicts
    assert (verdict["role"], verdict["accepted"], verdict["rule"]) == ("ospkg", True, "ospkg")
    assert verdict["reason"].count("signed by") == 2


def test_the_command_line_is_that_of_the_package(shop: Shop) -> None:
    tpm = RecordingTpm(["sha256"])
    booted(shop, package(shop), tpm=tpm)
    text = "".join(f"{letter}\0" for letter in CMDLINE + "\0").encode()
    assert tpm.pcrs["sha256"][12] == extended(text)


def extended(*contents: bytes) -> bytes:
    value = bytes(32)
    for content in contents:
        value = hashlib.sha256(value + hashlib.sha256(content).digest()).digest()
    return value


def test_archive_kernel_and_initramfs_are_measured(shop: Shop) -> None:
    tpm = RecordingTpm(["sha256"])
    world = booted(shop, package(shop), tpm=tpm)
    assert tpm.pcrs["sha256"][9] == extended(shop.archive, memtest(), INITRD)
    assert not any(tpm.pcrs["sha256"][11])
    assert [(event["pcr"], event["description"]) for event in world.report.attempts[-1].events][2:] == [
        (8, "entry a.zip"), (9, "ospkg vda:/ospkg/a.zip"), (9, "boot/kernel of vda:/ospkg/a.zip"),
        (9, "boot/initramfs of vda:/ospkg/a.zip"), (12, "command line"),
    ]  # fmt: skip


def test_the_host_predicts_the_values(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tpm = RecordingTpm(["sha256"])
    booted(shop, package(shop), tpm=tpm)
    (tmp_path / "a.zip").write_bytes(shop.archive)
    assert main(["measure", str(tmp_path / "a.zip")]) == 0
    values = dict(line.split(":sha256=") for line in capsys.readouterr().out.split())
    assert values == {str(pcr): tpm.pcrs["sha256"][pcr].hex() for pcr in (9, 12)}


def test_a_threshold_that_is_not_met_is_refused_and_the_next_boots(shop: Shop) -> None:
    one = descriptor(shop.archive, shop.signers[0])
    world = booted(shop, package(shop, **{"b.zip": shop.archive, "b.json": one}))
    assert world.tried == [("b.zip", "verify"), ("a.zip", None)]
    assert "1 of 2 approvals" in world.text


@pytest.mark.parametrize("tampered", ["a byte less", "a bomb", "noise"])
def test_a_tampered_archive_is_refused_before_it_is_looked_into(shop: Shop, tampered: str) -> None:
    """What is wrong with the archive itself is never said, because nobody has looked."""
    data = {"a byte less": shop.archive[:-1], "noise": b"PK\3\4" * 999, "a bomb": shop.archive.replace(
        len(memtest()).to_bytes(4, "little"), b"\xff\xff\xff\x7f")}[tampered]
    world = booted(shop, package(shop, **{"b.zip": data, "b.json": package(shop)["a.json"]}))
    assert world.tried == [("b.zip", "verify"), ("a.zip", None)]
    refusal = str(world.report.attempts[0].error)
    assert "does not fit" in refusal and "ZIP" not in refusal


def test_a_signed_package_that_makes_no_sense_is_refused_and_holds_no_memory(shop: Shop, tmp_path: Path) -> None:
    archive = make_package(tmp_path, memtest(), INITRD, version=2)
    world = booted(shop, {"a.zip": archive, "a.json": descriptor(archive, *shop.signers)})
    assert world.tried == [("a.zip", "verify")]
    assert "the OS package cannot be used: OS package manifest has an unknown version" in world.text
    assert world.machine.blobs.held == []


def test_a_signed_package_that_does_not_fit_into_memory_is_refused(shop: Shop, tmp_path: Path) -> None:
    archive = make_package(tmp_path, memtest(), INITRD + bytes(60 << 20))
    for memory, end in ((100 << 10, "verify"), (200 << 10, None)):
        world = World(shop.superblock, BOOT + POLICY, held={"root.pem": shop.root.pem})
        assert isinstance(world.machine.facts, MemoryFiles)
        world.machine.facts.contents["/proc/meminfo"] = f"MemAvailable: {memory} kB\n".encode()
        world.plug("vda", {"/ospkg/a.zip": archive, "/ospkg/a.json": descriptor(archive, *shop.signers)}).boot()
        assert world.tried == [("a.zip", end)]
        assert ("ZIP member is too large" in world.text) == (end == "verify")


def test_a_kernel_in_a_package_is_looked_at_like_any_other(shop: Shop, tmp_path: Path) -> None:
    for kernel, initramfs, why in ((memtest()[:9000], INITRD, "cut short"), (b"x" * 999, INITRD, "no kernel"),
                                   (memtest(), b"no archive at all", "neither a cpio archive nor compressed")):
        archive = make_package(tmp_path, kernel, initramfs)
        world = booted(shop, {"a.zip": archive, "a.json": descriptor(archive, *shop.signers)})
        assert world.tried == [("a.zip", "plan")]
        assert why in world.text


def test_a_command_line_typed_in_the_menu_needs_a_rule_of_its_own(shop: Shop) -> None:
    config = BOOT.replace("timeout = 0", "timeout = 5\nedit = true") + POLICY
    for rule, end in (("", "verify"), ('[policy.cmdline]\nrequire = ["unsigned"]\n', None)):
        keys: list[str | float] = ["e", *" single", "enter", "enter"]
        world = World(shop.superblock, config + rule, keys=keys, held={"root.pem": shop.root.pem})
        world.plug("vda", {f"/ospkg/{name}": data for name, data in package(shop).items()}).boot()
        assert world.tried[0] == ("a.zip", end), world.text


def test_packages_are_found_where_they_are_kept(shop: Shop) -> None:
    files = MemoryFiles({
        "/ospkg/one.zip": b"", "/ospkg/one.json": descriptor(shop.archive, *shop.signers), "/boot/ospkg/two.zip": b"",
        "/stboot/os_pkgs/local/three.zip": b"", "/stboot/os_pkgs/local/three.json": b"junk", "/ospkg/lost.json": b"{}",
        "/ospkg/.hidden.zip": b"", "/ospkg/readme.txt": b"", "/elsewhere/four.zip": b"",
    })  # fmt: skip
    found = read_entries([(Volume(name="vda"), files)])
    assert sorted(entry.id for entry in found.entries) == ["one.zip", "three.zip", "two.zip"]
    traces = {entry.id: " ".join(entry.trace) for entry in found.entries}
    assert "has 2 signatures, published at https://example.org/a.zip" in traces["one.zip"]
    assert "no descriptor two.json lies beside it" in traces["two.zip"]
    assert "its descriptor cannot be read" in traces["three.zip"]
    problem, = found.problems
    assert (problem.source, problem.error) == (
        "vda:/ospkg/lost.json", "the archive of this OS package is not there")
    one = next(entry for entry in found.entries if entry.id == "one.zip")
    assert (one.kernel, one.cmdline, one.title) == (one.ospkg, None, "one")


def test_a_default_goes_by_the_name_without_its_suffix() -> None:
    files = MemoryFiles({"/ospkg/a.zip": b"", "/ospkg/b.zip": b""})
    found = read_entries([(Volume(name="vda"), files)], default="a")
    assert [entry.id for entry in found.entries] == ["a.zip", "b.zip"]


def test_many_packages_have_a_bound() -> None:
    files = MemoryFiles({f"/ospkg/{number}.zip": b"" for number in range(300)})
    found = read_entries([(Volume(name="vda"), files)])
    assert (len(found.entries), len(found.problems)) == (200, 1)


def test_nothing_that_was_not_unpacked_is_loaded_or_measured(shop: Shop) -> None:
    archive = Artifact(role=Role.OSPKG, name="a.zip", size=len(shop.archive), sha256=bytes(32),
                       blob=MemoryBlob(shop.archive))
    candidate = Candidate(entry=Entry(id="a", dialect="", volume="", source=""), kernel=archive)
    with pytest.raises(LoadError, match="was not unpacked"):
        join_package(candidate, ())
    with pytest.raises(MeasureError, match="was not unpacked"):
        measure_candidate(candidate)


@pytest.fixture
def tree(shop: Shop, tmp_path: Path) -> Path:
    (tmp_path / "ospkg").mkdir()
    for name, data in package(shop).items():
        (tmp_path / "ospkg" / name).write_bytes(data)
    (tmp_path / "root.pem").write_bytes(shop.root.pem)
    (tmp_path / "other.pem").write_bytes(make_root(tmp_path / "other", "other").pem)
    (tmp_path / "my.toml").write_text(POLICY)
    return tmp_path


def test_the_verbs_understand_packages(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, sidecar = str(tree / "ospkg/a.zip"), str(tree / "ospkg/a.json")
    assert main(["entries", str(tree)]) == 0
    assert "an OS package" in capsys.readouterr().out
    assert main(["verify", archive, "--policy", str(tree / "my.toml")]) == 0
    assert "trusted as ospkg: signed by" in capsys.readouterr().out
    assert main(["verify", archive, "--anchor", str(tree / "root.pem")]) == 0
    assert main(["verify", archive, "--anchor", str(tree / "other.pem")]) == 1
    capsys.readouterr()
    assert main(["inspect", archive, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["ospkg"]["label"], facts["problems"]) == ("OS package", "A test", [])
    assert facts["ospkg"]["kernel_sha256"] == hashlib.sha256(memtest()).hexdigest()
    assert facts["ospkg"]["members"] == ["boot/kernel", "boot/initramfs", "manifest.json"]
    assert main(["inspect", sidecar]) == 0
    said = capsys.readouterr().out
    assert "OS package descriptor" in said and "key Ed25519" in said
    assert main(["policy", "check", str(tree / "my.toml")]) == 0
    assert main(["policy", "show", str(tree / "my.toml")]) == 0
    assert "2 approvals by different signers: ospkg" in capsys.readouterr().out


def test_inspect_says_what_is_wrong_with_a_broken_package(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tree / "ospkg/a.zip"
    broken.write_bytes(broken.read_bytes()[:-5])
    assert main(["inspect", str(broken)]) == 0
    assert "problem: ospkg: ZIP" in capsys.readouterr().out


def test_the_tree_of_a_machine_is_read_like_memory(tree: Path) -> None:
    entry, = read_entries([(Volume(name="vda"), TreeFiles(str(tree)))]).entries
    assert "has 2 signatures" in " ".join(entry.trace)
