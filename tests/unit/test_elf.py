"""A vmlinux is loaded as readelf reads it, or refused by name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from shim.formats.elf import HEADER, PROGRAM_HEADER, is_elf, parse_elf_kernel
from tests.builders import debian
from tests.builders.filesystems import run
from tests.builders.vmlinux import vmlinux_of
from tests.unit.hostile import mutations, refuses, survives

pytestmark = pytest.mark.tools


@cache
def vmlinux() -> bytes:
    return vmlinux_of(debian.kernel().image)


@cache
def head() -> bytes:
    """The headers of the real kernel over a small file: what is parsed does not depend on the content."""
    return vmlinux()[: 1 << 16]


def test_a_vmlinux_is_what_readelf_says(tmp_path: Path) -> None:
    kernel = parse_elf_kernel(vmlinux())
    Path(tmp_path, "vmlinux").write_bytes(vmlinux())
    text = run("readelf", "--wide", "--segments", str(tmp_path / "vmlinux"))
    rows = re.findall(r"LOAD +0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) 0x(\w+)", text)
    assert len(rows) > 1
    assert [(s.offset, s.memory.start, s.file_size, s.memory.size) for s in kernel.segments] == [
        tuple(int(word, 16) for word in row) for row in rows]
    entry = re.search(r"Entry point 0x(\w+)", text)
    assert entry is not None
    assert kernel.entry_address == int(entry[1], 16)


def test_every_cut_of_the_headers_is_refused() -> None:
    assert is_elf(head())
    for end in range(64 + 5 * 56):
        refuses(parse_elf_kernel, head()[:end])


def test_a_kernel_that_is_cut_is_refused() -> None:
    data = vmlinux()
    last = max(segment.offset + segment.file_size for segment in parse_elf_kernel(data).segments)
    assert "outside the file" in str(refuses(parse_elf_kernel, data[: last - 1]))


def test_every_number_may_lie() -> None:
    for what, lie in mutations(HEADER, head()):
        survives(parse_elf_kernel, lie, what)
    for what, lie in mutations(PROGRAM_HEADER, head(), 64):
        survives(parse_elf_kernel, lie, what)
