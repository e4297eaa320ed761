"""Disks with a dm-verity root and the signature of its root hash, by systemd-repart of Debian, without root."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.builders.debian import package
from tests.builders.keys import KeyFiles

SUITE = "bookworm-backports"  # the first whose systemd-repart works without loop devices
PARTITIONS = {
    "10-root": "Type=root\nFormat=squashfs\nCopyFiles={tree}:/\nVerity=data\nVerityMatchKey=root\nMinimize=best",
    "11-verity": "Type=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best",
    "12-signature": "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=root",
}


class VerityDisk(NamedTuple):
    """The image, its root hash, and what is in its signature partition."""

    image: Path
    root_hash: str
    signature: bytes


def make_verity_disk(folder: Path, signer: KeyFiles) -> VerityDisk:
    """Make a disk whose root is a small tree, signed by a key."""
    tree, definitions, image = folder / "tree", folder / "definitions", folder / "verity.img"
    for made in (tree, definitions):
        made.mkdir(parents=True)
    (tree / "hello").write_text("hello\n")
    for name, text in PARTITIONS.items():
        (definitions / f"{name}.conf").write_text(f"[Partition]\n{text.format(tree=tree)}\n")
    program = package("systemd", suite=SUITE) / "bin/systemd-repart"
    libraries = package("libsystemd-shared", suite=SUITE) / "usr/lib/x86_64-linux-gnu/systemd"
    done = subprocess.run(
        [program, "--offline=yes", f"--definitions={definitions}", "--empty=create", "--size=auto", "--dry-run=no",
         f"--private-key={signer.key}", f"--certificate={signer.certificate}", "--json=short", image],
        env={"LD_LIBRARY_PATH": str(libraries), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"systemd-repart: {done.stderr}")
    rows = {row["type"]: row for row in json.loads(done.stdout)}
    place = rows["root-x86-64-verity-sig"]
    with image.open("rb") as file:
        file.seek(place["offset"])
        signature = file.read(place["raw_size"])
    return VerityDisk(image, rows["root-x86-64"]["roothash"], signature)
