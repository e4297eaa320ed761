"""kboot.conf and yaboot.conf: the examples of their documents, both grammars, other volumes, and their limits."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.entries import EntryList, read_entries
from shim.errors import FetchError, ShimError
from shim.model import Volume
from shim.system.memory_files import MemoryFiles
from tests.unit.hostile import bounded, cuts, with_memory

FILES = {f"/{name}": b"x" for name in ("vmlinux", "vmlinux.old", "initrd.img", "boot/kernel", "boot/initrd")}
# As petitboot's tests have them, and yaboot.conf(5).
YDL = """# kboot.conf for ydl

default=ydl480i
timeout=10
root=/dev/sda1
ydl='/dev/sda1:/vmlinux initrd=/dev/sda1:/initrd.img root=LABEL=/ init=/sbin/init video=ps3fb:mode:3 rhgb'
ydl480i='/dev/sda1:/vmlinux.old initrd=/dev/sda1:/initrd.img init=/sbin/init video=ps3fb:mode:1 rhgb'
"""
SIMPLE = """# Simple yaboot.conf
boot=/dev/hda2
device=hd:
partition=3
magicboot=/usr/local/lib/yaboot/ofboot
timeout=50
root=/dev/hda3
read-only
# End of global variables - begin image labels
image=/boot/vmlinux
  label=linux
image=/boot/vmlinux.old
  label=old
"""
RED_HAT = """boot=/dev/sdb1
timeout = 100
default = other

image = /vmlinux
       label = linux
       initrd = /initrd.img
       root = /dev/sdb2
       append = " root=/dev/sdb2 ro crashkernel=auto console=hvc0 LANG=en_US.utf8"
