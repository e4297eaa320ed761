"""Partition tables are read as sfdisk reads them, and a broken one gives way to its backup or to an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.discover.tables import parse_table
from shim.errors import FormatError
from shim.formats import dps, gpt, mbr
from shim.system.devices import ImageFile
from tests.builders.filesystems import MIB, fdisk, make_table, sfdisk_json, with_sectors_of_4096
from tests.unit.hostile import mutations, survives
from tests.unit.test_superblocks import reader

pytestmark = pytest.mark.tools
GPT = f"""label: gpt
size=4MiB, type={dps.ESP}, name="EFI system"
size=4MiB, type={dps.XBOOTLDR}, name="boot ü"
start=20MiB, size=8MiB, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709
"""
DOS = """label: dos
label-id: 0x1234abcd
size=4MiB, type=ef, bootable
size=4MiB, type=ea
type=5, size=40MiB
size=4MiB, type=83
size=4MiB, type=83
size=4MiB, type=82
"""


@pytest.fixture
def gpt_disk(tmp_path: Path) -> Path:
    return make_table(tmp_path / "gpt.img", 64 * MIB, GPT)


def test_a_gpt_is_what_fdisk_says(gpt_disk: Path) -> None:
    table = parse_table(ImageFile(str(gpt_disk)))
    assert table is not None
    assert table.problem is None
    witness = fdisk(gpt_disk)
    assert len(witness) == 3
    assert [(row.start // 512, row.parttype, row.partuuid, row.name or "") for row in table.rows] == witness
    assert [row.kind for row in table.rows] == ["esp", "xbootldr", "root"]


def test_sectors_of_4096_bytes_hold_the_same_table(gpt_disk: Path) -> None:
    """The witness for such a disk is the kernel: a VM test boots from one."""
    whole = parse_table(ImageFile(str(gpt_disk)))
    gpt_disk.write_bytes(with_sectors_of_4096(gpt_disk.read_bytes()))
    table = parse_table(ImageFile(str(gpt_disk), 4096))
    assert whole is not None
    assert table is not None
    assert table.rows == whole.rows


def test_an_mbr_with_logical_partitions_is_what_sfdisk_says(tmp_path: Path) -> None:
    image = make_table(tmp_path / "disk.img", 64 * MIB, DOS)
    found = mbr.parse_mbr(reader(image.read_bytes()), 64 * MIB, 512)
    assert found is not None
    witness = [part for part in sfdisk_json(image)["partitions"] if part["type"] != "5"]  # type: ignore[attr-defined]
    assert [(part.start // 512, part.size // 512, f"{part.os_type:x}") for part in found.partitions] == [
        (part["start"], part["size"], part["type"]) for part in witness]
    numbers = [int(part["node"].removeprefix(str(image))) for part in witness]
    assert max(numbers) > 5
    assert [part.partuuid for part in found.partitions] == [f"1234abcd-{number:02x}" for number in numbers]
    table = parse_table(ImageFile(str(image)))
    assert table is not None
    assert [row.kind for row in table.rows] == ["esp", "xbootldr", "other", "other", "other"]


def break_at(image: Path, at: int) -> None:
    data = bytearray(image.read_bytes())
    data[at] ^= 0x40
    image.write_bytes(data)


@pytest.mark.parametrize("at", [512, 512 + 16, 512 + 72, 1024 + 40, 1024 + 5000])
def test_a_broken_primary_gives_way_to_the_backup(gpt_disk: Path, at: int) -> None:
    whole = parse_table(ImageFile(str(gpt_disk)))
    break_at(gpt_disk, at)
    table = parse_table(ImageFile(str(gpt_disk)))
    assert whole is not None
    assert table is not None
    assert table.rows == whole.rows
    assert table.problem


def test_two_broken_headers_are_an_error(gpt_disk: Path) -> None:
    break_at(gpt_disk, 512 + 40)
    break_at(gpt_disk, 64 * MIB - 512 + 40)
    with pytest.raises(FormatError, match="wrong checksum"):
        parse_table(ImageFile(str(gpt_disk)))


def test_every_number_of_a_gpt_may_lie(gpt_disk: Path) -> None:
    """With the checksum made right again, so that the checks behind it are reached."""
    import binascii

    data = gpt_disk.read_bytes()[: 1 << 17]

    def parse(lie: bytes) -> object:
        header = bytearray(lie[512:604])
        header[16:20] = bytes(4)
        crc = binascii.crc32(bytes(header)).to_bytes(4, "little")
        return gpt.parse_gpt(reader(lie[:528] + crc + lie[532:]), len(lie), 512)

    for what, lie in mutations(gpt.HEADER, data, 512):
        survives(parse, lie, what)
    for what, lie in mutations(gpt.ENTRY, data, 1024):
        survives(lambda lie: gpt.parse_gpt(reader(lie), len(lie), 512), lie, what)


def test_every_number_of_an_mbr_may_lie(tmp_path: Path) -> None:
    data = make_table(tmp_path / "disk.img", 64 * MIB, DOS).read_bytes()[: 16 * MIB]
    for number in range(4):
        for what, lie in mutations(mbr.PARTITION, data[:512], 0x1BE + 16 * number):
            image = lie + data[512:]
            survives(lambda image: mbr.parse_mbr(reader(image), 64 * MIB, 512), image, what)


def test_a_chain_that_bites_its_tail_ends(tmp_path: Path) -> None:
    image = make_table(tmp_path / "disk.img", 64 * MIB, DOS)
    data = bytearray(image.read_bytes())
    first = next(part["start"] for part in sfdisk_json(image)["partitions"] if part["type"] == "5")  # type: ignore[attr-defined]
    at = first * 512 + 0x1BE + 16 + 8  # where the next record is, relative to the first
    data[at : at + 4] = bytes(4)
    table = mbr.parse_mbr(reader(bytes(data)), 64 * MIB, 512)
    assert table is not None
    assert "does not end" in (table.problem or "")
    assert [part.number for part in table.partitions] == [1, 2, 4, 5]


@given(st.binary(min_size=512, max_size=2048))
def test_anything_is_a_table_or_none_or_an_error(data: bytes) -> None:
    for build in (data, data[:510] + b"\x55\xaa" + data[512:], data[:512] + gpt.SIGNATURE + data[520:]):
        survives(lambda image: gpt.parse_gpt(reader(image), len(image), 512), build)
        survives(lambda image: mbr.parse_mbr(reader(image), len(image), 512), build)


def test_a_fat_boot_sector_is_no_mbr(tmp_path: Path) -> None:
    from tests.builders.filesystems import make_filesystem

    data = make_filesystem("vfat16", tmp_path).read_bytes()
    table = mbr.parse_mbr(reader(data), len(data), 512)
    assert table is None or not table.partitions
