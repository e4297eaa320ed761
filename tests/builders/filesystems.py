"""File systems and partition tables made by the tools that everybody uses, into images. No root, no mounting."""

from __future__ import annotations

import binascii
import json
import re
import subprocess
import tempfile
from pathlib import Path

from shim.formats import gpt

MIB = 1 << 20
UUID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
LABEL = "bootdisk"

# One line a kind: size of the image in MiB and the command; {} is the image, {tree} a directory with a file in it.
KINDS = {
    "vfat12": (2, "mkfs.vfat -F 12 -n BOOTDISK -i 1A2B3C4D {}"),
    "vfat16": (16, "mkfs.vfat -F 16 -n BOOTDISK -i 1A2B3C4D {}"),
    "vfat32": (64, "mkfs.vfat -F 32 -n BOOTDISK -i 1A2B3C4D {}"),
    "ext2": (4, f"mke2fs -q -t ext2 -L {LABEL} -U {UUID} {{}}"),
    "ext3": (8, f"mke2fs -q -t ext3 -L {LABEL} -U {UUID} {{}}"),
    "ext4": (8, f"mke2fs -q -t ext4 -L {LABEL} -U {UUID} {{}}"),
    "xfs": (320, f"mkfs.xfs -q -L {LABEL} -m uuid={UUID} {{}}"),
    "btrfs": (128, f"mkfs.btrfs -q -L {LABEL} -U {UUID} {{}}"),
    "squashfs": (0, "mksquashfs {tree} {} -quiet -no-progress -all-root"),
    "iso9660": (0, "genisoimage -quiet -V BOOTDISK -o {} {tree}"),
    "erofs": (0, f"mkfs.erofs -U {UUID} {{}} {{tree}}"),
    "f2fs": (64, f"mkfs.f2fs -q -l {LABEL} -U {UUID} {{}}"),
}


def make_filesystem(kind: str, directory: Path) -> Path:
    """Return an image of this kind."""
    size, command = KINDS[kind]
    image = directory / f"{kind}.img"
    tree = directory / "tree"
    tree.mkdir(exist_ok=True)
    Path(tree, "file").write_bytes(b"content")
    if size:
        with image.open("wb") as stream:
            stream.truncate(size * MIB)
    run(*command.replace("{tree}", str(tree)).replace("{}", str(image)).split())
    return image


def blkid(image: Path) -> dict[str, str]:
    """Return what blkid says of an image: the witness. Empty when it finds nothing."""
    done = subprocess.run(["blkid", "--probe", "--output", "export", str(image)], capture_output=True, text=True,
                          check=False)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def make_table(image: Path, size: int, script: str) -> Path:
    """Write a partition table with sfdisk, whose script language `script` is, into a new image of `size` bytes."""
    with image.open("wb") as stream:
        stream.truncate(size)
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(image),
        input=script)
    return image


def sfdisk_json(image: Path) -> dict[str, object]:
    """Return the table as sfdisk reads it: the witness."""
    table: dict[str, object] = json.loads(run("sfdisk", "--json", str(image)))["partitiontable"]
    return table


def fdisk(image: Path) -> list[tuple[int, str, str, str]]:
    """Return (first sector, type, UUID, name) of each partition of a GPT as fdisk reads them: the witness."""
    text = run("fdisk", "--list-details", "--output", "Start,Type-UUID,UUID,Name", str(image))
    rows = [line.split(maxsplit=3) for line in text.splitlines() if re.match(r" *[0-9]+ [0-9A-F-]{36} ", line)]
    return [(int(row[0]), row[1].lower(), row[2].lower(), (*row, "")[3]) for row in rows]


def with_sectors_of_4096(image: bytes) -> bytes:
    """Return a GPT disk with the same partitions on sectors of 4096 bytes: no tool writes one into an image."""
    header = gpt.HEADER.parse(image, 512)
    array = bytearray(image[1024 : 1024 + 128 * 128])
    for at in range(0, len(array), 128):
        for field in ("starting_lba", "ending_lba"):
            offset = at + gpt.ENTRY.offsets[field]
            lba = int.from_bytes(array[offset : offset + 8], "little")
            array[offset : offset + 8] = (lba // 8).to_bytes(8, "little")
    last = len(image) // 4096 - 1
    header |= {"first_usable_lba": 6, "last_usable_lba": last - 5,
               "partition_entry_array_crc32": binascii.crc32(array)}
    made = bytearray(len(image))
    made[:512] = image[:512]
    at = 0x1BE + 12  # the protective partition's size_in_lba
    made[at : at + 4] = last.to_bytes(4, "little")
    for mine, other, table in ((1, last, 2), (last, 1, last - 4)):
        fields = header | {"my_lba": mine, "alternate_lba": other, "partition_entry_lba": table, "header_crc32": 0}
        fields["header_crc32"] = binascii.crc32(gpt.HEADER.build(**fields))
        made[mine * 4096 : mine * 4096 + 92] = gpt.HEADER.build(**fields)
        made[table * 4096 : table * 4096 + len(array)] = array
    return bytes(made)


def run(*command: str, input: str | None = None) -> str:
    """Run a tool; its words stand in the error when it fails. Tools of administrators are found too."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LC_ALL": "C.UTF-8"})
    if done.returncode:
        said = done.stderr[-2000:] + done.stdout[-500:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return done.stdout
