"""Whole disk images: a partition table and file systems with files in them. No root, no mounting, no loop device."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shim.units import MIB, SECTOR_SIZE, align_up
from tests.builders.filesystems import make_table, run

# The Discoverable Partitions Specification's types, and the types of an MBR, in sfdisk's words.
GPT_TYPES = {
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "xbootldr": "BC13C2FF-59E6-4262-A352-B275FD6F7172",
    "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "data": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
}
MBR_TYPES = {"esp": "ef", "xbootldr": "ea", "root": "83", "data": "83"}
SMALLEST = {"vfat": 4 * MIB, "ext4": 8 * MIB}
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


def make_disk(output: Path, partitions: Sequence[Partition], table: str = "gpt") -> Path:
    """Make a disk image with a GPT ("gpt") or an MBR ("dos")."""
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        images = [make_volume(Path(folder, f"{number}.img"), part) for number, part in enumerate(partitions)]
        sizes = [align_up(image.stat().st_size, MIB) for image in images]
        starts = [MIB + sum(sizes[:number]) for number in range(len(sizes))]
        script = _table_script(partitions, starts, sizes, table)
        make_table(output, 2 * MIB + sum(sizes), script)
        with output.open("r+b") as disk:
            for image, start in zip(images, starts, strict=True):
                _copy(image, disk.fileno(), start)
    return output


def make_volume(image: Path, partition: Partition) -> Path:
    """Make the content of one partition."""
    if partition.raw is not None:
        image.write_bytes(partition.raw)
        return image
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        tree = Path(folder)
        for path, content in partition.files.items():
            _put(tree / path.lstrip("/"), content)
        held = sum(512 * path.stat().st_blocks for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
        with image.open("wb") as stream:
            stream.truncate(align_up(max(SMALLEST[partition.filesystem], held + held // 8 + ROOM), MIB))
        _fill(image, partition, tree)
    return image


def _fill(image: Path, partition: Partition, tree: Path) -> None:
    if partition.filesystem == "vfat":
        run("mkfs.vfat", "-n", partition.label or "ESP", str(image))
        names = [str(path) for path in sorted(tree.iterdir())]
        if names:
            run("mcopy", "-s", "-Q", "-i", str(image), *names, "::")
    else:
        label = ("-L", partition.label) if partition.label else ()
        run("mke2fs", "-q", "-t", partition.filesystem, *label, "-d", str(tree), str(image))


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
