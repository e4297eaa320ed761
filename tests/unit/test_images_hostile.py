"""Images that lie: whatever is read from them ends, within bounds, in a value or a typed error."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shim.errors import FetchError, FormatError, ShimError
from shim.formats import ext, iso9660, vfat
from shim.formats.ext_inode import EXTENT_HEADER, INODE, block_map, extents, inline_places, parse_dirents
from shim.formats.iso9660_directory import parse_directory, parse_record, parse_system_use
from shim.formats.record import Record
from shim.formats.vfat_directory import parse_directory as parse_fat_directory
from shim.images import ImageFiles
from tests.builders.disk import Link
from tests.builders.filesystems import run
from tests.unit.hostile import bounded, cuts, mutations, survives, with_memory
from tests.unit.image_trees import open_image, read_tree

pytestmark = pytest.mark.tools
FILES = {"a": b"x" * 3000, "d/e/f": b"y" * 9000, "d/long name of a file.conf": b"z", "loader/entries/x.conf": b"title"}
MAKERS = {
    "FAT12": ("mkfs.vfat -F 12 -s 1 {image}", 256 << 10), "FAT16": ("mkfs.vfat -F 16 -s 1 {image}", 4 << 20),
    "FAT32": ("mkfs.vfat -F 32 -s 1 {image}", 34 << 20),
    "ext2": ("mke2fs -q -t ext2 -b 1024 -N 64 -d {tree} {image}", 400 << 10),
    "ext4": ("mke2fs -q -t ext4 -b 1024 -N 64 -O ^has_journal,^resize_inode -d {tree} {image}", 400 << 10),
    "inline": ("mke2fs -q -t ext4 -b 1024 -N 64 -I 256 -O inline_data,^has_journal,^resize_inode -d {tree} {image}",
               400 << 10),
    "Rock Ridge": ("genisoimage -quiet -R -o {image} {tree}", 0),
    "Joliet": ("genisoimage -quiet -J -o {image} {tree}", 0),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("hostile")
    tree = folder / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    return {kind: make(kind, folder, tree) for kind in MAKERS}


def make(kind: str, folder: Path, tree: Path) -> bytes:
    command, size = MAKERS[kind]
    image = folder / "image"
    image.unlink(missing_ok=True)
    if size:
        with image.open("wb") as stream:
            stream.truncate(size)
    linked = folder / "linked"
    if "FAT" not in kind and not linked.exists():
        run("cp", "-a", str(tree), str(linked))
        (linked / "link").symlink_to(Link("d/e/../e/f").target)
    run(*command.format(image=image, tree=linked).split())
    if "FAT" in kind:
        run("mcopy", "-s", "-i", str(image), *map(str, sorted(tree.iterdir())), "::")
    return image.read_bytes()


def survives_all(image: bytes, what: str, seconds: float = 1.0) -> None:
    """Read everything that the image claims to hold."""
    try:
        with bounded(seconds, 128 << 20):
            read_tree(open_image(image), tolerant=True)
    except ShimError as problem:
        assert str(problem), what


def used(image: bytes) -> list[int]:
    """Return where something is: a lie about what nobody reads is none."""
    return [at for at in range(len(image) - 8) if image[at] and image[at] != ord("x")]


@pytest.mark.parametrize("kind", MAKERS)
def test_images_with_lies_anywhere(images: dict[str, bytes], kind: str) -> None:
    image, noise = images[kind], random.Random(kind)
    places = used(image)
    for number in range(150):
        made = bytearray(image)
        for _ in range(1 + number % 6):
            at = noise.choice(places) + noise.randrange(3)
            made[at] = noise.choice((0, 1, 0x7F, 0x80, 0xFF, noise.randrange(256)))
        survives_all(bytes(made), f"{kind} {number}")


@pytest.mark.parametrize("kind", MAKERS)
def test_images_that_are_cut(images: dict[str, bytes], kind: str) -> None:
    image = images[kind]
    with with_memory():
        for size in [*range(0, 1100, 127), *range(1100, min(len(image), 400 << 10), 19 << 10), len(image) - 1]:
            survives_all(image[:size], f"{kind} cut to {size}", 5.0)


@pytest.mark.parametrize(("kind", "record", "at"), [
    ("FAT12", vfat.BOOT_SECTOR, 0), ("FAT16", vfat.BOOT_SECTOR, 0), ("FAT32", vfat.BOOT_SECTOR, 0),
    ("ext2", ext.SUPERBLOCK, ext.OFFSET), ("ext4", ext.SUPERBLOCK, ext.OFFSET), ("inline", ext.SUPERBLOCK, ext.OFFSET),
    ("Rock Ridge", iso9660.DESCRIPTOR, iso9660.OFFSET), ("Joliet", iso9660.DESCRIPTOR, iso9660.OFFSET + 2048),
])
def test_every_number_of_a_superblock_lies(images: dict[str, bytes], kind: str, record: Record, at: int) -> None:
    for what, made in mutations(record, images[kind], at):
        survives_all(made, what)


@pytest.mark.parametrize("kind", ["ext2", "ext4", "inline"])
def test_every_number_of_an_inode_lies(images: dict[str, bytes], kind: str) -> None:
    """The root's inode, and the one of the first file that was written."""
    image = images[kind]
    modes = [at for at in range(0, len(image) - 256, 128)
             if image[at : at + 2] in (b"\xed\x41", b"\xa4\x81") and image[at + 26] < 8]
    assert len(modes) > 4
    for at in modes[:6]:
        for what, made in mutations(INODE, image, at):
            survives_all(made, what)
        if image[at + 0x28 : at + 0x2A] == b"\x0a\xf3":
            for what, made in mutations(EXTENT_HEADER, image, at + 0x28):
                survives_all(made, what)


