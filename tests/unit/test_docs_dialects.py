"""What docs/dialects.md says of the SYSLINUX family and of ISO files is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shim.entries import DIALECTS
from shim.entries.iso_hints import HINTS
from shim.entries.syslinux import VARIANTS, limits
from shim.entries.syslinux.grammar import DIRECTIVES, MENU_DIRECTIVES
from shim.entries.syslinux.start import MENUS, MODULES

TEXT = (Path(__file__).parents[2] / "docs/dialects.md").read_text()
SECTION = TEXT.partition("## SYSLINUX")[2].partition("\n## ")[0]
# Other names for a directive, or known and without effect.
ALIASES = {"devicetree", "devicetreedir", "devicetree-overlay", "menu", "master", "indent", "disabled"}


def test_every_dialect_is_in_the_table() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == [dialect.name for dialect in DIALECTS]


def test_every_loader_and_every_place_of_its_configuration_is_named() -> None:
    for variant in VARIANTS:
        row, = [line for line in SECTION.splitlines() if re.match(rf"\| {re.escape(variant.name)}[ ,]", line)]
        for directory in {place.lower() or "/" for place in variant.directories}:
            assert f"`{directory}" in row.lower()
        for name in variant.names:
            assert name in row


def test_every_directive_and_module_is_named() -> None:
    for word in {*DIRECTIVES, *MENU_DIRECTIVES} - ALIASES:
        assert f"`{word.upper()}" in SECTION or f" {word.upper()}`" in SECTION, word
    for module in (*MENUS, "linux.c32", "ifcpu64.c32", "whichsys.c32", "config.c32", "mboot.c32"):
        assert f"`{module}`" in SECTION
    assert MODULES.keys() >= {"chain.c32", "reboot.c32", "memdisk"}


@pytest.mark.parametrize(("row", "shown"), [
    ("size of a file", f"{limits.FILE_SIZE_MAX >> 20} MiB; {limits.FILES_SIZE_MAX >> 20} MiB"),
    ("includes", f"{limits.INCLUDES_MAX}"), ("files, menus", f"{limits.DEEP_MAX}"),
    ("lines", f"{limits.LINES_MAX:,}; {limits.LINE_SIZE_MAX >> 10} KiB"), ("labels", f"{limits.LABELS_MAX:,}"),
    ("a command line", f"{limits.CMDLINE_SIZE_MAX >> 10} KiB"),
])
def test_the_limits_are_those_of_the_code(row: str, shown: str) -> None:
    rows = [line for line in SECTION.splitlines() if line.startswith(f"| {row}")]
    assert [line.split("|")[2].strip() for line in rows] == [shown]


def test_every_family_of_live_images_is_in_the_table() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \([^)]*\) \| (.*) \| (.*) \|$", TEXT.partition("## ISO files")[2], re.MULTILINE)
    assert [(name, set(re.findall(r"`(\S+)`", known))) for name, known, _ in rows] == [
        (hint.name, {*hint.words, *hint.directories}) for hint in HINTS]
    for hint, (_, _, told) in zip(HINTS, rows, strict=True):
        assert all(f"`{word.partition('{')[0]}`" in told for word in hint.adds)
