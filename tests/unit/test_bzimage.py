"""A bzImage is what its header says, or is refused by the name of the field that lies."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import pytest

from shim.errors import FormatError
from shim.formats.bzimage import PAYLOADS, SETUP, is_bzimage, parse_bzimage
from tests.builders import debian
from tests.unit.hostile import mutations, refuses, survives

pytestmark = pytest.mark.tools


@cache
def debian_kernel() -> bytes:
    return debian.kernel().image.read_bytes()


@cache
def memtest(bits: str) -> bytes:
    return next(debian.package("memtest86+").rglob(f"memtest86+{bits}.bin")).read_bytes()


def change(data: bytes, field: str, value: int) -> bytes:
    at = SETUP.offsets[field]
    return data[:at] + value.to_bytes(SETUP.widths[field], "little") + data[at + SETUP.widths[field] :]


def test_debians_kernel_is_what_file_says() -> None:
    """The witness is file(1), for the version; and the kernel's own documentation for the rest."""
    image = parse_bzimage(debian_kernel())
    said = subprocess.run(["file", "--brief", str(debian.kernel().image)], check=True, capture_output=True, text=True)
    witness = re.search(r"version (\S+)", said.stdout)
    assert witness is not None
    assert image.kernel_version.startswith(witness[1])
    assert image.version == 0x020F
    assert (image.relocatable, image.kernel_alignment, image.pref_address) == (True, 2 << 20, 16 << 20)
    assert image.enters_in_64_bits
    assert image.initrd_above_4_gib
    assert image.payload in PAYLOADS.values()
    assert image.setup_size + image.load_size <= len(debian_kernel())
    assert image.header[:1] == debian_kernel()[0x1F1:0x1F2]


@pytest.mark.parametrize(("bits", "in_64"), [("x64", True), ("ia32", False)])
def test_memtest_is_not_relocatable(bits: str, in_64: bool) -> None:
    image = parse_bzimage(memtest(bits))
    assert is_bzimage(memtest(bits))
    assert not image.relocatable
    assert image.enters_in_64_bits is in_64
    assert image.pref_address == 0x100000
    assert image.version == 0x020C


@pytest.mark.parametrize(("field", "value"), [
    # What kexec_file_load of Linux 6.1 accepts all the same, and what it refuses.
    ("setup_sects", 255), ("setup_sects", 1), ("syssize", 0), ("payload_length", 0xFFFFFFFF), ("payload_offset", 1),
    ("kernel_alignment", 0), ("kernel_alignment", 3), ("pref_address", 0xFFFFFFFF00000000), ("pref_address", 1),
    ("boot_flag", 0), ("version", 0x0100), ("loadflags", 0), ("init_size", 0), ("init_size", 0xFFFFFFFF),
    ("cmdline_size", 0), ("initrd_addr_max", 0), ("relocatable_kernel", 2), ("jump_offset", 0),
])
def test_a_field_that_lies_is_named(field: str, value: int) -> None:
    problem = refuses(parse_bzimage, change(debian_kernel(), field, value), field)
    assert isinstance(problem, FormatError)


@pytest.mark.parametrize("cut", [1, 4096, 1 << 20, 7 << 20])
def test_half_a_kernel_is_refused(cut: int) -> None:
    image = parse_bzimage(debian_kernel())
    unsigned = debian_kernel()[: image.setup_size + image.load_size]
    problem = refuses(parse_bzimage, unsigned[: len(unsigned) - max(cut, 16)])
    assert "syssize" in str(problem)


def test_a_zeroed_payload_is_refused() -> None:
    data = bytearray(debian_kernel())
    offset = int.from_bytes(data[0x248:0x24C], "little") + parse_bzimage(bytes(data)).setup_size
    data[offset : offset + 64] = bytes(64)
    assert "payload" in str(refuses(parse_bzimage, bytes(data)))


def test_every_cut_of_the_header_is_refused() -> None:
    for end in range(0x290):
        refuses(parse_bzimage, debian_kernel()[:end])


def test_every_number_may_lie() -> None:
    small = change(debian_kernel()[: 64 << 10], "syssize", (40 << 10) // 16)
    small = change(change(small, "payload_length", 0), "payload_offset", 0)
    parse_bzimage(small)
    for what, lie in mutations(SETUP, small):
        survives(parse_bzimage, lie, what)
