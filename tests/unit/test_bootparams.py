"""boot_params has the kernel's own layout. The witness is the C compiler with asm/bootparam.h (linux-libc-dev)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.formats.bootparams import (
    BOOT_PARAMS,
    E820_ENTRY,
    SETUP_DATA,
    E820Entry,
    SetupData,
    build_setup_data,
    split_e820,
)
from shim.formats.bzimage import SETUP
from shim.formats.record import Record

pytestmark = pytest.mark.tools
OTHER_NAMES = {"orig_video_mode": "screen_info.orig_video_mode", "orig_video_isVGA": "screen_info.orig_video_isVGA"}
HEADER_FIELDS = {"boot_flag", "header", "version", "type_of_loader", "loadflags", "code32_start", "ramdisk_image",
                 "ramdisk_size", "heap_end_ptr", "ext_loader_type", "cmd_line_ptr", "setup_data"}
# The byte behind the jump instruction is no field of its own in the kernel's structure.
NOT_IN_C = {"jump_offset"}


def c_name(field: str) -> str:
    if field in OTHER_NAMES:
        return OTHER_NAMES[field]
    if field.startswith("efi_"):
        return f"efi_info.{field}"
    return f"hdr.{field}" if field in HEADER_FIELDS else field


def layout(tmp_path: Path, struct: str, names: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Return (offset, size) of each field as the compiler has them, and the structure's size as ""."""
    rows = "".join(
        f'printf("{field} %zu %zu\\n", offsetof({struct}, {name}), sizeof((({struct} *)0)->{name}));'
        for field, name in names.items())
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <asm/bootparam.h>\n"
        f'int main(void) {{ {rows} printf("- 0 %zu\\n", sizeof({struct})); }}')
    subprocess.run(["gcc", "-o", tmp_path / "layout", source], check=True)
    text = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    return {name: (int(at), int(size)) for name, at, size in (line.split() for line in text.splitlines())}


def ours(record: Record) -> dict[str, tuple[int, int]]:
    return {field: (record.offsets[field], record.widths[field]) for field in record.fields}


def test_boot_params(tmp_path: Path) -> None:
    witness = layout(tmp_path, "struct boot_params", {field: c_name(field) for field in BOOT_PARAMS.fields})
    assert witness.pop("-")[1] == BOOT_PARAMS.size
    assert ours(BOOT_PARAMS) == witness


def test_the_setup_header(tmp_path: Path) -> None:
    names = {field: field for field in SETUP.fields if field not in NOT_IN_C}
    witness = layout(tmp_path, "struct setup_header", names)
    del witness["-"]
    mine = {field: (at - 0x1F1, size) for field, (at, size) in ours(SETUP).items() if field not in NOT_IN_C}
    assert mine == witness


@pytest.mark.parametrize(("record", "struct", "names"), [
    (E820_ENTRY, "struct boot_e820_entry", {"addr": "addr", "size": "size", "type": "type"}),
    (SETUP_DATA, "struct setup_data", {"next": "next", "type": "type", "len": "len"}),
])
def test_entries(tmp_path: Path, record: Record, struct: str, names: dict[str, str]) -> None:
    witness = layout(tmp_path, struct, names)
    assert witness.pop("-")[1] == record.size
    assert ours(record) == witness


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.integers(4096, 1 << 32))
def test_setup_data_can_be_walked(bodies: list[bytes], start: int) -> None:
    nodes = [SetupData(type=number, data=body) for number, body in enumerate(bodies)]
    built, at, seen = build_setup_data(nodes, start), start, []
    while at:
        fields = SETUP_DATA.parse(built, at - start)
        body = at - start + SETUP_DATA.size
        seen.append((fields["type"], built[body : body + fields["len"]]))
        at = fields["next"]
    assert seen == list(enumerate(bodies))


@pytest.mark.parametrize("count", [1, 128, 129, 200, 1000])
def test_no_range_of_memory_is_lost(count: int) -> None:
    rows = [E820Entry(start=number << 20, size=1 << 19, type=1) for number in range(count)]
    table, in_page, rest = split_e820(rows)
    assert in_page == min(count, 128)
    assert table + rest == b"".join(row.build() for row in rows)
