"""Configurations of the SYSLINUX family: the grammar, what is started, which menu and which default."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shim.entries import EntryList, read_entries
from shim.entries.syslinux import VARIANTS
from shim.entries.syslinux import limits as lim
from shim.entries.syslinux.paths import resolve
from shim.entries.syslinux.start import NAMES, REFUSED, sysappend
from shim.errors import EntryError, FetchError, ShimError
from shim.model import Entry, PartitionKind, Volume
from shim.system.memory_files import MemoryFiles

CONFIG = "/boot/syslinux/syslinux.cfg"
FILES = {f"/{name}": b"x" for name in ("vmlinuz", "initrd.img", "ucode.img", "other", "board.dtb", "a.dtbo", "b.dtbo")}
ROOT = Volume(name="vda1", uuid="AB-12")
LABEL = "LABEL a\n KERNEL /vmlinuz\n"


def read(text: str | bytes, files: Mapping[str, bytes | ShimError] = {}, path: str = CONFIG) -> EntryList:
    data = text.encode() if isinstance(text, str) else text
    tree: dict[str, bytes | ShimError] = {**FILES, path: data, **files}
    return read_entries([(ROOT, MemoryFiles(tree))], dialects=["syslinux"])


def one(text: str, files: Mapping[str, bytes] = {}) -> Entry:
    entry, = read(text, files).entries
    return entry


def ids(found: EntryList) -> list[str]:
    return [entry.id for entry in found.entries]


@pytest.mark.parametrize(("text", "cmdline", "initrds"), [
    (LABEL, "", ""),
    ("label a\nlinux /vmlinuz\nappend  root=/dev/sda1  ro \r\n", "root=/dev/sda1  ro", ""),
    ("APPEND common\n" + LABEL, "common", ""), ("APPEND common\n" + LABEL + "APPEND own", "own", ""),
    (LABEL + "APPEND common", "common", ""), ("APPEND common\n" + LABEL + "APPEND -", "", ""),
    (LABEL + "APPEND a\nAPPEND b", "b", ""), ("LABEL a\nKERNEL /vmlinuz quiet\nAPPEND ro", "quiet ro", ""),
    (LABEL + "APPEND ro initrd=/initrd.img quiet", "ro quiet", "/initrd.img"),
    (LABEL + "APPEND initrd=/ucode.img,/initrd.img ro", "ro", "/ucode.img /initrd.img"),
    (LABEL + "APPEND initrd=/other ro initrd=/initrd.img", "ro", "/initrd.img"),
    (LABEL + "APPEND initrd=/other ro\nINITRD /initrd.img", "ro", "/initrd.img"),
    (LABEL + "INITRD /ucode.img,/initrd.img", "", "/ucode.img /initrd.img"),
    (LABEL + "INITRD\t/initrd.img\nAPPEND\troot=x\tro", "root=x ro", "/initrd.img"),
    ("APPEND initrd=/initrd.img\n" + LABEL, "", "/initrd.img"),
    (LABEL + "SYSAPPEND 0x40000", "FSUUID=AB-12", ""), (LABEL + "IPAPPEND 3\nAPPEND ro", "ro", ""),
    ("SYSAPPEND 262144\n" + LABEL, "FSUUID=AB-12", ""), ("SYSAPPEND 0x40000\n" + LABEL + "SYSAPPEND 0", "", ""),
    ("LABEL a\nCOM32 linux.c32 /vmlinuz ro initrd=/initrd.img\n", "ro", "/initrd.img"),
    ("LABEL a\nKERNEL linux.c32\nAPPEND -dhcp /vmlinuz ro\n", "ro", ""),
])
def test_what_a_label_starts(text: str, cmdline: str, initrds: str) -> None:
    entry = one(text)
    assert (str(entry.linux), entry.cmdline, entry.hidden) == ("vda1:/vmlinuz", cmdline, None)
    assert " ".join(ref.path for ref in entry.initrd) == initrds


def test_an_entry_says_where_it_comes_from() -> None:
    """The files that it was read from are those that a policy may judge; the trace has file and line."""
    found = read("DEFAULT a\nINCLUDE more.cfg\n", {"/boot/syslinux/more.cfg": b"\n" + LABEL.encode()})
    entry, = found.entries
    assert entry.source == "/boot/syslinux/more.cfg:2"
    assert [str(ref) for ref in entry.configuration] == [f"vda1:{CONFIG}", "vda1:/boot/syslinux/more.cfg"]
    assert entry.trace == ("/boot/syslinux/more.cfg:2: LABEL a", f"the default: DEFAULT of {CONFIG}:1 says a")
    assert not found.problems


@pytest.mark.parametrize(("line", "hidden"), [
    *((f"{kind.upper()} x", reason) for kind, reason in REFUSED.items()),
    ("KERNEL chain.c32\nAPPEND hd0 1", "chain.c32 starts"), ("COM32 reboot", "it restarts"),
    ("KERNEL /boot/poweroff.c32", "it switches"), ("KERNEL hdt.c32", "hdt.c32 is a program that only"),
    ("KERNEL pxelinux.0", "pxelinux.0: a network boot program"), ("KERNEL win.bin", "win.bin: a boot sector"),
    ("KERNEL dos.bss", "dos.bss: a boot sector"), ("KERNEL x.bs", "x.bs: a boot sector"),
    ("KERNEL x.cbt", "x.cbt: a COMBOOT"), ("LINUX memdisk\nINITRD dos.img", "memdisk emulates"),
    ("KERNEL /vmlinuz#conf-1", "a configuration of a FIT"), ("KERNEL", "it names no kernel"),
    ("KERNEL /no", "not there"), ("KERNEL /vmlinuz\nINITRD /no", "not there"),
    ("KERNEL http://host/vmlinuz", "on the network"),
    ("KERNEL 10.0.0.1::vmlinuz", "on the network"), ("KERNEL ../../../vmlinuz", "climb"),
    ("KERNEL /vmlinuz\nFDT /no.dtb", "not there"), ("KERNEL /vmlinuz\nFDTOVERLAYS /a.dtbo /no", "not there"),
    ("KERNEL /vmlinuz\nMENU HIDE", "MENU HIDE"), ("KERNEL /vmlinuz\nMENU DISABLE", "MENU DISABLE"),
    ("KERNEL /vmlinuz\nMENU PASSWD x", "password"), ("KERNEL /vmlinuz\nAPPEND a\x1bb", "control character"),
    ("KERNEL ifcpu64.c32\nAPPEND nothing -- b", "leads to nothing"), ("KERNEL whichsys.c32\nAPPEND -pxe- a", "-sys-"),
    ("KERNEL ifcpu64.c32\nAPPEND a -- b", "leads to a"),
    ("KERNEL /vmlinuz\nAPPEND " + "x" * (lim.CMDLINE_SIZE_MAX + 1), "too long"),
])
def test_what_cannot_be_started_is_hidden_with_the_reason(line: str, hidden: str) -> None:
    found = read(f"LABEL first\nKERNEL /other\nLABEL a\n{line}\n")
    first, entry = found.entries
    assert first.id == "first"
    assert entry.id == "a"
    assert entry.hidden is not None
    assert hidden in entry.hidden
    assert not found.problems


def test_a_command_line_that_is_not_utf8_is_not_guessed_at() -> None:
    entry, = read(LABEL.encode() + b"APPEND a\xff").entries
    assert entry.hidden == "its command line or its kernel's name is not UTF-8"


def test_mboot_is_explained() -> None:
    entry = one("LABEL xen\nKERNEL mboot.c32\nAPPEND /other dom0_mem=1 --- /vmlinuz root=x --- /initrd.img\n")
    assert (str(entry.multiboot), entry.cmdline, entry.hidden) == (
        "vda1:/other", "dom0_mem=1", "mboot.c32: multiboot kernels are not started")
    assert [ref.path for ref in entry.modules] == ["/vmlinuz", "/initrd.img"]


def test_device_trees_of_u_boot() -> None:
    entry = one(LABEL + "FDT /board.dtb\nFDTOVERLAYS /a.dtbo /b.dtbo\n")
    assert str(entry.devicetree) == "vda1:/board.dtb"
    assert [ref.path for ref in entry.devicetree_overlay] == ["/a.dtbo", "/b.dtbo"]
    entry = one(LABEL + "FDTDIR /dtbs/\n")
    assert (entry.hidden, entry.devicetree) == (None, None)
    assert any("only U-Boot knows" in sentence for sentence in entry.trace)


@pytest.mark.parametrize(("kernel", "more"), [("ifcpu64.c32", "b -- c"), ("whichsys.c32", "-pxe- c -sys- b -iso- c")])
def test_modules_that_choose_a_label_are_seen_through(kernel: str, more: str) -> None:
    found = read(f"LABEL a\nMENU LABEL Both\nCOM32 {kernel}\nAPPEND {more}\nLABEL b\nLINUX /vmlinuz\nAPPEND b\n")
    assert [(entry.id, entry.title, entry.cmdline) for entry in found.entries] == [("a", "Both", "b"), ("b", "b", "b")]
    assert any("LABEL b" in sentence for sentence in found.entries[0].trace)


A, B = LABEL, "LABEL b\n KERNEL /other\n"
MENU = f"{A}MENU BEGIN sub\nMENU TITLE Sub\nLABEL in\nKERNEL /vmlinuz in\nMENU END\n{B}"


@pytest.mark.parametrize(("text", "order", "says"), [
    (A + B, "a b", "the first entry of"), ("DEFAULT b\n" + A + B, "b a", "DEFAULT of"),
    ("DEFAULT a\nDEFAULT b\n" + A + B, "b a", ":2 says b"), ("ONTIMEOUT b\nDEFAULT a\n" + A + B, "b a", "ONTIMEOUT of"),
    ("UI menu.c32\n" + A + B + "MENU DEFAULT\n", "b a", "MENU DEFAULT of"),
    ("UI menu.c32\nDEFAULT a\n" + A + B + "MENU DEFAULT\n", "a b", "DEFAULT of"),
    ("DEFAULT vesamenu.c32\n" + A + B + "MENU DEFAULT\n", "b a", "MENU DEFAULT of"),
    ("DEFAULT /boot/menu.c32\n" + A + B, "a b", "the first entry of"),
    ("DEFAULT nothing\n" + A + B, "a b nothing", "the first entry of"),
    ("DEFAULT menu.c32\n" + MENU, "a in b", "first"), ("DEFAULT in\n" + MENU, "in a b", "says in"),
    ("DEFAULT menu.c32\n" + MENU.replace("MENU TITLE", "MENU DEFAULT\nMENU TITLE"), "in a b", "the first entry of"),
    ("DEFAULT menu.c32\n" + MENU.replace("MENU TITLE", "MENU START\nMENU TITLE"), "in a b", "the first entry of"),
    ("DEFAULT local\nLABEL local\nLOCALBOOT 0\n" + A, "a local", ""),
    ("DEFAULT menu.c32\nLABEL local\nLOCALBOOT 0\n" + A, "a local", "the first entry of"),
    ("DEFAULT a\n" + A + "MENU HIDE\n" + B, "a b", "DEFAULT of"),
    ("DEFAULT a\n" + A + "MENU DISABLE\n" + B, "b a", ""),
])
def test_what_is_started_when_nobody_presses_a_key(text: str, order: str, says: str) -> None:
    found = read(text)
    assert ids(found) == order.split()
    assert found.entries[0].default == bool(says)
    assert found.entries[0].hidden is None
    assert says in found.entries[0].trace[-1]


def test_a_default_may_name_a_kernel() -> None:
    found = read("APPEND common\nDEFAULT /vmlinuz initrd=/initrd.img quiet\n" + B)
    first = found.entries[0]
    assert (first.id, str(first.linux), first.cmdline, first.default) == (
        "/vmlinuz", "vda1:/vmlinuz", "common quiet", True)
    assert first.source == f"{CONFIG}:2"
    assert ids(read("DEFAULT /vmlinuz\n")) == ["/vmlinuz"]


def test_a_default_with_words_more_is_an_entry_of_its_own() -> None:
    found = read("DEFAULT a single\n" + A + "APPEND ro\n")
    assert [(entry.title, entry.cmdline) for entry in found.entries] == [("a single", "ro single"), ("a", "ro")]


def test_a_name_with_blanks_is_a_label_of_u_boot() -> None:
    found = read("default Second one\nlabel First one\nlinux /vmlinuz\nlabel Second one\nlinux /other\n")
    assert [(entry.title, entry.default) for entry in found.entries] == [("Second one", True), ("First one", False)]


@pytest.mark.parametrize("how", [
    "DEFAULT menu.c32 more.cfg\n", "UI vesamenu.c32 more.cfg\n", "DEFAULT vesamenu.c32 no.cfg more.cfg\n"])
def test_a_menu_may_be_in_another_file(how: str) -> None:
    more = b"LABEL m\nKERNEL /other\nLABEL n\nKERNEL /vmlinuz\nMENU DEFAULT"
    found = read(how + A, {"/boot/syslinux/more.cfg": more})
    assert ids(found) == ["n", "a", "m"]
    assert "MENU DEFAULT of /boot/syslinux/more.cfg" in found.entries[0].trace[-1]


@pytest.mark.parametrize("how", ["KERNEL menu.c32\nAPPEND deep/more.cfg", "CONFIG deep/more.cfg",
                                 "COM32 config.c32 deep/more.cfg", "CONFIG deep/more.cfg\nAPPEND /boot/syslinux"])
def test_a_label_that_opens_another_menu_is_that_menu(how: str) -> None:
    more = {"/boot/syslinux/deep/more.cfg": b"LABEL m\nKERNEL kernel\n", "/boot/syslinux/kernel": b"x"}
    found = read(f"LABEL deep\nMENU LABEL ^Deeper\n{how}\n{A}", more)
    entry = next(entry for entry in found.entries if entry.id == "m")
    assert (str(entry.linux), entry.menu_path) == ("vda1:/boot/syslinux/kernel", "Deeper>m")
    assert any("reads the menu /boot/syslinux/deep/more.cfg" in sentence for sentence in entry.trace)


def test_config_may_change_the_directory() -> None:
    more = {"/deep/more.cfg": b"LABEL m\nKERNEL kernel\n", "/deep/kernel": b"x"}
    entry = one("LABEL c\nCONFIG /deep/more.cfg /deep\n", more)
    assert str(entry.linux) == "vda1:/deep/kernel"
    assert [str(ref) for ref in entry.configuration] == [f"vda1:{CONFIG}", "vda1:/deep/more.cfg"]


def test_a_hidden_label_that_opens_a_menu_may_be_the_default() -> None:
    more = {"/boot/syslinux/more.cfg": b"LABEL m\nKERNEL /other\nLABEL n\nKERNEL /other n\n"}
    found = read("DEFAULT x\nLABEL x\nMENU HIDE\nCONFIG more.cfg\n" + A, more)
    assert [(entry.id, entry.default, bool(entry.hidden)) for entry in found.entries] == [
        ("m", True, False), ("a", False, False), ("n", False, True)]


def test_menus_that_lead_to_each_other_end() -> None:
    found = read("LABEL x\nCONFIG more.cfg\n" + A, {
        "/boot/syslinux/more.cfg": b"LABEL back\nCONFIG syslinux.cfg\nLABEL self\nCONFIG more.cfg\n" + B.encode()})
    assert ids(found) == ["b", "a"]


def test_a_label_that_leads_back_to_the_first_menu_is_no_entry() -> None:
    found = read(A + "LABEL back\nKERNEL menu.c32\nAPPEND ~\n")
    assert (ids(found), found.problems) == (["a"], ())


def test_a_tree_of_menus() -> None:
    text = ("MENU TITLE Top\n" + A + "MENU BEGIN one\nMENU LABEL ^One\n" + B.replace(" b", " one-b") +
            "MENU BEGIN\nMENU TITLE Two\nLABEL t\nMENU LABEL T^hird\nKERNEL /vmlinuz t\nLABEL back\nMENU LABEL ^Back\n"
            "MENU EXIT\nMENU END\nMENU SEPARATOR\nLABEL g\nMENU GOTO one\nLABEL q\nMENU QUIT\nMENU END\nMENU END\n" + B)
    assert [(entry.id, entry.title, entry.menu_path) for entry in read(text).entries] == [
        ("a", "a", "a"), ("one-b", "one-b", "One>one-b"), ("t", "Third", "One>Two>Third"), ("b", "b", "b")]


def test_what_looks_like_a_directive_in_a_text_is_none() -> None:
    assert ids(read(A + "TEXT HELP\nLABEL no\nKERNEL /other\n ENDTEXT\n" + B + "TEXT HELP\nLABEL no\n")) == ["a", "b"]


@pytest.mark.parametrize(("text", "seconds"), [
    (A, None), ("TIMEOUT 50\nPROMPT 1\n" + A, 5.0), ("TIMEOUT 50\n" + A, 0.0), ("TIMEOUT 50\nPROMPT 0\n" + A, 0.0),
    ("TIMEOUT 15\nUI menu.c32\n" + A, 1.5), ("UI menu.c32\n" + A, 3600.0), ("PROMPT 1\n" + A, 3600.0),
    ("timeout 50\nmenu title U-Boot\nprompt 0\n" + A, 5.0), ("TOTALTIMEOUT 90\nPROMPT 1\n" + A, 9.0),
    ("TIMEOUT x\nPROMPT 1\n" + A, 3600.0), ("TIMEOUT 99999999999999\nPROMPT 1\n" + A, 3600.0),
    ("PROMPT 0\n" + A, 0.0), ("TIMEOUT 30\nTIMEOUT 70\nPROMPT 1\n" + A, 7.0),
    ("DEFAULT vesamenu.c32\nTIMEOUT 300\n" + A, 30.0),
])
def test_how_long_the_menu_waits(text: str, seconds: float | None) -> None:
    assert read(text).timeout == seconds


def test_loader_conf_counts_before_it() -> None:
    found = read_entries([(ROOT, MemoryFiles({
        **FILES, CONFIG: f"PROMPT 1\nTIMEOUT 50\nDEFAULT a\n{A}{B}".encode(),
        "/loader/loader.conf": b"timeout 3\ndefault b\n"}))])
    assert (found.timeout, found.entries[0].id) == (3.0, "b")


@pytest.mark.parametrize(("name", "path"), [
    ("a", "/base/a"), ("./a//b", "/base/a/b"), ("/a", "/a"), ("../a", "/a"), ("..\\x\\a", "/x/a"), ("::a/b", "/a/b"),
    ("::/a", "/a"), ("\\EFI\\a", "/EFI/a"), ("a/../b", "/base/b"),
])
def test_paths(name: str, path: str) -> None:
    assert resolve(name, "/base") == path


@pytest.mark.parametrize("name", [
    "", "/", "..", "../..", "a/../../..", "1.2.3.4::a", "tftp://h/a", "a\x01b", "x" * 4097])
def test_what_is_no_path(name: str) -> None:
    with pytest.raises(EntryError):
        resolve(name, "/base")


def test_paths_may_be_relative_to_boot() -> None:
    entry, = read("LABEL a\nLINUX /kernel\nINITRD /rd\n", {"/boot/kernel": b"x", "/boot/rd": b"x"}).entries
    assert ([str(entry.linux), *map(str, entry.initrd)], entry.hidden) == (["vda1:/boot/kernel", "vda1:/boot/rd"], None)
    assert "its paths are relative to /boot, which is no volume of its own" in entry.trace


def test_sysappend_says_what_it_does_not_know() -> None:
    entry = one(LABEL + "IPAPPEND 3\n")
    assert "SYSAPPEND asks for ip BOOTIF, which is not known here" in entry.trace
    assert sysappend(3, {"ip": "1.2.3.4", "BOOTIF": "01-aa"}) == (["ip=1.2.3.4", "BOOTIF=01-aa"], None)
    assert sysappend(1 << len(NAMES) | 4, {}) == ([], "SYSUUID more")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_loader_looks_in_its_directories_in_their_order(variant: object) -> None:
    known = next(one for one in VARIANTS if one is variant)
    places = [f"{directory}/{name}" for directory in known.directories for name in known.names]
    for at, path in enumerate(places):
        files = {place: f"LABEL at{number}\nKERNEL /vmlinuz\n".encode() for number, place in enumerate(places[at:], at)}
        tree = MemoryFiles({**FILES, **files})
        first = read_entries([(ROOT, tree)], dialects=["syslinux"]).entries
        assert f"{path}:1" in [entry.source for entry in first]


def test_paths_of_a_tftp_root_begin_at_the_root() -> None:
    tree = MemoryFiles({"/pxelinux.cfg/default": b"LABEL a\nKERNEL linux\n", "/linux": b"x"})
    assert str(read_entries([(ROOT, tree)]).entries[0].linux) == "vda1:/linux"


def test_the_same_menu_for_two_loaders_is_read_once() -> None:
    """A live image has one for ISOLINUX, and the same for SYSLINUX beside it."""
    text = (A + B).encode()
    tree = MemoryFiles({**FILES, "/isolinux/isolinux.cfg": text, "/syslinux/syslinux.cfg": text})
    found = read_entries([(ROOT, tree)])
    assert ids(found) == ["a", "b"]


def test_an_esp_comes_before_all_others() -> None:
    root = MemoryFiles({"/extlinux/extlinux.conf": b"LABEL r\nKERNEL /k\n", "/k": b"x"})
    esp = MemoryFiles({"/EFI/BOOT/syslinux.cfg": b"LABEL e\nKERNEL /k\n", "/k": b"x"})
    found = read_entries([(Volume(name="vda2"), root), (Volume(name="vda1", kind=PartitionKind.ESP), esp)])
    assert [(entry.id, entry.volume, entry.default) for entry in found.entries] == [
        ("e", "vda1", True), ("r", "vda2", False)]


def test_other_dialects_come_first() -> None:
    """A BLS entry has no place in a menu; what both start is one entry."""
    found = read_entries([(ROOT, MemoryFiles({
        **FILES, CONFIG: (A + B + "APPEND quiet\n").encode(),
        "/loader/entries/x.conf": b"linux /other\noptions quiet\n", "/loader/loader.conf": b"default x\n"}))])
    assert ids(found) == ["x.conf", "a"]
    assert any("syslinux has it, too" in sentence for sentence in found.entries[0].trace)


def test_includes_that_are_not_there_are_told_once() -> None:
    found = read("INCLUDE a.cfg\nMENU INCLUDE b.cfg Tag\n" + A)
    problem, = found.problems
    assert problem.source == f"vda1:{CONFIG}"
    assert problem.error == f"2 files that it includes are not there: a.cfg ({CONFIG}:1), b.cfg ({CONFIG}:2)"
    assert ids(found) == ["a"]


def test_an_include_that_cannot_be_read_is_told() -> None:
    found = read("INCLUDE a.cfg\nINCLUDE http://h/b\n" + A, {"/boot/syslinux/a.cfg": FetchError("broken", at=1)})
    assert [problem.error for problem in found.problems][:2] == ["broken (at=0x1)", "a file on the network (file=http://h/b)"]
    assert ids(found) == ["a"]


def test_a_menu_include_with_a_tag_is_a_menu() -> None:
    found = read("MENU INCLUDE more.cfg Other systems\n" + A, {"/boot/syslinux/more.cfg": B.encode()})
    assert [entry.menu_path for entry in found.entries] == ["Other systems>b", "a"]


@pytest.mark.parametrize("text", ["INCLUDE syslinux.cfg\n", "INCLUDE more.cfg\n", "MENU INCLUDE more.cfg x\n"])
def test_includes_that_lead_in_a_circle_end(text: str) -> None:
    found = read(A + text, {"/boot/syslinux/more.cfg": b"INCLUDE syslinux.cfg\n"})
    assert ids(found) == ["a"]
    assert any("includes itself" in problem.error for problem in found.problems)


def test_words_that_nobody_knows_are_told() -> None:
    found = read("NONSENSE x\nMENU WRONG\nSYSAPPEND x\n" + A)
    assert [(problem.source, problem.error) for problem in found.problems] == [
        (f"vda1:{CONFIG}:1", "nonsense is not known and was passed over"),
        (f"vda1:{CONFIG}:2", "MENU wrong is not known and was passed over"),
        (f"vda1:{CONFIG}:3", "SYSAPPEND takes a number: x")]
