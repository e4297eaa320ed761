"""What is read from images is what the tools of each file system read from them."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from shim.errors import FetchError, FormatError
from shim.images import open_files
from shim.system.devices import ImageFile
from tests.builders import debian
from tests.builders.disk import Hole, Link, Partition, make_volume
from tests.builders.filesystems import KINDS, MIB, make_filesystem, run
from tests.unit.image_trees import host_tree, open_image, read_tree

pytestmark = pytest.mark.tools
EXT = {
    "ext2, 1 KiB": "-t ext2 -b 1024", "ext3": "-t ext3 -b 4096", "ext4": "-t ext4", "ext4, 1 KiB": "-t ext4 -b 1024",
    "small inodes": "-t ext4 -I 128", "32 bits": "-t ext4 -O ^64bit", "block maps": "-t ext4 -O ^extent,^64bit",
    "inline data": "-t ext4 -O inline_data -I 256", "inline data, large inodes": "-t ext4 -O inline_data -I 1024",
    "meta_bg": "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode", "bigalloc": "-t ext4 -O bigalloc -C 16384",
    "sparse_super2": "-t ext4 -b 1024 -g 1024 -O sparse_super2,^resize_inode,meta_bg", "revision 0": "-r 0 -b 1024",
    "2 KiB, many inodes": "-t ext4 -b 2048 -i 2048", "metadata_csum": "-t ext4 -O metadata_csum,metadata_csum_seed",
}
FAT = {
    "FAT12": ("-F 12 -s 1", 2), "FAT12, large clusters": ("-F 12 -s 8", 4), "FAT16": ("-F 16 -s 2", 12),
    "FAT32": ("-F 32 -s 1", 40), "sectors of 4096": ("-F 16 -S 4096 -s 1", 32), "one FAT": ("-F 16 -f 1", 16),
    "FAT32, 4 KiB": ("-F 32 -s 8", 300),
}
ISO = {"Rock Ridge": "-R -D", "Joliet": "-J -joliet-long -D", "both": "-R -J", "neither": "-iso-level 2 -D",
       "neither, long": "-iso-level 4 -D", "relocated": "-R", "relocated, hidden": "-R -hide-rr-moved"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small and large files, long names, a directory of many, and one that is deep."""
    root = tmp_path_factory.mktemp("tree")
    noise = random.Random(1)
    for path, size in {"a.txt": 5, "empty": 0, "EFI/Linux/big.efi": 700_001, "boot/vmlinuz-6.1.0-9-amd64": 70_000,
                       "boot/tiny": 90, "boot/tinier": 60, "a long name, with (all) kinds of 'letters' + é.conf": 4097,
                       "loader/entries/x.conf": 512, "1/2/3/4/5/6/7/8/9/10/deep": 33}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(noise.randbytes(size))
    (root / "many").mkdir()
    for number in range(300):
        (root / f"many/a file of many, number {number:04}.conf").write_bytes(b"%d" % number)
    return root


@pytest.mark.parametrize("options", EXT.values(), ids=EXT.keys())
def test_ext(tree: Path, tmp_path: Path, options: str) -> None:
    """WITNESS: debugfs, which reads the same image, and the tree that mke2fs was given."""
    linked = tmp_path / "tree"
    run("cp", "-a", str(tree), str(linked))
    Path(linked, "boot/vmlinuz").symlink_to("vmlinuz-6.1.0-9-amd64")
    Path(linked, "boot/far").symlink_to("./" * 60 + "../a.txt")
    with Path(linked, "sparse").open("wb") as sparse:
        os.pwrite(sparse.fileno(), b"middle", 300 << 10)
        os.pwrite(sparse.fileno(), b"end", (3 << 20) + 5)
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(24 * MIB)
    run("mke2fs", "-q", *options.split(), "-d", str(linked), str(image))
    found = read_tree(open_image(image))
    assert found.pop("/lost+found") == "directory"
    assert found == host_tree(linked)
    if "inline_data" in options:  # debugfs 1.47 fills up with zeros what it dumps of inline data
        return
    out = tmp_path / "out"
    out.mkdir()
    run("debugfs", "-R", f"rdump / {out}", str(image))
    (out / "lost+found").rmdir()
    assert found == host_tree(out)


