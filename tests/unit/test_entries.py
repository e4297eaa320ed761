"""Entries of real trees come out in systemd's order, with their reasons; one broken file costs only itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cli import main
from shim.entries import DIALECTS, EntryList, read_entries
from shim.entries.counting import split_counter
from shim.entries.loader_conf import parse_loader_conf
from shim.entries.rank import matches
from shim.errors import ShimError
from shim.model import Entry, PartitionKind, Volume
from shim.system.files import TreeFiles
from tests.builders import debian
from tests.builders.bootctl import bootctl_list
from tests.unit.hostile import survives

TREE = {
    "loader/loader.conf": "timeout 5\ndefault debian-6.1*\nconsole-mode max\n",
    "loader/entries/debian-6.1.conf": """# Debian
title Debian GNU/Linux
version 6.1.0-9
machine-id 4098b3f648d74c13b1f04ccfba7798e8
sort-key debian
linux /debian/6.1/linux
initrd /debian/6.1/microcode
initrd /debian/6.1/initrd
options root=UUID=1 ro
options quiet
""",
    "loader/entries/debian-5.10.conf": "title Debian\nversion 5.10\nsort-key debian\nlinux /debian/5.10/linux\n",
    "loader/entries/debian-6.1.0-56+0-3.conf": "title Bad luck\nversion 9\nsort-key debian\nlinux /debian/6.1/linux\n",
    "loader/entries/arch+2-1.conf": "title Arch\nversion 7\nsort-key arch\nlinux /debian/6.1/linux\n",
    "loader/entries/nokey-2.conf": "title No key\nlinux /debian/6.1/linux\n",
    "loader/entries/nokey-10.conf": "title No key\nlinux /debian/6.1/linux\n",
    "debian/6.1/linux": "kernel", "debian/6.1/initrd": "initrd", "debian/6.1/microcode": "ucode",
    "debian/5.10/linux": "kernel",
}


def make_tree(directory: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def read(directory: Path, **options: object) -> EntryList:
    volume = Volume(name="esp", kind=PartitionKind.ESP)
    return read_entries([(volume, TreeFiles(str(directory)))], **options)  # type: ignore[arg-type]


def only(directory: Path, text: str | bytes, name: str = "x.conf") -> Entry:
    found = read(make_tree(directory, {f"loader/entries/{name}": text}))
    assert not found.problems, found.problems
    entry, = found.entries
    return entry


@pytest.mark.tools
def test_the_order_is_systemds(tmp_path: Path) -> None:
    """WITNESS: bootctl list --json=short (systemd 252)."""
    tree = make_tree(tmp_path / "tree", {name: text for name, text in TREE.items() if "loader.conf" not in name})
    witness = bootctl_list(tree, tmp_path / "mnt")
    found = read(tree).entries
    assert [entry.id for entry in found] == [row["id"] for row in witness]
    for entry, row in zip(found, witness, strict=True):
        assert entry.title == row["title"]
        assert entry.version == row.get("version")
        assert entry.cmdline == row.get("options", "")
        assert (entry.tries_left, entry.tries_done) == (row.get("triesLeft"), row.get("triesDone"))
        assert [ref.path for ref in entry.initrd] == row.get("initrd", [])
        assert entry.linux is not None
        assert entry.linux.path == row["linux"]


def test_a_default_goes_first_and_says_why(tmp_path: Path) -> None:
    found = read(make_tree(tmp_path, dict(TREE)))
    assert found.timeout == 5
    first = found.entries[0]
    assert (first.id, first.default, first.rank) == ("debian-6.1.conf", True, 0)
    assert first.cmdline == "root=UUID=1 ro quiet"
    assert first.trace[-1] == "the default: esp:/loader/loader.conf says debian-6.1*"
    assert [entry.rank for entry in found.entries] == list(range(len(found.entries)))
    assert read(tmp_path, default="arch*").entries[0].id == "arch.conf"


def test_boot_counting_is_read(tmp_path: Path) -> None:
    entries = {entry.id: entry for entry in read(make_tree(tmp_path, dict(TREE))).entries}
    assert (entries["arch.conf"].tries_left, entries["arch.conf"].tries_done) == (2, 1)
    assert "boot counting: 2 tries left, 1 done" in entries["arch.conf"].trace
    assert entries["debian-6.1.0-56.conf"].rank == len(entries) - 1
    assert entries["nokey-2.conf"].tries_left is None


@pytest.mark.parametrize(("name", "expected"), [
    ("a+3-1.conf", ("a.conf", 3, 1)), ("a+3.conf", ("a.conf", 3, 0)), ("a.conf", ("a.conf", None, None)),
    ("a+b+0-9.conf", ("a+b.conf", 0, 9)), ("a+.conf", ("a+.conf", None, None)),
    ("a+-1.conf", ("a+-1.conf", None, None)),
    ("a+1-.conf", ("a+1-.conf", None, None)), ("+1.conf", (".conf", 1, 0)), ("a+٣.conf", ("a+٣.conf", None, None)),
    ("a+9999999999.conf", ("a+9999999999.conf", None, None)),
])
def test_counters_in_names(name: str, expected: tuple[str, int | None, int | None]) -> None:
    assert split_counter(name, ".conf") == expected


def test_every_key_of_the_specification(tmp_path: Path) -> None:
    entry = only(tmp_path, "title T\nversion 1\nmachine-id m\nsort-key s\nlinux /l\ninitrd /i\noptions o\n"
                           "devicetree /d\ndevicetree-overlay /a /b\narchitecture x64\n")
    assert (entry.title, entry.version, entry.machine_id, entry.sort_key) == ("T", "1", "m", "s")
    assert entry.devicetree is not None
    assert entry.devicetree.path == "/d"
    assert [ref.path for ref in entry.devicetree_overlay] == ["/a", "/b"]
    assert entry.hidden is None


@pytest.mark.parametrize(("key", "field"), [("efi", "efi"), ("uki", "uki"), ("multiboot", "multiboot")])
def test_what_is_started_has_one_key(tmp_path: Path, key: str, field: str) -> None:
    entry = only(tmp_path, f"{key} /x\n")
    assert entry.kernel is getattr(entry, field) is not None
    assert (entry.cmdline is None) is (key == "uki")


def test_a_uki_of_a_profile(tmp_path: Path) -> None:
    assert only(tmp_path, "uki /EFI/x.efi\nprofile 2\n").profile == 2


@pytest.mark.parametrize(("text", "reason"), [
    ("uki-url https://example.org/x.efi\n", "network"), ("linux /l\narchitecture aa64\n", "aa64"),
    ("linux /l\noptions $kernelopts\n", "GRUB"),
])
def test_what_cannot_be_started_is_hidden_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    hidden = only(tmp_path, text).hidden
    assert hidden is not None
    assert reason in hidden


@pytest.mark.parametrize("text", [
    "title nothing\n", "linux\n", "linux /a\nefi /b\n", "linux ../../etc/shadow\n", "linux /a/../../b\n", "linux /\n",
    "linux /a\ninitrd /x/../../y\n", "uki /u\nprofile minus\n", b"linux /a\0b\n", b"linux \xff\xfe\n",
    "linux /" + "a" * 5000 + "\n", "options " + "x" * 70000 + "\nlinux /a\n", "#\n" * 5000, b"x" * (2 << 20),
])
def test_a_broken_entry_is_a_problem_and_the_others_stay(tmp_path: Path, text: str | bytes) -> None:
    found = read(make_tree(tmp_path, {"loader/entries/bad.conf": text, "loader/entries/good.conf": "linux /l\n"}))
    assert [entry.id for entry in found.entries] == ["good.conf"]
    problem, = found.problems
    assert problem.source == "esp:/loader/entries/bad.conf"
    assert problem.error


@pytest.mark.parametrize("text", [
    "linux /l\r\noptions a\r\n", "\ufefflinux /l\noptions a\n", "linux\t/l\noptions\t a \n", "options a\nlinux l"])
def test_text_as_people_write_it(tmp_path: Path, text: str) -> None:
    entry = only(tmp_path, text)
    assert entry.linux is not None
    assert (entry.linux.path, entry.cmdline) == ("/l", "a")


def test_a_link_that_leads_out_is_a_problem(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"loader/entries/good.conf": "linux /l\n"})
    make_tree(tmp_path, {"outside.conf": "linux /evil\n"})
    Path(tree, "loader/entries/evil.conf").symlink_to("../../../outside.conf")
    Path(tree, "loader/entries/loop.conf").symlink_to("loop.conf")
    found = read(tree)
    assert [entry.id for entry in found.entries] == ["good.conf"]
    assert "leads out of the volume" in found.problems[0].error
    assert len(found.problems) == 2


def test_boot_in_the_root_file_system(tmp_path: Path) -> None:
    """Fedora without a partition for /boot: paths are those of /boot all the same."""
    found = read(make_tree(tmp_path, {"boot/vmlinuz-6": "k", "boot/initramfs-6.img": "i",
                                      "boot/loader/entries/f.conf": "linux /vmlinuz-6\ninitrd /initramfs-6.img\n"}))
    entry, = found.entries
    assert entry.linux is not None
    assert (entry.linux.path, entry.initrd[0].path) == ("/boot/vmlinuz-6", "/boot/initramfs-6.img")


@pytest.mark.parametrize(("kernel", "initrd"), [
    ("boot/vmlinuz-6.1.0-9-amd64", "boot/initrd.img-6.1.0-9-amd64"),
    ("vmlinuz-6.5-200.fc39", "initramfs-6.5-200.fc39.img"),
    ("boot/vmlinuz-linux", "boot/initramfs-linux.img"), ("boot/vmlinuz-6.4-default", "boot/initrd-6.4-default"),
    ("boot/vmlinuz-lts", "boot/initramfs-lts"), ("boot/vmlinuz-5", None),
])
def test_kernels_are_found_where_there_is_no_configuration(tmp_path: Path, kernel: str, initrd: str | None) -> None:
    tree = make_tree(tmp_path, {kernel: "k", "etc/os-release": 'PRETTY_NAME="Some Linux"\n',
                                **({initrd: "i"} if initrd else {})})
    entry, = read(tree).entries
    assert entry.linux is not None
    assert entry.linux.path == f"/{kernel}"
    assert [ref.path for ref in entry.initrd] == ([f"/{initrd}"] if initrd else [])
    assert entry.title.startswith("Some Linux")
    assert "no boot configuration" in entry.trace[0]


def test_kernels_are_not_looked_for_where_there_is_a_configuration(tmp_path: Path) -> None:
    found = read(make_tree(tmp_path, dict(TREE) | {"boot/vmlinuz-9": "k"}))
    assert all(entry.dialect == "bls1" for entry in found.entries)


def test_dialects_can_be_chosen(tmp_path: Path) -> None:
    assert not read(make_tree(tmp_path, dict(TREE)), dialects=["bls2"]).entries
    assert {dialect.name for dialect in DIALECTS} == {
        "bls1", "bls2", "ospkg", "grub", "syslinux", "kboot", "yaboot", "found"}


@pytest.mark.parametrize(("text", "timeout", "default"), [
    ("timeout 7\n", 7.0, None), ("timeout menu-force\n", 3600.0, None), ("timeout menu-hidden\n", 0.0, None),
    ("default a*\n", None, "a*"), ("default @saved\n", None, None), ("", None, None),
])
def test_loader_conf(text: str, timeout: float | None, default: str | None) -> None:
    conf = parse_loader_conf(text.encode())
    assert (conf.timeout, conf.default) == (timeout, default)


@pytest.mark.parametrize("text", ["timeout soon\n", "timeout -1\n", "timeout ٣\n", "timeout " + "9" * 40 + "\n"])
def test_a_loader_conf_that_lies_is_a_problem(tmp_path: Path, text: str) -> None:
    found = read(make_tree(tmp_path, dict(TREE) | {"loader/loader.conf": text}))
    assert found.timeout is None
    assert any("loader.conf" in problem.source for problem in found.problems)


def test_a_timeout_that_is_none_costs_only_itself(tmp_path: Path) -> None:
    found = read(make_tree(tmp_path, dict(TREE) | {"loader/loader.conf": "timeout soon\ndefault arch*\n"}))
    assert found.entries[0].id == "arch.conf"


@pytest.mark.parametrize(("conf", "first"), [
    ("preferred debian-6.1.0*\n", "arch.conf"), ("preferred debian-6.1*\n", "debian-6.1.conf"),
    ("default debian-6.1.0*\n", "debian-6.1.0-56.conf"), ("default arch*\npreferred nokey*\n", "nokey-10.conf"),
    ("default arch*\npreferred debian-6.1.0*\n", "arch.conf"), ("default absent*\n", "arch.conf"),
])
def test_a_preferred_entry_has_tries_left(tmp_path: Path, conf: str, first: str) -> None:
    """Only `preferred` passes over an entry whose tries are used up. Spec: loader.conf(5), systemd 260."""
    found = read(make_tree(tmp_path, dict(TREE) | {"loader/loader.conf": conf}))
    assert found.entries[0].id == first


def test_an_entry_without_tries_says_why_it_is_last(tmp_path: Path) -> None:
    last = read(make_tree(tmp_path, dict(TREE))).entries[-1]
    assert "no tries left: it goes after all others" in last.trace


def test_a_broken_configuration_is_one_too(tmp_path: Path) -> None:
    found = read(make_tree(tmp_path, {"loader/entries/x.conf": "title x\n", "boot/vmlinuz-6": "k"}))
    assert not found.entries
    assert len(found.problems) == 1


def test_boot_that_is_a_link_to_itself(tmp_path: Path) -> None:
    """As on the /boot partitions of Red Hat, SUSE and Debian: each entry is there once."""
    tree = make_tree(tmp_path, {"loader/entries/x.conf": "linux /vmlinuz-6\n", "vmlinuz-6": "k"})
    Path(tree, "boot").symlink_to(".")
    entry, = read(tree).entries
    assert (entry.id, entry.title) == ("x.conf", "x.conf")


def test_what_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    found = read(make_tree(tmp_path, {"loader/entries/._x.conf": b"\0\5\x16", "loader/entries/README": "x",
                                      "loader/entries/A+1.CONF": "linux /l\n", "EFI/Linux/._x.efi": b"\0"}))
    assert [(entry.id, entry.tries_left) for entry in found.entries] == [("A.CONF", 1)]
    assert not found.problems


@pytest.mark.parametrize("text", ["options a\x1bb\nlinux /l\n", "options a\rb\nlinux /l\n", "linux /l\x7f\n"])
def test_control_characters_get_nowhere(tmp_path: Path, text: str) -> None:
    found = read(make_tree(tmp_path, {"loader/entries/x.conf": text}))
    assert not found.entries
    assert found.problems


def test_the_rest_beside_a_kernel_is_no_kernel(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, {"boot/vmlinuz-6": "k", "boot/vmlinuz-6.old": "k", "boot/vmlinux-6.gz": "k",
                                "boot/vmlinuz-6.p7s": "s", "etc/os-release": "#" * (1 << 17)})
    entry, = read(tree).entries
    assert entry.title == "vmlinuz-6"


def test_extra_resources_are_not_handed_over_in_silence(tmp_path: Path) -> None:
    assert any("not handed over" in sentence for sentence in only(tmp_path, "linux /l\nextra /x.cred\n").trace)


def test_a_terminal_gets_no_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path, {"loader/entries/x.conf": "title \x1b]0;evil\x07\nlinux /l\n"})
    assert main(["entries", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in said)


@pytest.mark.parametrize(("pattern", "text", "expected"), [
    ("*", "a", True), ("a*", "ab", True), ("a?c", "abc", True), ("a?c", "ac", False), ("[a-c]x", "bx", True),
    ("[!a-c]x", "bx", False), ("A*", "abc", True), ("*.conf", "a.conf", True), ("a*b*c", "aXbYc", True),
    ("a*b*c", "aXbY", False), ("[", "[", True), ("[]", "[]", True), ("", "", True), ("", "a", False),
])
def test_globs(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@given(st.text("a*?[]!-b", max_size=40), st.text("ab", max_size=60))
def test_no_glob_takes_long(pattern: str, text: str) -> None:
    survives(lambda _data: matches(pattern * 3, text * 3), b"")


@given(st.binary(max_size=300))
def test_no_text_ends_the_reading(data: bytes) -> None:
    from shim.formats.bls import parse_lines

    survives(parse_lines, data)
    try:
        parse_loader_conf(data)
    except ShimError as problem:
        assert str(problem)


def test_the_json_is_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path, dict(TREE) | {"loader/entries/bad.conf": "title x\n"})
    assert main(["entries", "--json", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "bootshim.entries/1"
    assert list(said) == ["schema", "entries", "problems", "volumes"]
    assert list(said["entries"][0]) == [
        "id", "title", "version", "dialect", "source", "linux", "initrd", "cmdline", "devicetree", "efi", "ospkg",
        "multiboot", "modules", "default", "rank", "tries_left", "tries_done", "hidden", "trace", "volume"]
    assert said["entries"][0]["source"] == "/loader/entries/debian-6.1.conf:1"
    assert list(said["problems"][0]) == ["source", "error"]


def test_nothing_to_boot_is_a_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["entries", str(tmp_path)]) == 1
    assert "no boot entry" in capsys.readouterr().out
    assert main(["entries", str(tmp_path / "absent")]) == 2


@pytest.mark.tools
def test_a_kernel_package_is_found_as_it_is_unpacked() -> None:
    entry = read(debian.kernel().directory).entries[0]
    assert entry.version == debian.kernel().release


def test_what_is_folded_goes_by_both_names(tmp_path: Path) -> None:
    """A menu's entry that a BLS file has, too; entries of type 1 and 2 for one UKI stay two, as in systemd-boot."""
    tree = make_tree(tmp_path, {
        "vmlinuz": "k", "loader/entries/one.conf": "title One\nlinux /vmlinuz\noptions ro\n",
        "grub/grub.cfg": "menuentry 'From the menu' --id menu {\n linux /vmlinuz ro\n}\n",
    })
    for default in ("one.conf", "menu"):
        entry, = read(tree, default=default).entries
        assert (entry.id, entry.aliases, entry.default) == ("one.conf", ("menu",), True)