image=/boot/kernel
\tlabel=second
\talias=other
\tliteral="exactly this"
"""
SDA1 = Volume(name="sda1", device="/dev/sda1", disk="sda", number=1, uuid="AAAA-BBBB", label="ROOT")


def kboot(text: str | bytes, files: Mapping[str, bytes | ShimError] = {}, path: str = "/etc/kboot.conf") -> EntryList:
    data = text.encode() if isinstance(text, str) else text
    return read_entries([(SDA1, MemoryFiles({**FILES, path: data, **files}))], dialects=["kboot"])


def yaboot(text: str | bytes, path: str = "/etc/yaboot.conf") -> EntryList:
    data = text.encode() if isinstance(text, str) else text
    return read_entries([(SDA1, MemoryFiles({**FILES, path: data}))], dialects=["yaboot"])


def test_a_kboot_conf_of_yellow_dog() -> None:
    found = kboot(YDL)
    first, second = found.entries
    assert (first.id, first.default, found.timeout) == ("ydl480i", True, 10.0)
    assert (str(first.linux), [str(ref) for ref in first.initrd]) == ("sda1:/vmlinux.old", ["sda1:/initrd.img"])
    assert first.cmdline == "root=/dev/sda1 init=/sbin/init video=ps3fb:mode:1 rhgb"
    assert second.cmdline == "root=LABEL=/ init=/sbin/init video=ps3fb:mode:3 rhgb"
    assert (second.source, *map(str, second.configuration)) == ("/etc/kboot.conf:6", "sda1:/etc/kboot.conf")
    assert first.trace == ("/etc/kboot.conf:7: ydl480i", "the default: /etc/kboot.conf says default=ydl480i")


@pytest.mark.parametrize(("line", "kernel", "initrd", "cmdline"), [
    ("a=/vmlinux", "/vmlinux", None, ""), ('a = "/vmlinux ro"', "/vmlinux", None, "ro"),
    ("initrd=/initrd.img\na=/vmlinux a=b c", "/vmlinux", "/initrd.img", "a=b c"),
    ("root=/dev/x\na='/vmlinux  quiet root=/dev/y'", "/vmlinux", None, "root=/dev/y quiet"),
    ("a='UUID=aaaa-bbbb:/vmlinux'", "/vmlinux", None, ""), ("a='LABEL=root:/vmlinux'", "/vmlinux", None, ""),
    ("a=sda1:/vmlinux", "/vmlinux", None, ""), ("a=/kernel initrd=/initrd", "/boot/kernel", "/boot/initrd", ""),
    ("#a=/no\nvideo=x\nbare\nmessage=/etc/message\na=/vmlinux\n", "/vmlinux", None, ""),
])
def test_lines_of_kboot(line: str, kernel: str, initrd: str | None, cmdline: str) -> None:
    entry, = kboot(line).entries
    assert (str(entry.linux), entry.cmdline, entry.hidden) == (f"sda1:{kernel}", cmdline, None)
    assert [ref.path for ref in entry.initrd] == ([initrd] if initrd else [])


@pytest.mark.parametrize(("line", "hidden"), [
    ("a=/no", "a file is not there"), ("a=/vmlinux initrd=/no", "a file is not there"), ("a=sdb9:/x", "no such volume"),
    ("a=UUID=meep:/vmlinux", "no such volume"), ("a=http://host/x", "no such volume"),
    ("a=/x/y:/z", "no file of a volume"), ("a=../x", "climb"),
    ("a=/vmlinux \x1b", "control character"), (b"a=/vmlinux \xff", "UTF-8"),
])
def test_what_kboot_cannot_start(line: str | bytes, hidden: str) -> None:
    entry, = kboot(line).entries
    assert hidden in (entry.hidden or "")


def test_kboot_may_name_another_volume() -> None:
    boot, root = Volume(name="sda1"), Volume(name="sda2", device="/dev/sda2")
    found = read_entries([(boot, MemoryFiles({"/kboot.conf": b"a='/dev/sda2:/k initrd=/i'\n", "/i": b"x"})),
                          (root, MemoryFiles({"/k": b"x"}))])
    entry, = found.entries
    assert ([str(entry.linux), *map(str, entry.initrd)], entry.hidden) == (["sda2:/k", "sda1:/i"], None)


def test_the_example_of_yaboots_manual() -> None:
    """partition=3 is another volume of the same disk."""
    volumes = [(Volume(name="hda2", disk="hda", number=2), MemoryFiles({"/yaboot.conf": SIMPLE.encode()})),
               (Volume(name="hda3", disk="hda", number=3),
                MemoryFiles({"/boot/vmlinux": b"x", "/boot/vmlinux.old": b"x"}))]
    found = read_entries(volumes)
    assert [(entry.id, str(entry.linux), entry.cmdline) for entry in found.entries] == [
        ("linux", "hda3:/boot/vmlinux", "root=/dev/hda3 ro"), ("old", "hda3:/boot/vmlinux.old", "root=/dev/hda3 ro")]
    assert (found.timeout, found.entries[0].default) == (5.0, True)
    assert "partition 3 is hda3" in found.entries[0].trace
    assert found.entries[1].source == "/yaboot.conf:12"


def test_a_yaboot_conf_of_red_hat() -> None:
    found = yaboot(RED_HAT)
    first, second = found.entries
    assert (first.id, first.cmdline, str(first.linux), first.default) == (
        "second", "exactly this", "sda1:/boot/kernel", True)
    assert second.cmdline == "root=/dev/sdb2  root=/dev/sdb2 ro crashkernel=auto console=hvc0 LANG=en_US.utf8"
    assert [str(ref) for ref in second.initrd] == ["sda1:/initrd.img"]
    assert found.timeout == 10.0


@pytest.mark.parametrize(("text", "kernel", "cmdline"), [
    ("image=/vmlinux", "/vmlinux", ""), ("append=all\nimage=/vmlinux", "/vmlinux", "all"),
    ("append=all\nimage=/vmlinux append=own", "/vmlinux", "own"), ("IMAGE = /vmlinux\n Read-Write", "/vmlinux", "rw"),
    ("image=/vmlinux append=a\\ b", "/vmlinux", "a b"),
    ('image=/vmlinux append="a \\"b\\" \\\\"', "/vmlinux", 'a "b" \\'),
    ('image=/vmlinux append="a \\\n   b"', "/vmlinux", "a  b"), ("image=/vmlinux append=a\\\nb", "/vmlinux", "ab"),
    ("image=/vmlinux root=/dev/x read-only ramdisk=9 initrd-size=8 novideo append=z", "/vmlinux",
     "root=/dev/x ro ramdisk=9 ramdisk_size=8 video=ofonly z"),
    ("image=hd:1,/vmlinux", "/vmlinux", ""), ("image=/pci@8/disk@0:1,/vmlinux", "/vmlinux", ""),
    ("image=1/vmlinux", "/vmlinux", ""), ("image[64bit]=/vmlinux", "/vmlinux", ""),
    ("image=/kernel", "/boot/kernel", ""),
    ("password=x\nrestricted\nimage=/vmlinux", "/vmlinux", ""), ("partition=7\nimage=/vmlinux", "/vmlinux", ""),
    ("bare words\nimage=/vmlinux # and a comment\n", "/vmlinux", ""),
])
def test_lines_of_yaboot(text: str, kernel: str, cmdline: str) -> None:
    entry, = yaboot(text).entries
    assert (str(entry.linux), entry.cmdline, entry.hidden) == (f"sda1:{kernel}", cmdline, None)


def test_suse_has_its_kernels_beside_the_configuration() -> None:
    found = read_entries([(SDA1, MemoryFiles({
        "/suseboot/yaboot.cnf": b"image[64bit]=linux64\ninitrd=initrd64\nlabel=install\n",
        "/suseboot/linux64": b"x", "/suseboot/initrd64": b"x"}))])
    entry, = found.entries
    assert [str(entry.linux), *map(str, entry.initrd)] == ["sda1:/suseboot/linux64", "sda1:/suseboot/initrd64"]


@pytest.mark.parametrize(("text", "hidden"), [
    ("image=/no", "a file is not there"), ("image=/vmlinux initrd=/no", "a file is not there"),
    ("password=x\nimage=/vmlinux", "password"), ("image=/vmlinux append=\x1b", "control character"),
    (b"image=/vmlinux append=\xff", "UTF-8"), ("image=hd:3[1-2]", "range of blocks"), ("image=/../x", "climb"),
    ("image=/pci/disk@0:3[0-9]", "range of blocks"),
])
def test_what_yaboot_cannot_start(text: str | bytes, hidden: str) -> None:
    entry, = yaboot(text).entries
    assert hidden in (entry.hidden or "")


@pytest.mark.parametrize(("text", "source", "error"), [
    ("image=/vmlinux\n=x", ":2", "an equals sign without a name"), ("a\nb=", ":2", "a name without a value"),
    ("a==b", ":1", "a name without a value"), ('\n\na="b', ":3", "quotes that do not end"),
    ('a="b\nc"', ":1", "a line ends inside of quotes"), ('\na="\\x"', ":2", "a backslash before"),
    ("\na=b\\", ":2", "a backslash at the end"), ("a=" + "x" * 70_000, ":1", "a word is too long"),
    ('\na="' + "x" * 70_000 + '"', ":2", "a text in quotes is too long"), ("\na=\0", ":2", "a NUL byte"),
    ("\n" * 20_000, ":20000", "too many lines"), ("x" * (1 << 20), ":1", "a word is too long"),
])
def test_what_is_no_yaboot_conf(text: str, source: str, error: str) -> None:
    with bounded(2):
        found = yaboot(text)
    problem, = found.problems
    assert (problem.source, found.entries) == (f"sda1:/etc/yaboot.conf{source}", ())
    assert error in problem.error


@pytest.mark.parametrize(("text", "source", "error"), [
    ("\na=" + "x" * 70_000, ":2", "the line is too long"), ("x" * (1 << 20), ":1", "the line is too long"),
    ("\n\0", ":2", "a NUL byte"), ("a=b\n" * 100_000, ":20000", "too many lines"),
    ("x" * ((1 << 20) + 1), "", "longer than"),
])
def test_what_is_no_kboot_conf(text: str, source: str, error: str) -> None:
    with bounded(2):
        found = kboot(text)
    problem, = found.problems
    assert (problem.source, found.entries) == (f"sda1:/etc/kboot.conf{source}", ())
    assert error in problem.error or source == ""


def test_a_configuration_that_cannot_be_read_is_a_problem() -> None:
    found = read_entries([(SDA1, MemoryFiles({"/kboot.conf": FetchError("broken"), "/yaboot.conf": FetchError("b")}))])
    assert [problem.source for problem in found.problems] == ["sda1:/kboot.conf", "sda1:/yaboot.conf"]


@pytest.mark.parametrize("text", [
    "".join(f"l{number}=/vmlinux initrd=/initrd.img x\n" for number in range(19_000)),
    "root=" + "x" * 60_000 + "\n" + "".join(f"l{number}=/no\n" for number in range(1000)),
])
def test_many_entries_of_kboot(text: str) -> None:
    with with_memory(), bounded(12, 128 << 20):
        kboot(text)
    with bounded(2):
        found = kboot(text)
    assert len(found.entries) == 1000
    assert [problem.error for problem in found.problems] == (
        ["only the first 1000 of 19000 entries are read"] if "19" in text[-60:] or "18999" in text else [])


@pytest.mark.parametrize("text", [
    "image=/vmlinux " * 60_000, "append=" + "x" * 60_000 + "\n" + "image=/no\n" * 1000, "a " * 500_000,
    "a=b " * 250_000, '"" ' * 300_000, "\\\n" * 19_000, "#" * 1_000_000,
])
def test_much_of_yaboot(text: str) -> None:
    with with_memory(), bounded(20, 160 << 20):
        yaboot(text)
    with bounded(2):
        found = yaboot(text)
    assert len(found.entries) <= 1000


def test_both_cut_anywhere_are_read_as_far_as_they_go() -> None:
    for data in cuts(YDL.encode()):
        with bounded():
            kboot(data)
    for data in cuts(RED_HAT.encode()):
        with bounded():
            found = yaboot(data)
        assert all(":" in problem.source for problem in found.problems)


@given(st.text("a =\"'\\\n\t#:/[]xinitrdmageBootlbel", max_size=200))
@settings(deadline=None)
def test_no_text_ends_the_reading(text: str) -> None:
    kboot(text)
    yaboot(text)
