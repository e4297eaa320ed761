"""PE headers: nothing in them is believed about the length of the file."""

from __future__ import annotations

import struct
from pathlib import Path

import pefile
import pytest

from shim.errors import FormatError
from shim.formats.pe import (
    COFF_HEADER,
    DIRECTORY,
    DOS_HEADER,
    OPTIONAL_HEADER,
    SECTION_HEADER,
    SECTIONS_MAX,
    parse_pe,
)
from tests.builders.debian import kernel, package
from tests.builders.signing import places, small_pe
from tests.unit.hostile import bounded, cuts, mutations, refuses, survives, with_memory


def test_the_headers_of_a_small_file() -> None:
    for is_64 in (True, False):
        data = small_pe((0x200, 0x400), is_64=is_64)
        pe = parse_pe(data)
        assert (pe.is_64, pe.machine, pe.machine_name, pe.subsystem) == (is_64, 0x8664, "x64", 10)
        assert (pe.checksum_offset, pe.certificate_entry_offset) == places(data)
        assert (pe.certificates_offset, pe.certificates_size, pe.size_of_headers) == (0, 0, 0x200)
        rows = [(one.name, one.raw_offset, one.size) for one in pe.sections]
        assert rows == [(".s0", 0x200, 0x200), (".s1", 0x400, 0x400)]
        second = pe.section(".s1")
        assert second is not None and bytes(second.data(data)) == data[0x400:]
        assert pe.section(".linux") is None


@pytest.mark.tools
@pytest.mark.parametrize("what", ["amd64 kernel", "arm64 kernel", "shim", "systemd-boot"])
def test_real_files_read_as_the_witness_reads_them(what: str) -> None:
    """WITNESS: pefile of PyPI."""
    paths: dict[str, Path] = {
        "amd64 kernel": kernel("cloud", "amd64").image,
        "arm64 kernel": kernel("cloud", "arm64").image,
        "shim": package("shim-signed") / "usr/lib/shim/shimx64.efi.signed",
        "systemd-boot": package("systemd-boot-efi", suite="trixie") / "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    }
    data = paths[what].read_bytes()
    pe, witness = parse_pe(data), pefile.PE(data=data, fast_load=True)
    optional, slot = witness.OPTIONAL_HEADER, witness.OPTIONAL_HEADER.DATA_DIRECTORY[4]
    assert pe.machine == witness.FILE_HEADER.Machine
    assert pe.subsystem == optional.Subsystem
    assert pe.size_of_headers == optional.SizeOfHeaders
    assert pe.size_of_image == optional.SizeOfImage
    assert pe.entry_point == optional.AddressOfEntryPoint
    assert pe.checksum_offset == optional.get_field_absolute_offset("CheckSum")
    assert pe.certificate_entry_offset == slot.get_file_offset()
    assert (pe.certificates_offset, pe.certificates_size) == (slot.VirtualAddress, slot.Size)
    assert [
        (one.virtual_address, one.virtual_size, one.raw_offset, one.raw_size) for one in pe.sections
    ] == [
        (one.VirtualAddress, one.Misc_VirtualSize, one.PointerToRawData, one.SizeOfRawData) for one in witness.sections
    ]
    assert parse_pe(data[: pe.size_of_headers]) == pe


def test_a_section_is_no_longer_than_it_means_and_no_longer_than_the_file() -> None:
    data = bytearray(small_pe())
    at = parse_pe(data).headers_end - SECTION_HEADER.size
    offsets = SECTION_HEADER.offsets
    for virtual, raw, expected in ((0x80, 0x200, 0x80), (0x1000, 0x200, 0x200), (0, 0x200, 0), (0x200, 0, 0)):
        struct.pack_into("<I", data, at + offsets["virtual_size"], virtual)
        struct.pack_into("<I", data, at + offsets["size_of_raw_data"], raw)
        section = parse_pe(data).sections[1]
        assert len(section.data(data)) == section.size == expected
    struct.pack_into("<I", data, at + offsets["virtual_size"], 0xFFFFFFFF)
    struct.pack_into("<I", data, at + offsets["size_of_raw_data"], 0xFFFFFFFF)
    with pytest.raises(FormatError, match="outside the file"):
        parse_pe(data).sections[1].data(data)


def test_hostile_headers_end_in_a_typed_error() -> None:
    data = small_pe()
    headers = parse_pe(data).headers_end
    for cut in cuts(data[:headers]):
        refuses(parse_pe, cut)
    for cut in cuts(data, step=3):
        survives(lambda raw: [section.data(raw) for section in parse_pe(raw).sections], cut)
    records = [(DOS_HEADER, 0), (COFF_HEADER, 64), (OPTIONAL_HEADER, 88), (DIRECTORY, places(data)[1])]
    for record, at in (*records, (SECTION_HEADER, headers - 40), (SECTION_HEADER, headers - 80)):
        for what, spoiled in mutations(record, data, at):
            survives(lambda raw: [section.data(raw) for section in parse_pe(raw).sections], spoiled, what)
    count_at = 88 + 108
    for count in (0, 1, 4, 5, 15, 17, 0xFFFF, 0xFFFFFFFF):
        spoiled = data[:count_at] + struct.pack("<I", count) + data[count_at + 4 :]
        if count > 16:
            refuses(parse_pe, spoiled)
        else:
            assert bool(parse_pe(spoiled).certificate_entry_offset) == (count >= 5)


def test_many_sections_cost_little() -> None:
    coff, row = 64, SECTION_HEADER.build(name=b".x")
    data = bytearray(small_pe(()))
    struct.pack_into("<H", data, coff + 6, SECTIONS_MAX)
    end = parse_pe(small_pe(())).headers_end
    full = bytes(data[:end]) + row * SECTIONS_MAX
    struct.pack_into("<I", data, coff + 24 + 0x3C, len(full))
    full = bytes(data[:end]) + row * SECTIONS_MAX
    with with_memory(), bounded():
        assert len(parse_pe(full).sections) == SECTIONS_MAX
    struct.pack_into("<H", data, coff + 6, 0xFFFF)
    assert "too many sections" in str(refuses(parse_pe, bytes(data[:end]) + row * 0xFFFF))
