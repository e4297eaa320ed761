"""Whole disk images: a partition table and file systems with files in them. No root, no mounting, no loop device."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shim.units import MIB, SECTOR_SIZE, align_up
from tests.builders.filesystems import make_table, run, with_sectors_of_4096

# The Discoverable Partitions Specification's types, and the types of an MBR, in sfdisk's words.
GPT_TYPES = {
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "xbootldr": "BC13C2FF-59E6-4262-A352-B275FD6F7172",
    "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "data": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
}
MBR_TYPES = {"esp": "ef", "xbootldr": "ea", "root": "83", "data": "83"}


class FileSystem(NamedTuple):
    """How a file system is made with files in it: the least size in bytes, 0 where the tool makes the image itself.

    The command's words are formatted with image, tree, label and sector_size.
    """

    smallest: int
    command: str
    then: str = ""


# One line a kind. None of the tools mounts anything.
FILE_SYSTEMS = {
    "vfat": FileSystem(4 * MIB, "mkfs.vfat -S {sector_size} -n {label} {image}"),
    "ext2": FileSystem(8 * MIB, "mke2fs -q -t ext2 -b 4096 -L {label} -d {tree} {image}"),
    "ext3": FileSystem(16 * MIB, "mke2fs -q -t ext3 -b 4096 -L {label} -d {tree} {image}"),
    "ext4": FileSystem(8 * MIB, "mke2fs -q -t ext4 -b 4096 -L {label} -d {tree} {image}"),
    "xfs": FileSystem(320 * MIB, "mkfs.xfs -q -L {label} -p {tree}.proto {image}"),
    "btrfs": FileSystem(160 * MIB, "mkfs.btrfs -q -L {label} --rootdir {tree} {image}"),
    "f2fs": FileSystem(128 * MIB, "mkfs.f2fs -q -l {label} {image}", "sload.f2fs -f {tree} {image}"),
    "squashfs": FileSystem(0, "mksquashfs {tree} {image} -quiet -no-progress -all-root"),
    "erofs": FileSystem(0, "mkfs.erofs {image} {tree}"),
    "iso9660": FileSystem(0, "genisoimage -quiet -R -V {label} -o {image} {tree}"),
}
ROOM = 4 * MIB


class Link(NamedTuple):
    """A symbolic link, as a file's content."""

    target: str


class Hole(NamedTuple):
    """A file of so many zeros that take no room, as a file's content."""

    size: int


Content = bytes | str | Path | Link | Hole


class Partition(NamedTuple):
    """A partition: what its type says, its file system, its files by path; `raw` bytes instead of a file system."""

    kind: str
    filesystem: str = "ext4"
    files: Mapping[str, Content] = {}
    label: str = ""
    raw: bytes | None = None


def make_disk(
    output: Path, partitions: Sequence[Partition], table: str = "gpt", *, sector_size: int = SECTOR_SIZE
) -> Path:
    """Make a disk image with a GPT ("gpt") or an MBR ("dos"), on sectors of 512 or (GPT only) 4096 bytes."""
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        images = [make_volume(Path(folder, f"{number}.img"), part, sector_size)
                  for number, part in enumerate(partitions)]
        sizes = [align_up(image.stat().st_size, MIB) for image in images]
        starts = [MIB + sum(sizes[:number]) for number in range(len(sizes))]
        make_table(output, 2 * MIB + sum(sizes), _table_script(partitions, starts, sizes, table))
        if sector_size != SECTOR_SIZE:
            output.write_bytes(with_sectors_of_4096(output.read_bytes()))
        with output.open("r+b") as disk:
            for image, start in zip(images, starts, strict=True):
                _copy(image, disk.fileno(), start)
    return output


def make_volume(image: Path, partition: Partition, sector_size: int = SECTOR_SIZE) -> Path:
    """Make the content of one partition."""
    if partition.raw is not None:
        image.write_bytes(partition.raw)
        return image
    kind = FILE_SYSTEMS[partition.filesystem]
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        for path, content in partition.files.items():
            _put(tree / path.lstrip("/"), content)
        if kind.smallest:
            held = sum(512 * path.lstat().st_blocks for path in tree.rglob("*") if not path.is_symlink())
            with image.open("wb") as stream:
                stream.truncate(align_up(max(kind.smallest, held + held // 8 + ROOM), MIB))
        _fill(image, partition, tree, sector_size)
    return image


def _fill(image: Path, partition: Partition, tree: Path, sector_size: int) -> None:
    kind = FILE_SYSTEMS[partition.filesystem]
    names = {"image": image, "tree": tree, "label": partition.label or partition.kind.upper(),
             "sector_size": sector_size}
    if partition.filesystem == "xfs":
        tree.with_name("tree.proto").write_text(f"/\n0 0\n{_xfs_proto(tree)}")
    for command in filter(None, (kind.command, kind.then)):
        run(*(word.format(**names) for word in command.split()))
    if partition.filesystem == "vfat":
        content = [str(path) for path in sorted(tree.iterdir())]
        if content:
            run("mcopy", "-s", "-Q", "-i", str(image), *content, "::")


def _xfs_proto(directory: Path) -> str:
    """Return a directory in the language of mkfs.xfs(8), -p: its files and directories, then a dollar."""
    lines = ["d--755 0 0"]
    for path in sorted(directory.iterdir()):
        lines.append(f"{path.name} {_xfs_proto(path)}" if path.is_dir() else f"{path.name} ---644 0 0 {path}\n")
    return "\n".join([*(line.rstrip("\n") for line in lines), "$\n"])


def _put(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Link):
        path.symlink_to(content.target)
    elif isinstance(content, Hole):
        path.touch()
        os.truncate(path, content.size)
    elif isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _table_script(partitions: Sequence[Partition], starts: list[int], sizes: list[int], table: str) -> str:
    types = GPT_TYPES if table == "gpt" else MBR_TYPES
    lines = [f"label: {table}"]
    for partition, start, size in zip(partitions, starts, sizes, strict=True):
        name = f', name="{partition.kind}"' if table == "gpt" else ""
        lines.append(f"start={start // SECTOR_SIZE}, size={size // SECTOR_SIZE}, type={types[partition.kind]}{name}")
    return "\n".join(lines) + "\n"


def _copy(image: Path, disk: int, start: int) -> None:
    with image.open("rb") as stream:
        while chunk := stream.read(4 * MIB):
            if chunk.strip(b"\0"):
                os.pwrite(disk, chunk, start)
            start += len(chunk)
