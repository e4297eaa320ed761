"""Whole trees out of images, by our readers and by the tools that everybody uses."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shim.discover.superblocks import find_superblock
from shim.errors import FetchError, ShimError
from shim.images import ImageFiles, open_files
from shim.system.devices import ImageFile
from shim.system.memory_files import MemoryDevice

FILES_MAX, DEPTH_MAX = 2000, 12
Tree = dict[str, str]


def open_image(image: Path | bytes) -> ImageFiles:
    """Return the files of the one file system in an image."""
    device = MemoryDevice("image", image) if isinstance(image, bytes) else ImageFile(str(image))
    found = find_superblock(device)
    if found is None:
        raise FetchError("no file system")
    return open_files(found.fstype, device.read_at)


def read_tree(files: ImageFiles, *, tolerant: bool = False) -> Tree:
    """Return path -> "directory", or the SHA-256 of what is read there through whatever links.

    With `tolerant`, an error is what is there, and a tree that does not end is cut.
    """
    tree: Tree = {}
    waiting = [""]
    while waiting and len(tree) < FILES_MAX:
        parent = waiting.pop()
        for name in _names(files, parent, tree, tolerant):
            path = f"{parent}/{name}"
            try:
                if files.names(path) is not None:
                    tree[path] = "directory"
                    if path.count("/") < DEPTH_MAX:
                        waiting.append(path)
                else:
                    source = files.open(path)
                    tree[path] = hashlib.sha256(source.read(min(source.size, 8 << 20))).hexdigest()
            except ShimError as problem:
                if not tolerant:
                    raise
                tree[path] = str(problem)
    return tree


def _names(files: ImageFiles, path: str, tree: Tree, tolerant: bool) -> tuple[str, ...]:
    try:
        return files.names(path or "/") or ()
    except ShimError as problem:
        if not tolerant:
            raise
        tree[path] = str(problem)
        return ()


def host_tree(root: Path) -> Tree:
    """Return a directory of the host in the same form: the witness."""
    return {
        f"/{path.relative_to(root)}": "directory" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
    }
