"""Unified kernel images made by ukify are read as they were made, profile by profile, without reading the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from shim.entries import read_entries
from shim.errors import FormatError
from shim.formats.os_release import parse_os_release
from shim.formats.pe import SECTION_HEADER, parse_pe
from shim.formats.uki import cmdline_text, has_linux_section, split_uki
from shim.model import Volume
from shim.report import entry_json
from shim.system.files import TreeFiles
from tests.builders import debian
from tests.builders.bootctl import bootctl_list, newer_bootctl
from tests.builders.uki import make_uki, ukify
from tests.unit.hostile import mutations, survives

pytestmark = pytest.mark.tools
OS_RELEASE = 'ID=target\nPRETTY_NAME="The target"\nVERSION_ID=12\nIMAGE_VERSION=7\n'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UKI of three profiles around Debian's kernel."""
    work = tmp_path_factory.mktemp("uki")
    Path(work, "initrd").write_bytes(b"070701initrd")
    Path(work, "EFI/Linux").mkdir(parents=True)
    output = work / "EFI/Linux/target+3-1.efi"
    make_uki(output, debian.kernel().image, [work / "initrd"], "root=/dev/vda2 quiet", OS_RELEASE,
             {"safe": "single", "factory": "reset"}, ["--uname", "6.1.0"])
    return output


def test_parts_of_each_profile(image: Path) -> None:
    data = image.read_bytes()
    assert has_linux_section(data)
    for number, (name, cmdline) in enumerate((("main", "root=/dev/vda2 quiet"), ("safe", "single"),
                                              ("factory", "reset"))):
        uki = split_uki(data, number)
        assert (uki.profile.id, uki.command_line()) == (name, cmdline)
        assert bytes(uki.linux[:2]) == b"MZ"
        assert uki.linux.nbytes == debian.kernel().image.stat().st_size
        assert bytes(uki.initrd or b"") == b"070701initrd"
    assert split_uki(data).profile.number == 0
    for wrong in (3, -1):
        with pytest.raises(FormatError, match="no such profile"):
            split_uki(data, wrong)


def test_a_listing_has_an_entry_for_each_profile(image: Path) -> None:
    found = read_entries([(Volume(name="esp"), TreeFiles(str(image.parents[2])))])
    assert not found.problems
    assert {(entry.id, entry.profile, entry.title) for entry in found.entries} == {
        ("target.efi", 0, "The target (Main)"), ("target.efi@safe", 1, "The target (Mode safe)"),
        ("target.efi@factory", 2, "The target (Mode factory)")}
    assert [entry.profile for entry in found.entries] == [0, 1, 2], "nothing but the main profile boots by itself"
    first = found.entries[0]
    assert (first.version, first.sort_key, first.cmdline) == ("7", "target", None)
    assert [entry.own_cmdline for entry in found.entries] == ["root=/dev/vda2 quiet", "single", "reset"]
    assert entry_json(first)["cmdline"] == "root=/dev/vda2 quiet"
    assert (first.tries_left, first.tries_done) == (3, 1)
    assert "its own command line: root=/dev/vda2 quiet" in first.trace
    assert "its kernel is 6.1.0" in first.trace


def test_a_listing_does_not_read_the_kernel(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shim.system.files import FileSource

    read: list[int] = []
    real = FileSource.read

    def counted(self: FileSource, size: int) -> bytes:
        data = real(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(FileSource, "read", counted)
    assert read_entries([(Volume(name="esp"), TreeFiles(str(image.parents[2])))]).entries
    assert sum(read) < 200_000 < image.stat().st_size


def test_systemd_sees_the_same_profiles(image: Path, tmp_path: Path) -> None:
    """WITNESS: bootctl list --json=short (systemd 257, the first to know profiles).

    It names the first profile by its ID, too; systemd-boot itself does not, and loader.conf speaks to that.
    """
    rows = bootctl_list(image.parents[2], tmp_path / "mnt", newer_bootctl())
    entries = read_entries([(Volume(name="esp"), TreeFiles(str(image.parents[2])))]).entries
    assert [(entry.id, entry.title, entry.version, entry.sort_key, entry.own_cmdline) for entry in entries] == [
        (row["id"].removesuffix("@main"), row["title"], row["version"], row["sortKey"], row["options"]) for row in rows]


@pytest.mark.parametrize("os_release", [
    OS_RELEASE, "ID=a\nNAME=N\nVERSION=v\nVERSION_ID=1\n", "ID=a\nIMAGE_ID=i\nNAME=N\nBUILD_ID=b\n",
    "ID=a\nVERSION_ID=2\n", "PRETTY_NAME='P Q'\nID=a\nIMAGE_ID=i\nVERSION_ID=3\nBUILD_ID=4\n",
])
def test_systemd_sees_the_same_image(tmp_path: Path, os_release: str) -> None:
    """WITNESS: bootctl list (systemd 252), which knows no profiles: it lists the first."""
    tree = tmp_path / "tree"
    Path(tree, "EFI/Linux").mkdir(parents=True)
    Path(tree, "EFI/Linux/plain.efi").write_bytes(_plain(tmp_path, os_release))
    row, = bootctl_list(tree, tmp_path / "mnt")
    entry, = read_entries([(Volume(name="esp"), TreeFiles(str(tree)))]).entries
    assert (entry.id, entry.title, entry.version, entry.sort_key) == (
        row["id"], row["title"], row["version"], row["sortKey"])


def _plain(work: Path, os_release: str) -> bytes:
    ukify("--linux", str(debian.kernel().image), "--cmdline", "quiet", "--os-release", os_release,
          "--output", f"{work}/plain.efi")
    return Path(work, "plain.efi").read_bytes()


def test_an_image_for_another_machine_is_hidden(image: Path) -> None:
    entry = read_entries([(Volume(name="esp"), TreeFiles(str(image.parents[2])))], architecture="aa64").entries[0]
    assert entry.hidden == "it is for x64"


def test_every_number_of_a_section_may_lie(image: Path) -> None:
    data = image.read_bytes()
    pe = parse_pe(data)
    table = pe.headers_end - len(pe.sections) * SECTION_HEADER.size
    head = data[: 64 << 10]
    for number in range(len(pe.sections)):
        for what, lie in mutations(SECTION_HEADER, head, table + number * SECTION_HEADER.size):
            survives(split_uki, lie + data[len(head) :] if number == 0 else lie, what)


def test_a_uki_that_is_cut_is_refused(image: Path) -> None:
    data = image.read_bytes()
    for end in (*range(0, 4096, 97), 1 << 20, len(data) - 4096):
        survives(split_uki, data[:end], str(end))
    with pytest.raises(FormatError):
        split_uki(data[: 1 << 20])


@pytest.mark.parametrize(("raw", "text"), [
    (b"a b\n\0\0", "a b"), (b"", ""), (b"  a\nb ", "a b"), (b"\x1b[a\tb\r\n", "[a b"),
])
def test_command_lines(raw: bytes, text: str) -> None:
    assert cmdline_text(raw) == text


@pytest.mark.parametrize("raw", [b"\xff", b"a\0b"])
def test_command_lines_that_are_none(raw: bytes) -> None:
    with pytest.raises(FormatError):
        cmdline_text(raw)


def test_os_release_is_unquoted() -> None:
    assert parse_os_release(b'A="x \\"y\\""\nB=\'z\'\n#C=1\nD=plain\nnot a line\nE=\n') == {
        "A": 'x "y"', "B": "z", "D": "plain", "E": ""}