def replaced(image: bytes, at: int, data: bytes) -> bytes:
    return image[:at] + data + image[at + len(data) :]


def fails(files: ImageFiles, path: str, reason: str) -> None:
    with bounded(1.0), pytest.raises(FetchError, match="damaged") as problem:
        files.read(path, 1 << 20)
    assert reason in str(problem.value)


@pytest.mark.parametrize(("kind", "width"), [("FAT16", 2), ("FAT32", 4)])
def test_chains_of_clusters_that_lie(images: dict[str, bytes], kind: str, width: int) -> None:
    image = images[kind]
    geometry = vfat.parse_boot_sector(image[:512])
    assert geometry is not None
    entry = image.index(b"A          ")
    cluster = int.from_bytes(image[entry + 26 : entry + 28], "little")
    at = geometry.fat_start + width * cluster
    assert open_image(image).read("/a", 3000) == FILES["a"]
    for value, reason in ((0, "outside the volume"), (1, "outside"), (0x7FFF, "outside the volume"),
                          (0xFFFFFFFF, "ends before its size")):
        fails(open_image(replaced(image, at, value.to_bytes(4, "little")[:width])), "/a", reason)
    # A loop gives the file's size of bytes and no more.
    looped = open_image(replaced(image, at, cluster.to_bytes(width, "little")))
    with bounded():
        assert len(looped.read("/a", 3000)) == 3000
    huge = replaced(image, entry + 28, b"\xff" * 4)
    fails(open_image(huge), "/a", "larger than the volume")


def test_a_fat_directory_that_does_not_end(images: dict[str, bytes]) -> None:
    image = images["FAT16"]
    geometry = vfat.parse_boot_sector(image[:512])
    assert geometry is not None
    entry = image.index(b"D          ")
    cluster = int.from_bytes(image[entry + 26 : entry + 28], "little")
    looped = replaced(image, geometry.fat_start + 2 * cluster, cluster.to_bytes(2, "little"))
    with bounded(3.0), pytest.raises(FetchError, match="FAT directory does not end"):
        open_image(looped).names("/d")
    # A directory inside itself: each path ends, because paths do.
    inside = image.index(b"E          ", geometry.data_start)
    nested = open_image(replaced(image, inside + 26, cluster.to_bytes(2, "little")))
    with bounded(3.0):
        assert nested.names("/d" + "/e" * 1000) == nested.names("/d")


def tree_of(*nodes: bytes) -> Callable[[int], bytes]:
    return lambda block: nodes[block]


def header(entries: int, depth: int) -> bytes:
    return EXTENT_HEADER.build(magic=0xF30A, entries=entries, max=84, depth=depth)


def index(block: int, leaf: int) -> bytes:
    return block.to_bytes(4, "little") + leaf.to_bytes(4, "little") + bytes(4)


@pytest.mark.parametrize(("root", "nodes", "reason"), [
    (header(1, 5) + index(0, 0), [header(1, 5) + index(0, 0)], "damaged"),
    (header(1, 1) + index(0, 0), [header(0, 0)], "damaged"),
    (header(2, 1) + index(0, 0) + index(0, 0), [header(1, 0) + b"\0\0\0\0\1\0\0\0\1\0\0\0"], "not in order"),
    (header(5, 0), [], "no ext4 extent tree"), (header(1, 6), [], "no ext4 extent tree"), (bytes(60), [], "no ext4"),
    (header(1, 0) + bytes(12), [], "without a block"),
])
def test_extent_trees_that_lie(root: bytes, nodes: list[bytes], reason: str) -> None:
    padded = [node.ljust(1024, b"\0") for node in nodes]
    with bounded(), pytest.raises(FormatError, match=reason):
        list(extents(root.ljust(60, b"\0"), tree_of(*padded)))


