"""A volume's type, label and UUID are what blkid says, for file systems made by their own tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from shim.discover.superblocks import PROBES, find_superblock
from shim.formats import btrfs, erofs, ext, f2fs, iso9660, squashfs, vfat, xfs
from shim.formats.record import Record
from shim.system.devices import ImageFile
from tests.builders.filesystems import KINDS, blkid, make_filesystem
from tests.unit.hostile import mutations, survives, with_memory

pytestmark = pytest.mark.tools
RECORDS: dict[str, tuple[object, int, Record]] = {
    "vfat12": (vfat, 0, vfat.BOOT_SECTOR), "vfat32": (vfat, 0, vfat.BOOT_SECTOR),
    "ext4": (ext, ext.OFFSET, ext.SUPERBLOCK), "xfs": (xfs, 0, xfs.SUPERBLOCK),
    "btrfs": (btrfs, btrfs.OFFSET, btrfs.SUPERBLOCK), "squashfs": (squashfs, 0, squashfs.SUPERBLOCK),
    "erofs": (erofs, erofs.OFFSET, erofs.SUPERBLOCK), "f2fs": (f2fs, f2fs.OFFSET, f2fs.SUPERBLOCK),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("filesystems")
    return {kind: make_filesystem(kind, directory) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_is_what_blkid_says(images: dict[str, Path], kind: str) -> None:
    witness = blkid(images[kind])
    found = find_superblock(ImageFile(str(images[kind])))
    assert found is not None
    assert (found.fstype, found.label, found.uuid) == (
        witness["TYPE"], witness.get("LABEL"), witness.get("UUID"))
    assert kind.startswith(found.fstype)


def test_each_kind_of_file_system_is_made_by_a_test(images: dict[str, Path]) -> None:
    found = {find_superblock(ImageFile(str(image))) for image in images.values()}
    assert len({block.fstype for block in found if block}) == len(PROBES) + 2  # ext is three


@pytest.mark.parametrize("kind", RECORDS)
def test_every_number_may_lie(images: dict[str, Path], kind: str, tmp_path: Path) -> None:
    module, at, record = RECORDS[kind]
    head = images[kind].read_bytes()[: 1 << 17]
    with with_memory():
        for what, lie in mutations(record, head, at):
            survives(lambda data: module.probe(reader(data)), lie, what)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["iso9660", *RECORDS])
def test_every_cut_is_survived(images: dict[str, Path], kind: str, tmp_path: Path) -> None:
    head = images[kind].read_bytes()[: 1 << 17]
    module = RECORDS[kind][0] if kind in RECORDS else iso9660
    for end in [*range(0, 3072, 7), *range(32760, 34000, 11), *range(65536, 69632, 17)]:
        survives(lambda data: module.probe(reader(data)), head[:end], f"{kind} {end}")  # type: ignore[attr-defined]


def test_nothing_is_found_in_noise_and_zeros() -> None:
    for data in (bytes(1 << 17), bytes(range(256)) * 512):
        assert all(probe(reader(data)) is None for probe in PROBES)


def reader(data: bytes):  # type: ignore[no-untyped-def]
    """Read as a device does: exact, or an error."""
    from shim.errors import FetchError

    def read(offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > len(data):
            raise FetchError("beyond the end of the device", at=offset, size=size, end=len(data))
        return data[offset : offset + size]

    return read