@pytest.mark.parametrize(("options", "size"), FAT.values(), ids=FAT.keys())
def test_fat(tree: Path, tmp_path: Path, options: str, size: int) -> None:
    """WITNESS: mcopy of mtools. The volume is used before, so that files lie in pieces."""
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(size * MIB)
    run("mkfs.vfat", *options.split(), "-n", "ESP", str(image))
    for number in range(12):
        (tmp_path / f"filler{number}").write_bytes(b"x" * 9000)
    run("mcopy", "-i", str(image), *(str(tmp_path / f"filler{number}") for number in range(12)), "::")
    run("mdel", "-i", str(image), *(f"::filler{number}" for number in range(0, 12, 2)))
    run("mcopy", "-s", "-Q", "-i", str(image), *map(str, sorted(tree.iterdir())), "::")
    run("mdel", "-i", str(image), *(f"::filler{number}" for number in range(1, 12, 2)))
    found = read_tree(open_image(image))
    out = tmp_path / "out"
    out.mkdir()
    run("mcopy", "-s", "-Q", "-n", "-i", str(image), "::*", str(out))
    assert found == host_tree(out)
    assert found == host_tree(tree)


def test_fat_names_are_found_whatever_their_case(tree: Path, tmp_path: Path) -> None:
    """As Linux's vfat does: also by the short name, and with dots at the end."""
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(4 * MIB)
    run("mkfs.vfat", str(image))
    run("mcopy", "-s", "-i", str(image), str(tree / "loader"), str(tree / "a.txt"), str(tree / "EFI"),
        str(next(tree.glob("a long*"))), "::")
    files = open_image(image)
    assert files.names("/efi/LINUX") == ("big.efi",)
    assert files.names("/EFI/linux.") == ("big.efi",)
    assert files.read("/A.TXT", 99) == (tree / "a.txt").read_bytes()
    assert files.exists("/ALONGN~1.CON")
    assert "a.txt" in (files.names("/") or ())


@pytest.mark.parametrize("options", ISO.values(), ids=ISO.keys())
def test_iso(tree: Path, tmp_path: Path, options: str) -> None:
    """WITNESS: isoinfo, which lists the same image; the content is that of the tree that genisoimage was given."""
    image = tmp_path / "image"
    run("genisoimage", "-quiet", "-V", "CD", *options.split(), "-o", str(image), str(tree))
    found = read_tree(open_image(image))
    moved = [path for path in found if path in ("/rr_moved", "/.rr_moved")]
    assert bool(moved) is ("-R" in options and "-D" not in options)
    for path in moved:  # where directories that lie too deep are kept: they are not shown there
        assert found.pop(path) == "directory"
    given = host_tree(tree)
    assert sorted(found.values()) == sorted(given.values())
    if "-R" in options:
        assert found == given
    else:
        joliet = "-J" in options
        done = subprocess.run(["isoinfo", "-f", *(["-J"] if joliet else []), "-i", image], check=True,
                              capture_output=True)
        listed = done.stdout.decode("latin-1" if joliet else "utf-8").splitlines()
        plain = [line.removesuffix(".;1").removesuffix(";1") for line in listed if line != "/"]
        assert sorted(found) == sorted(plain if joliet else map(str.lower, plain))


def test_iso_case(tree: Path, tmp_path: Path) -> None:
    """As Linux's isofs does: only Joliet's names are found whatever their case."""
    for options, found in (("-R", False), ("-J", True), ("-iso-level 1", False)):
        run("genisoimage", "-quiet", *options.split(), "-o", str(tmp_path / "image"), str(tree / "EFI"))
        files = open_image(tmp_path / "image")
        assert files.exists("/LINUX/BIG.EFI") is found
    assert files.exists("/linux/big.efi")