def test_a_tree_that_shares_its_nodes_ends(images: dict[str, bytes]) -> None:
    """Five levels of 84 pointers at the same nodes would be four thousand million leaves."""
    levels = [b"".join((header(84, depth), *(index(number, depth - 1) for number in range(84))))
              for depth in range(1, 5)]
    leaf = header(1, 0) + b"\0\0\0\0\1\0\0\0\1\0\0\0"
    with bounded(1.0), pytest.raises(FormatError):
        list(extents((header(4, 5) + b"".join(index(number, 4) for number in range(4))), tree_of(leaf, *levels)))
    table = (1).to_bytes(4, "little") * 256
    with bounded(), pytest.raises(FormatError, match="comes twice"):
        list(block_map(table[:60], lambda _block: table, 1024, 100_000))


@pytest.mark.parametrize("data", [
    b"\1\0\0\0\0\0\1\0a\0\0\0", b"\1\0\0\0\x0c\0\xff\0a\0\0\0", b"\1\0\0\0\x10\0\1\0a\0\0\0",
    b"\1\0\0\0\x0b\0\1\0a\0\0\0",
    b"\1\0\0\0\x0c\0\0\0a\0\0\0", b"\1\0\0\0\xff\xff\1\0a\0\0\0",
])
def test_directory_entries_that_lie(data: bytes) -> None:
    with bounded(), pytest.raises(FormatError, match="ext directory entry"):
        list(parse_dirents(data))


def noisy(data: bytes) -> Iterator[bytes]:
    yield from cuts(data)
    noise = random.Random(3)
    for _ in range(300):
        made = bytearray(data)
        made[noise.randrange(len(data))] = noise.randrange(256)
        yield bytes(made)


def test_parsers_survive_anything(images: dict[str, bytes]) -> None:
    fat, cd, inode = images["FAT12"], images["Rock Ridge"], images["inline"]
    geometry = vfat.parse_boot_sector(fat[:512])
    assert geometry is not None
    for data in noisy(fat[geometry.root_start : geometry.root_start + 512]):
        survives(lambda given: list(parse_fat_directory(given)), data)
    root = parse_record(cd, iso9660.OFFSET + 0x9C)
    for data in noisy(cd[root.extent * 2048 :][:700]):
        survives(lambda given: list(parse_directory(given, 2048)), data)
        survives(lambda given: parse_system_use(given, lambda _block, _at, _size: given), data)
    at = next(at for at in range(0, len(inode), 256) if inode[at : at + 2] == b"\xed\x41")
    for data in noisy(inode[at : at + 256]):
        survives(lambda given: list(inline_places(given)), data)
        survives(lambda given: list(parse_dirents(given)), data)


def test_rock_ridge_that_continues_for_ever() -> None:
    again = b"CE\x1c\x01" + b"".join(number.to_bytes(4, "little") * 2 for number in (5, 0, 28))
    with bounded(), pytest.raises(FormatError, match="continues too often"):
        parse_system_use(again, lambda _block, _at, _size: again)
    names = b"NM\xff\x01\x01" + b"n" * 250
    with bounded(), pytest.raises(FormatError, match="too long"):
        parse_system_use(names * 2, lambda _block, _at, _size: again)
    link = b"SL\xff\x01\x01\x00\xf8" + b"l" * 248
    with bounded(), pytest.raises(FormatError, match="too long"):
        parse_system_use(link * 20, lambda _block, _at, _size: again)


def test_files_in_several_sections(tmp_path: Path) -> None:
    """As a file beyond 4 GiB has it: records of one name that say that there are more."""
    for name, content in {"A.TXT": b"first", "B.TXT": b"second", "C.TXT": b"third"}.items():
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    run("genisoimage", "-quiet", "-o", str(tmp_path / "image"), str(tmp_path / "tree"))
    image = bytearray((tmp_path / "image").read_bytes())
    for name in (b"A.TXT;1", b"B.TXT;1"):
        at = image.index(name)
        image[at - 8] |= 0x80
        image[at : at + 7] = b"A.TXT;1"
    at = image.index(b"C.TXT;1")
    image[at : at + 7] = b"A.TXT;1"
    assert open_image(bytes(image)).names("/") == ("a.txt",)
    assert open_image(bytes(image)).read("/a.txt", 99) == b"firstsecondthird"


def test_features_that_are_not_known_are_refused(images: dict[str, bytes]) -> None:
    at = ext.OFFSET + ext.SUPERBLOCK.offsets["feature_incompat"]
    with pytest.raises(FormatError, match="not known"):
        open_image(replaced(images["ext4"], at + 3, b"\x80"))
