"""The grammar of the SYSLINUX family on its own, cut anywhere, and what malice may cost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.entries.syslinux import limits as lim
from shim.entries.syslinux.grammar import parse_configuration
from shim.entries.syslinux.start import start_of
from shim.errors import EntryError, FormatError
from tests.unit.hostile import bounded, cuts, with_memory
from tests.unit.test_syslinux import CONFIG, LABEL, A, read


def nothing(_path: str) -> None:
    return None


def test_the_grammar_needs_no_volume() -> None:
    """As a configuration that comes over a network: whoever calls fetches what is included."""
    asked: list[str] = []

    def fetch(path: str) -> tuple[str, bytes]:
        asked.append(path)
        return f"http://host/{path}", LABEL.encode()

    found = parse_configuration("http://host/pxelinux.cfg/default", b"include boot/a.cfg\n", fetch, lim.Budget())
    (_, label), = found.menu.labels()
    assert (asked, found.files[1]) == (["boot/a.cfg"], "http://host/boot/a.cfg")
    assert (label.name, label.kernel, label.file, label.line) == ("a", "/vmlinuz", "http://host/boot/a.cfg", 1)


WHOLE = ("DEFAULT vesamenu.c32\nTIMEOUT 50\nMENU TITLE \u00e4\nINCLUDE no.cfg\nAPPEND x\n" + A + "MENU LABEL ^A\n"
         "APPEND initrd=/initrd.img ro\nSYSAPPEND 0x40001\nTEXT HELP\nhelp\nENDTEXT\nMENU BEGIN sub\nLABEL s\n"
         "MENU DEFAULT\nCOM32 mboot.c32 /other --- /vmlinuz\nMENU END\n"
         "LABEL l\nLOCALBOOT 0x80\nFDT /board.dtb\n").encode()


def test_a_configuration_cut_anywhere_is_read_as_far_as_it_goes() -> None:
    for data in cuts(WHOLE):
        with bounded():
            for entry in read(data).entries:
                assert entry.source.startswith(f"{CONFIG}:")


@pytest.mark.parametrize(("data", "files", "source", "error"), [
    (b"x" * (1 << 20), {}, f"{CONFIG}:1", "the line is too long"),
    (LABEL.encode() + b"APPEND " + b"x" * (1 << 20), {}, f"{CONFIG}:3", "the line is too long"),
    (b"\nLABEL " + b"x" * (1 << 20), {}, f"{CONFIG}:2", "the line is too long"),
    (b"TEXT HELP\n" + b"x" * (1 << 20), {}, f"{CONFIG}:2", "the line is too long"),
    (b"".join(b"LABEL l%d\n" % number for number in range(100_000)), {}, f"{CONFIG}:2001", "too many labels"),
    (b"\n" * (1 << 20), {}, f"{CONFIG}:100001", "too many lines"),
    (b"x\n" * (1 << 20), {}, f"{CONFIG}:100001", "too many lines"),
    (b"a\n\0", {}, f"{CONFIG}:2", "a NUL byte"), (b"x" * ((2 << 20) + 1), {}, CONFIG, "too long"),
    (b"INCLUDE more.cfg\n" * 300, {"more.cfg": b"\n"}, f"{CONFIG}:257", "includes too many files"),
    (b"INCLUDE no.cfg\n" * 300, {}, f"{CONFIG}:257", "includes too many files"),
    (b"INCLUDE more.cfg\n" * 20, {"more.cfg": b"#" * 65000 + b"\n" + b"x\n" * 200_000},
     "/boot/syslinux/more.cfg:100000", "too many lines"),
    (b"INCLUDE more.cfg\n" * 20, {"more.cfg": (b"#" * 65000 + b"\n") * 16}, "/boot/syslinux/more.cfg", "is too long"),
    (b"MENU BEGIN\n" * 100_000, {}, f"{CONFIG}:17", "menus are nested too deep"),
    (b"INCLUDE 1.cfg\n", {f"{number}.cfg": b"INCLUDE %d.cfg\nINCLUDE %d.cfg\n" % (number + 1, number + 1)
                          for number in range(1, 40)}, "/boot/syslinux/15.cfg:1", "files are nested too deep"),
])
def test_a_megabyte_of_malice_ends_with_file_and_line(
    data: bytes, files: dict[str, bytes], source: str, error: str
) -> None:
    with with_memory(), bounded(12, 128 << 20):  # tracing memory takes most of the time
        found = read(data, {f"/boot/syslinux/{name}": text for name, text in files.items()})
    with bounded(2):
        found = read(data, {f"/boot/syslinux/{name}": text for name, text in files.items()})
    assert not found.entries
    assert [problem.source for problem in found.problems if error in problem.error] == [f"vda1:{source}"]


@pytest.mark.parametrize("text", [
    "APPEND " + "x" * 60_000 + "\n" + "".join(f"LABEL l{number}\nKERNEL /vmlinuz\n" for number in range(2000)),
    "APPEND initrd=" + "a," * 8000 + "\n" + "".join(f"LABEL l{number}\nKERNEL /vmlinuz\n" for number in range(2000)),
    "APPEND " + "x" * 16_000 + "\n" + "".join(f"LABEL l{number}\nKERNEL /vmlinuz\n" for number in range(2000)),
    "".join(f"LABEL l{number}\nCOM32 ifcpu64.c32 l{number + 1}\n" for number in range(2000)),
    "".join(f"LABEL l{number}\nCOM32 ifcpu64.c32 l{number}\n" for number in range(2000)),
    "".join(f"LABEL l{number}\nCOM32 menu.c32 {'x ' * 500}\n" for number in range(2000)),
    "".join(f"LABEL l{number}\nCONFIG syslinux.cfg /{number}\n" for number in range(2000)),
    ("MENU BEGIN\nMENU TITLE " + "x" * 60_000 + "\n") * 15 + "".join(f"LABEL l{number}\n" for number in range(2000)),
    "".join(f"LABEL l{number}\nKERNEL /vmlinuz\nFDTOVERLAYS {'/a.dtbo ' * 200}\n" for number in range(1000)),
    "DEFAULT " + "x " * 30_000 + "\nUI menu.c32 " + "y " * 30_000 + "\n" + LABEL,
    "".join(f"LABEL l{number}\nKERNEL mboot.c32 {'/a --- ' * 100}\n" for number in range(2000)),
])
def test_what_multiplies_is_bounded(text: str) -> None:
    with with_memory(), bounded(20, 128 << 20):
        read(text)
    with bounded(2):
        read(text)


@given(st.lists(st.sampled_from([
    "label a\n", "label a b\n", "kernel /vmlinuz\n", "linux", "append ", "initrd=/initrd.img,", "-\n", "\n",
    "\r\n", " ",
    "menu begin x\n", "menu end\n", "menu default\n", "menu hide\n", "menu label ^x\n", "menu include syslinux.cfg t\n",
    "include syslinux.cfg\n", "default a\n", "default menu.c32 syslinux.cfg\n", "ui menu.c32\n", "ontimeout a x\n",
    "com32 ifcpu64.c32 a -- b\n", "config syslinux.cfg\n", "config syslinux.cfg /\n", "text help\n", "endtext\n",
    "localboot 0\n", "mboot.c32 --- \n", "sysappend 0xffffffff\n", "timeout 5\n", "menu goto x\n", "menu exit\n",
    "menu separator\n", "menu start\n", "\x1b", "\ufffd", "fdt x\n", "menu passwd\n",
]), max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_arrangement_of_lines_ends_the_reading(parts: list[str]) -> None:
    found = read("".join(parts))
    assert len({entry.id for entry in found.entries}) == len(found.entries)
    assert all(entry.hidden is not None or entry.linux is not None for entry in found.entries)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_end_the_reading(data: bytes) -> None:
    try:
        parse_configuration("x", data, nothing, lim.Budget())
    except (FormatError, EntryError) as problem:
        assert "file" in problem.facts


@given(st.sampled_from(["kernel", "linux", "com32", "config", "boot"]),
       st.text("ab.c32 -,=/#mboothifcpu64", max_size=60))
@settings(deadline=None)
def test_every_command_line_starts_something_or_says_why(kind: str, line: str) -> None:
    start = start_of(kind, line)
    assert start.kind or start.hidden or start.menus or start.is_menu or start.leads_to is not None