@pytest.mark.parametrize("filesystem", ["ext2", "ext4", "iso9660"])
def test_links_stay_inside(tmp_path: Path, filesystem: str) -> None:
    image = make_volume(tmp_path / "image", Partition("root", filesystem, {
        "/file": "content", "/d/e/up": Link("../../file"), "/out": Link("../file"), "/absolute": Link("/file"),
        "/loop": Link("loop"), "/two": Link("loop2"), "/loop2": Link("two"), "/d/dir": Link("e"), "/none": Link("x"),
        "/d/far": Link("dir/../../d/e/./up")}))
    files = open_image(image)
    assert files.read("/d/far", 99) == files.read("/d/dir/up", 99) == b"content"
    assert files.names("/d/dir") == ("up",)
    for path, reason in {"/out": "leads out", "/absolute": "leads out", "/loop": "too many symbolic links",
                         "/two": "too many symbolic links", "/none": "no such file", "/d": "not a regular file",
                         "/../file": "leads out", "/file/x": "no such file", "/" + "x" * 5000: "too long"}.items():
        assert not files.exists(path)
        with pytest.raises(FetchError, match=reason):
            files.open(path)
    assert files.names("/file") is None
    assert files.names("/absent") is None
    with pytest.raises(FetchError, match="too long"):
        files.read("/file", 3)


def test_a_source_is_read_forwards_in_any_pieces(tmp_path: Path) -> None:
    content = random.Random(2).randbytes(300_000)
    image = make_volume(tmp_path / "image", Partition("esp", "vfat", {"/file": content, "/empty": b""}))
    source = open_image(image).open("/file")
    assert source.size == len(content)
    got = source.read(10)
    source.skip(100_000)
    rest = b"".join(iter(lambda: source.read(7777), b""))
    assert got + rest == content[:10] + content[100_010:]
    assert source.read(1) == b""
    source.close()
    assert open_image(image).read("/empty", 0) == b""


def test_a_file_of_zeros_is_not_read(tmp_path: Path) -> None:
    """A hole of a gigabyte takes no time to pass over, and its end is where it was."""
    image = make_volume(tmp_path / "image", Partition("root", "ext4", {"/hole": Hole(1 << 30)}))
    source = open_image(image).open("/hole")
    source.skip((1 << 30) - 4)
    assert source.read(100) == bytes(4)


def test_a_journal_that_was_not_replayed_is_told(tmp_path: Path) -> None:
    image = make_volume(tmp_path / "image", Partition("root", "ext4", {"/file": "content"}))
    assert open_image(image).notes == ()
    run("debugfs", "-w", "-R", "feature needs_recovery", str(image))
    files = open_image(image)
    assert "journal is not replayed" in files.notes[0]
    assert files.read("/file", 99) == b"content"
    image = make_volume(tmp_path / "image", Partition("root", "ext2", {"/file": "content"}))
    run("debugfs", "-w", "-R", "set_super_value state 0", str(image))
    assert open_image(image).notes == ("it was not unmounted: what was written last may be missing or damaged",)


@pytest.mark.parametrize(("name", "inside"), [("ipxe", "/efi.img"), ("memtest86+", None)])
def test_isos_of_debian(name: str, inside: str | None, tmp_path: Path) -> None:
    """Made by others, one with a FAT image inside. WITNESS: isoinfo for the ISO, mcopy for the FAT."""
    images = sorted(debian.package(name).rglob("*.iso"))
    assert images
    for image in images:
        files = open_image(image)
        found = read_tree(files)
        assert sorted(found) == sorted(run("isoinfo", "-R", "-f", "-i", str(image)).splitlines())
        for path, digest in found.items():
            if digest != "directory":
                done = subprocess.run(["isoinfo", "-R", "-i", image, "-x", path], capture_output=True, check=True)
                assert hashlib.sha256(done.stdout).hexdigest() == digest, path
        if inside is not None:
            (tmp_path / "fat").write_bytes(files.read(inside, 64 * MIB))
            (tmp_path / "out").mkdir()
            run("mcopy", "-s", "-Q", "-n", "-i", str(tmp_path / "fat"), "::*", str(tmp_path / "out"))
            assert read_tree(open_image(tmp_path / "fat")) == host_tree(tmp_path / "out") != {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_system_is_read_or_says_that_it_is_not(kind: str, tmp_path: Path) -> None:
    image = make_filesystem(kind, tmp_path)
    if kind in ("xfs", "btrfs", "squashfs", "erofs", "f2fs"):
        with pytest.raises(FetchError, match=f"{kind} is not read"):
            open_image(image)
    else:
        assert open_image(image).names("/") is not None


@pytest.mark.parametrize("fstype", ["vfat", "ext4", "iso9660"])
def test_what_is_no_file_system(fstype: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(64 << 10))
    with pytest.raises(FormatError):
        open_files(fstype, ImageFile(str(tmp_path / "image")).read_at)
