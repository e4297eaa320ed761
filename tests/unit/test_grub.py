"""GRUB's script does here what it does in GRUB, whose own word is recorded; and it cannot be made to run away."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.entries import read_entries
from shim.entries.grub.commands import (
    IGNORED,
    OTHER_MODULES,
    OTHER_SYSTEMS,
    REFUSED,
    UNANSWERED,
    UNDERSTOOD,
    commands,
)
from shim.entries.grub.limits import Exhausted
from shim.entries.grub.regex import match
from shim.errors import FormatError, ShimError
from shim.formats.grubenv import SIGNATURE, parse_grubenv
from shim.model import Entry
from shim.system.memory_files import MemoryFiles
from tests.builders import debian
from tests.builders import grubwitness as witness
from tests.builders.grubscripts import Writer
from tests.unit.grub import CONFIG, read, said_by_us, volume
from tests.unit.hostile import survives

# Where we do not do what GRUB does, on purpose: what we say instead (docs/dialects.md has why).
OTHERWISE = {
    "function-redefines-itself": [":one", ":two"],
    "menu-functions-in-body": [":fx", ":g"],
    "menu-default-title-that-begins-with-a-number": [":title"],
    "syntax-double-bracket": [":yes", ":next"],
}


@pytest.mark.parametrize("name", witness.cases())
def test_a_script_does_what_grub_says(name: str) -> None:
    recorded = witness.outcomes()[name]
    expected = OTHERWISE.get(name, recorded)
    assert said_by_us(witness.cases()[name]) == expected
    assert name not in OTHERWISE or expected != recorded


def test_the_record_is_of_these_scripts() -> None:
    assert set(witness.outcomes()) == set(witness.cases())
    assert len(witness.cases()) >= 60


@pytest.mark.tools
@pytest.mark.parametrize("suite", witness.LIBRARIES)
def test_grub_still_says_what_is_recorded(suite: str, tmp_path: Path) -> None:
    """GRUB 2.06 and 2.12."""
    assert witness.all_said_by_grub(tmp_path, suite) == witness.outcomes()


# A terminal of 80 columns breaks longer lines.
COLUMNS = 78
SCRIPTS = 100


@pytest.mark.tools
def test_grub_says_the_same_of_scripts_that_nobody_wrote(tmp_path: Path) -> None:
    disk = witness.make_witness_disk(tmp_path)
    compared = 0
    for seed in range(SCRIPTS):
        script = Writer(seed).script()
        try:
            ours = said_by_us(script)
        except Exhausted:  # a loop without end: GRUB would be in it for good
            continue
        theirs = witness.said_by_grub(script, tmp_path, disk, str(tmp_path))
        if all(len(line) < COLUMNS for line in theirs):
            assert ours == theirs, script
            compared += 1
    assert compared > 0.9 * SCRIPTS


def body(text: str, before: str = "", **given: object) -> Entry:
    """Return the entry of a menuentry with this body."""
    found = read(f"{before}\nmenuentry Title {{\n{text}\n}}\n".encode(errors="surrogateescape"), **given)
    assert not found.problems
    entry, = found.entries
    return entry


def test_what_is_loaded_is_the_entry() -> None:
    entry = body("linux /vmlinuz root=UUID=1 'a b' \"c\"\\'d quiet\ninitrd /initrd /initrd\n")
    assert (entry.id, entry.title, entry.dialect, entry.source) == ("Title", "Title", "grub", f"{CONFIG}:2")
    assert str(entry.linux) == "vda2:/vmlinuz"
    assert [str(ref) for ref in entry.initrd] == ["vda2:/initrd"] * 2
    assert entry.cmdline == "root=UUID=1 \"a b\" c\\'d quiet"
    assert entry.hidden is None
    assert entry.default


@pytest.mark.parametrize("command", ["linux", "linux16", "linuxefi"])
def test_every_name_of_linux(command: str) -> None:
    ending = command.removeprefix("linux")
    entry = body(f"{command} (hd0,gpt2)/vmlinuz a\ninitrd{ending} /initrd")
    assert (str(entry.linux), len(entry.initrd), entry.cmdline) == ("vda2:/vmlinuz", 1, "a")


def test_the_last_kernel_and_the_last_initrd_count() -> None:
    entry = body("linux /vmlinuz a\ninitrd /initrd\nlinux /vmlinuz b\ninitrd /initrd /initrd\ninitrd /initrd")
    assert (entry.cmdline, len(entry.initrd)) == ("b", 1)


@pytest.mark.parametrize(("text", "reason"), [
    ("true", "no kernel"), ("fwsetup", "fwsetup"), ("reboot", "reboot"), ("linux /absent", "not there"),
    ("linux (hd3,gpt1)/vmlinuz", "no volume"), ("linux (lvm/vg-root)/vmlinuz", "no volume"),
    ("linux /vmlinuz\ninitrd /absent", "its initrd"), ("linux /../vmlinuz", "leads out"),
    ("chainloader +1", "sectors"), ("chainloader /initrd", "firmware"), ("chainloader /absent", "not there"),
    ("multiboot2 /vmlinuz\nmodule2 /initrd", "multiboot"), ("xnu_kernel /vmlinuz", "no Linux"),
    ("linux /vmlinuz\ninitrd newc:a:/initrd", "single files"), ("initrd /initrd", "no kernel"),
    ("loopback loop /initrd\nlinux (loop)/vmlinuz", "image vda2:/initrd"),
    ("linux /vmlinuz 'a\nb'", "control character"),
    ("linux /vmlinuz caf\udce9", "not UTF-8"),
])
def test_what_cannot_be_started_says_why(text: str, reason: str) -> None:
    entry = body(text)
    assert entry.hidden is not None
    assert reason in entry.hidden


def test_a_kernel_with_an_efi_stub_may_be_chained_to() -> None:
    kernel = bytearray(0x400)
    kernel[0:2], kernel[0x202:0x206] = b"MZ", b"HdrS"
    found = read("menuentry x { chainloader /kernel.efi root=/dev/vda1 'a b'; }", {"/kernel.efi": bytes(kernel)})
    entry, = found.entries
    assert (str(entry.linux), entry.cmdline, entry.hidden) == ("vda2:/kernel.efi", 'root=/dev/vda1 "a b"', None)


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_dangerous_is_never_done(command: str) -> None:
    entry = body(f"if {command} x y; then linux /absent; else linux /vmlinuz; fi")
    assert entry.hidden is None
    assert any(f"{command} is refused" in sentence for sentence in entry.trace)


@pytest.mark.parametrize("command", UNANSWERED)
def test_what_nobody_answers_is_a_no(command: str) -> None:
    entry = body(f"if {command} x y; then linux /absent; else linux /vmlinuz; fi")
    assert entry.hidden is None
    assert any(f"{command} is not answered here" in sentence for sentence in entry.trace)


@pytest.mark.parametrize("command", [*IGNORED, *OTHER_MODULES])
def test_what_is_harmless_changes_nothing(command: str) -> None:
    assert body(f"if {command} x y; then linux /vmlinuz; fi").hidden is None


def test_a_function_may_go_by_the_name_of_what_is_ignored() -> None:
    entry = body("keymap", "function keymap { linux /vmlinuz; }")
    assert entry.hidden is None


def test_an_unknown_command_is_told() -> None:
    entry = body("no_such_thing x\nlinux /vmlinuz")
    assert f"{CONFIG}:3: no_such_thing is no command that is known: passed over" in entry.trace


def test_no_command_is_two_things() -> None:
    sets = [set(names) for names in (UNDERSTOOD, IGNORED, UNANSWERED, REFUSED, OTHER_SYSTEMS, OTHER_MODULES)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(commands())


# Built into GRUB's kernel and its normal mode; of GRUB for other machines; of Red Hat's and newer GRUBs; ours.
ELSEWHERE = {"insmod", "set", "unset"} | {"devicetree", "xen_hypervisor", "xen_module"} | {
    "blscfg", "blsuki", "decrement", "efitextmode", "getenv", "increment", "uki"} | {"[["}


@pytest.mark.tools
def test_every_command_of_debians_grub_is_in_a_table() -> None:
    lists = [path for name in ("grub-efi-amd64-bin", "grub-pc-bin", "grub-emu")
             for path in debian.package(name).glob("usr/lib/grub/*/command.lst")]
    known = {line.lstrip("*").partition(":")[0] for path in lists for line in path.read_text().splitlines()}
    assert len(lists) == 3
    assert known <= set(commands())
    assert set(commands()) - known == ELSEWHERE


def test_the_trace_names_the_lines_that_mattered() -> None:
    entry = body("search --set=root --label boot\nlinux /vmlinuz $options", "set options='ro quiet'", label="boot")
    assert entry.trace == (
        f"{CONFIG}:2: menuentry 'Title'",
        f"{CONFIG}:3: the label boot is on vda2, which GRUB calls (hd0,gpt2)",
        f"{CONFIG}:4: the kernel is vda2:/vmlinuz",
        f"{CONFIG}:4: $options is 'ro quiet', set in {CONFIG}:1",
        f"the default: the first entry of {CONFIG}, which names no default",
    )


def test_the_trace_says_where_root_is_from() -> None:
    entry = body("linux /vmlinuz", "search --set=root --label boot", label="boot")
    assert f"{CONFIG}:3: root is (hd0,gpt2), set in {CONFIG}:1" in entry.trace


MENU = """set timeout={timeout}
set default='{default}'
set fallback='{fallback}'
menuentry one --id 1st {{ linux /vmlinuz one; }}
submenu more --id sub {{
  menuentry two --id 2nd {{ linux /vmlinuz two; }}
  menuentry three {{ linux /vmlinuz three; }}
}}
menuentry 'four five' {{ linux /vmlinuz four; }}
"""


@pytest.mark.parametrize(("default", "fallback", "order"), [
    ("", "", "one two three four"), ("2", "", "four one two three"), ("sub>1", "", "three one two four"),
    ("more>2nd", "", "two one three four"), ("four five", "", "four one two three"), ("1", "", "two one three four"),
    ("nonsense", "", "one two three four"), ("2", "1>1 0", "four three one two"),
    ("0", "four five", "one four two three"), ("2", "9 nonsense", "four one two three"),
    ("99", "2", "one four two three"),
])
def test_the_order_is_that_of_grubs_choice(default: str, fallback: str, order: str) -> None:
    found = read(MENU.format(timeout=5, default=default, fallback=fallback))
    assert [entry.cmdline for entry in found.entries] == order.split()
    assert [entry.default for entry in found.entries] == [True, False, False, False]


@pytest.mark.parametrize(("timeout", "seconds"), [
    ("5", 5.0), ("0", 0.0), ("-1", 3600.0), ("", None), ("soon", None), ("٣", None), ("99999999999999999999", 3600.0)])
def test_the_timeout_is_the_scripts(timeout: str, seconds: float | None) -> None:
    assert read(MENU.format(timeout=timeout, default=0, fallback="")).timeout == seconds


def test_a_default_that_is_not_started_is_told() -> None:
    found = read("set default=1\nmenuentry a { linux /vmlinuz; }\nmenuentry w { chainloader +1; }\n")
    assert [(entry.title, entry.default) for entry in found.entries] == [("a", False), ("w", False)]
    assert found.entries[0].trace[-1].startswith(f"{CONFIG}:1 says 1, which is not started: it chains to sectors")


@pytest.mark.parametrize(("architecture", "cpu"), [("x64", "x86_64"), ("aa64", "arm64"), ("riscv64", "riscv64")])
def test_a_script_may_ask_for_the_machine(architecture: str, cpu: str) -> None:
    text = b"menuentry $grub_cpu { linux /vmlinuz; }\n"
    found = read_entries([(volume(), MemoryFiles({CONFIG: text, "/vmlinuz": b"k"}))], architecture=architecture)
    assert found.entries[0].title == cpu


def test_ids_are_paths_through_the_menu() -> None:
    found = read(MENU.format(timeout=1, default=0, fallback=""))
    assert [entry.id for entry in found.entries] == ["1st", "sub>2nd", "sub>three", "four five"]


def test_what_grub_asks_a_password_for_is_hidden() -> None:
    found = read("set superusers=root\npassword root x\nmenuentry a { linux /vmlinuz; }\n"
                 "menuentry b --unrestricted { linux /vmlinuz; }\nmenuentry c --users joe { linux /vmlinuz; }\n"
                 "submenu d { menuentry e --unrestricted { linux /vmlinuz; }; }\n")
    assert {entry.title: entry.hidden is None for entry in found.entries} == {
        "a": False, "b": True, "c": False, "e": False}


def test_a_menu_without_superusers_asks_nobody() -> None:
    assert body("linux /vmlinuz").hidden is None


def test_a_loaded_kernel_without_a_menu_is_an_entry() -> None:
    entry, = read("linux /vmlinuz root=/dev/sda1\ninitrd /initrd\nboot\n").entries
    assert (entry.id, entry.cmdline, len(entry.initrd)) == ("boot/grub/grub.cfg", "root=/dev/sda1", 1)


def test_nothing_is_written_and_it_is_told() -> None:
    entry = body("save_env saved_entry\nlinux /vmlinuz")
    assert any("save_env saved_entry is not done" in sentence for sentence in entry.trace)


def test_mistakes_name_their_lines() -> None:
    found = read("menuentry a { linux /vmlinuz; }\ntrue && false\nsource /absent.cfg\nif true; then fi\n")
    assert [problem.source for problem in found.problems] == [f"vda2:{CONFIG}:{line}" for line in (2, 3, 4)]
    assert len(found.entries) == 1


def test_a_file_that_reads_itself_is_read_once() -> None:
    found = read(f"menuentry a {{ linux /vmlinuz; }}\nsource {CONFIG}\n")
    assert len(found.entries) == 1
    assert "reads itself" in found.problems[0].error


def test_menus_that_lead_to_each_other_end() -> None:
    files = {"/a.cfg": b"menuentry back { configfile /boot/grub/grub.cfg; }\nmenuentry on { linux /vmlinuz on; }\n"}
    found = read("menuentry go { configfile /a.cfg; }\n", files)
    assert [entry.cmdline for entry in found.entries if entry.hidden is None] == ["on"]
    assert [entry.id for entry in found.entries] == ["go>on", "go>back"]


@pytest.mark.parametrize(("pattern", "text", "groups"), [
    ("a(b*)c", "xabbc", ["abbc", "bb"]), ("(a|ab)(c|bcd)", "abcd", ["abcd", "a", "bcd"]), ("x*", "aaa", [""]),
    ("^$", "", [""]), ("[^]a]+", "]b]", ["b"]), ("a{2,3}", "aaaa", ["aaa"]), ("a{,3}", "a{,3}", ["a{,3}"]),
    ("\\.", "a.b", ["."]), ("(a)|(b)", "b", ["b", None, "b"]), ("[0-9]+-", "6.1-9", ["1-"]), ("b", "a", None),
])
def test_regular_expressions(pattern: str, text: str, groups: list[str | None] | None) -> None:
    assert match(pattern, text, lambda states: None) == groups


@pytest.mark.parametrize("pattern", [
    "(", "[a", "a{99}", "\\", "(" * 18, "[[:no:]]", "a" * 2000, "()" * 40, "((a{64}){64}){2}"])
def test_what_is_no_regular_expression(pattern: str) -> None:
    with pytest.raises(FormatError):
        match(pattern, "a", lambda states: None)


def test_an_environment_block() -> None:
    data = SIGNATURE + b"a=1\nb=x=y\nempty=\nback=a\\\\b\\\nc\n" + b"#" * 900
    assert parse_grubenv(data) == {"a": "1", "b": "x=y", "empty": "", "back": "a\\b\nc"}


@pytest.mark.parametrize("data", [b"", b"# GRUB\n", SIGNATURE + b"x" * (65 << 10),
                                  SIGNATURE + b"".join(b"v%d=\n" % number for number in range(2000))])
def test_what_is_no_environment_block(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_grubenv(data)


@given(st.binary(max_size=300))
def test_no_environment_block_ends_the_reading(data: bytes) -> None:
    survives(parse_grubenv, SIGNATURE + data)
    with pytest.raises(ShimError):
        parse_grubenv(b"x" + data)
