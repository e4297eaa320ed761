"""What systemd-stub makes of a UKI's sections and of what lies beside it. tests/vm/test_stub.py has the witness."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from shim.errors import FormatError
from shim.formats.cpio import parse_cpio
from shim.formats.pe import SECTION_HEADER, parse_pe
from shim.formats.stub import (
    PLACES,
    Addon,
    ExtraKind,
    extend_cmdline,
    extra_directory,
    is_plain,
    kind_of,
    pack_embedded,
    pack_place,
    parse_addon,
)
from shim.formats.uki import split_uki
from tests.builders.sections import sectioned_pe
from tests.unit.hostile import cuts, mutations, survives

X64 = 0x8664
GOLDEN = Path(__file__).parents[1] / "golden/stub"
ADDON = sectioned_pe((".sbat", b"sbat,1"), (".uname", b"6.1.0"), (".cmdline", b"\ta b\n\0"), (".initrd", b"070701"),
                     (".ucode", b"microcode"), (".dtb", b"tree"))


@pytest.mark.parametrize(("path", "directory"), [
    ("/EFI/Linux/foo.efi", "/EFI/Linux/foo.efi.extra.d"),
    ("/EFI/Linux/foo+3.efi", "/EFI/Linux/foo.efi.extra.d"),
    ("/EFI/Linux/foo+3-1.efi", "/EFI/Linux/foo.efi.extra.d"),
    ("/foo+0-0", "/foo.extra.d"),
    ("/foo+3-1.efi.bak", "/foo.efi.bak.extra.d"),
    ("/foo+.efi", "/foo+.efi.extra.d"),
    ("/foo+3-.efi", "/foo+3-.efi.extra.d"),
    ("/foo+3x.efi", "/foo+3x.efi.extra.d"),
    ("/foo+-1.efi", "/foo+-1.efi.extra.d"),
    ("/foo+3+2.efi", "/foo+3+2.efi.extra.d"),
    ("/a+b/foo+3.efi", "/a+b/foo+3.efi.extra.d"),  # the stub looks at the first "+" of the whole path only
    ("/foo+1.2+3.efi", "/foo.2+3.efi.extra.d"),
    ("/foo+\u0663.efi", "/foo+\u0663.efi.extra.d"),
    (f"/foo+{1 << 64}.efi", f"/foo+{1 << 64}.efi.extra.d"),
    (f"/foo+{(1 << 64) - 1}.efi", "/foo.efi.extra.d"),
    ("/foo+" + "9" * 5000, "/foo+" + "9" * 5000 + ".extra.d"),
])  # fmt: skip
def test_the_directory_of_what_belongs_to_a_uki_has_no_counter(path: str, directory: str) -> None:
    assert extra_directory(path) == directory


@pytest.mark.parametrize(("name", "kind"), [
    ("a.addon.efi", ExtraKind.ADDON), ("A.ADDON.EFI", ExtraKind.ADDON), ("a.efi", None), ("addon.efi", None),
    ("a.cred", ExtraKind.CREDENTIAL), ("a.CRED", ExtraKind.CREDENTIAL), ("a.cred.bak", None), (".cred", None),
    ("a.sysext.raw", ExtraKind.SYSEXT), ("a.raw", ExtraKind.SYSEXT), ("a.confext.raw", ExtraKind.CONFEXT),
    ("a.ConfExt.RAW", ExtraKind.CONFEXT), (".a.raw", None), ("..addon.efi", None), ("", None),
])  # fmt: skip
def test_a_name_says_what_a_file_is(name: str, kind: ExtraKind | None) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize("name", ["\u00e9.cred", "a\n.cred", "a\x7f.cred", "../a.cred", "a/b.cred", "a" * 251 + ".cred",
                                  "\udcff.cred"])
def test_names_that_are_not_plain(name: str) -> None:
    assert not is_plain(name)
    assert is_plain("a b.cred")
    assert is_plain("a" * 250 + ".cred")


def test_an_addon_is_read() -> None:
    addon = parse_addon(ADDON, b"6.1.0", X64)
    assert (addon.cmdline, addon.has_devicetree) == ("a b", True)
    assert (bytes(addon.initrd or b""), bytes(addon.ucode or b"")) == (b"070701", b"microcode")
    assert parse_addon(ADDON, None, X64) == addon, "a UKI without .uname takes any"
    assert parse_addon(ADDON, b"6.1.0\0\0", X64) == addon
    plain = parse_addon(sectioned_pe((".cmdline", b"x")), b"6.1.0", X64)
    assert (plain.initrd, plain.ucode, plain.has_devicetree) == (None, None, False)


@pytest.mark.parametrize(("data", "reason"), [
    (b"MZ", "too short|cut short"), (b"", "cut short"), (b"plain text, longer than any header" * 9, "no MZ"),
    (sectioned_pe((".cmdline", b"x"), machine=0xAA64), "for another machine"),
    (sectioned_pe((".linux", b"MZ"), (".cmdline", b"x")), "a UKI is no add-on"),
    (sectioned_pe((".sbat", b"x"), (".cmdline", b"")), "nothing to add"),
    (sectioned_pe((".profile", b"ID=a"), (".cmdline", b"x")), "nothing to add"),
    (sectioned_pe((".uname", b"6.1.0-2"), (".cmdline", b"x")), "for another kernel"),
    (sectioned_pe((".uname", b"6.1"), (".cmdline", b"x")), "for another kernel"),
    (sectioned_pe((".cmdline", b"\xff")), "not UTF-8"), (sectioned_pe((".cmdline", b"a\0b")), "NUL inside"),
    (ADDON[:-0x200], "outside the file"), (sectioned_pe((".cmdline", bytes(300_000))), "too long"),
])  # fmt: skip
def test_what_is_no_addon_for_this_uki(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_addon(data, b"6.1.0", X64)


def test_an_addon_may_be_cut_anywhere_and_every_number_of_its_sections_may_lie() -> None:
    for data in cuts(ADDON, 13):
        survives(lambda given: parse_addon(given, b"6.1.0", X64), data)
    pe = parse_pe(ADDON)
    for number in range(len(pe.sections)):
        at = pe.headers_end - (len(pe.sections) - number) * SECTION_HEADER.size
        for what, data in mutations(SECTION_HEADER, ADDON, at):
            survives(lambda given: parse_addon(given, None, X64), data, what)


@pytest.mark.parametrize(("own", "added", "whole"), [
    ("a", (), "a"), ("a", ("b", "c"), "a b c"), ("", ("b",), "b"), ("a", ("",), "a"), ("a", ("", "b"), "a b"),
    ("a", ("b", ""), "a b"), ("a", ("b", "", "c"), "a b  c"), ("", (), ""),
])  # fmt: skip
def test_command_lines_of_addons_are_appended(own: str, added: tuple[str, ...], whole: str) -> None:
    addons = [Addon(cmdline=text, initrd=None, ucode=None, has_devicetree=False) for text in added]
    assert extend_cmdline(own, addons) == whole


def test_sections_become_files() -> None:
    uki = split_uki(sectioned_pe((".linux", b"MZ"), (".osrel", b"ID=a\n"), (".pcrpkey", b"key"), (".pcrsig", b""),
                                 (".profile", b"ID=main"), (".pcrsig", b"{}"), (".profile", b"ID=other")))
    archives, found = pack_embedded(uki), []
    for archive in archives.split(b"TRAILER!!!\0\0\0\0")[:-1]:
        directory, file = parse_cpio(archive + b"TRAILER!!!\0\0\0\0")
        assert (directory.path, directory.mode, directory.nlink, file.mode) == (".extra", 0o40555, 1, 0o100444)
        found.append((file.path, bytes(file.data)))
    assert found == [(".extra/tpm2-pcr-signature.json", b"{}"), (".extra/tpm2-pcr-public-key.pem", b"key"),
                     (".extra/os-release", b"ID=a\n"), (".extra/profile", b"ID=main")]


def test_the_stub_itself_has_measured_the_same() -> None:
    """WITNESS: tests/golden/stub. What is measured are the archives, and the text that add-ons append."""
    events = {event["what"]: event["sha256"] for event in json.loads((GOLDEN / "events.json").read_text())}
    files = {
        "credentials": [("Two.CRED", b"second" * 1000), ("one.cred", b"first")],
        "global_credentials": [("all.cred", b"for all")],
        "sysext": [("ext.sysext.raw", bytes(range(256)) * 33), ("plain.raw", b"plain")],
        "confext": [("conf.confext.raw", b"configuration")],
    }
    for place in PLACES:
        what = place.directory.rpartition("/")[2]
        assert hashlib.sha256(pack_place(place, files[what])).hexdigest() == events[what]
    texts = ("global=1", "", "global=2", "own=B", "own=a")
    line = extend_cmdline("", [Addon(cmdline=text, initrd=None, ucode=None, has_devicetree=False) for text in texts])
    assert hashlib.sha256(f"{line}\0".encode("utf-16-le")).hexdigest() == events["command lines of add-ons"]


def test_an_archive_is_the_stubs_byte_by_byte() -> None:
    """The same from the layout, with what the golden file has not: an empty file."""

    def member(number: int, mode: int, path: bytes, data: bytes = b"") -> bytes:
        words = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % word for word in words) + path + b"\0"
        return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)

    trailer = b"070701" + b"0" * 32 + b"00000001" + b"0" * 48 + b"0000000B" + b"0" * 8 + b"TRAILER!!!" + bytes(4)
    place = next(place for place in PLACES if place.kind is ExtraKind.CREDENTIAL)
    assert pack_place(place, [("a.cred", b"12345"), ("b.cred", b"")]) == (
        member(1, 0o40555, b".extra") + member(2, 0o40500, b".extra/credentials")
        + member(3, 0o100400, b".extra/credentials/a.cred", b"12345")
        + member(4, 0o100400, b".extra/credentials/b.cred") + trailer)
