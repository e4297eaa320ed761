"""No path leads out of a tree, and nothing in it can hold the boot up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shim.errors import FetchError
from shim.system.files import TreeFiles


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    Path(root, "dir").mkdir(parents=True)
    Path(root, "dir/file").write_bytes(b"content")
    Path(root, "inside").symlink_to("dir/file")
    Path(root, "absolute").symlink_to(root / "dir/file")
    Path(root, "up").symlink_to("../secret")
    Path(root, "out").symlink_to("..")
    Path(root, "loop").symlink_to("loop")
    Path(root, "magic").symlink_to("/proc/self/root")
    os.mkfifo(root / "fifo")
    Path(tmp_path, "secret").write_bytes(b"secret")
    return root


def test_what_is_inside_is_read(tree: Path) -> None:
    files = TreeFiles(str(tree))
    assert files.read("/dir/file", 100) == files.read("inside", 100) == b"content"
    assert files.names("/dir") == ("file",)
    assert files.exists("/inside")
    assert files.open("/dir/file").size == 7


@pytest.mark.parametrize(
    "path", ["/../secret", "/up", "/out/secret", "/dir/../../secret", "/absolute", "/magic/etc/passwd"])
def test_nothing_leads_out(tree: Path, path: str) -> None:
    files = TreeFiles(str(tree))
    assert not files.exists(path)
    with pytest.raises(FetchError, match="leads out of the volume"):
        files.open(path)


@pytest.mark.parametrize(("path", "sentence"), [
    ("/absent", "no such file"), ("/dir/file/more", "no such file"), ("/loop", "too many symbolic links"),
    ("/fifo", "not a regular file"), ("/dir", "not a regular file"), ("/" + "a" * 300, "the path is too long"),
    ("/" + "a/" * 5000, "the path is too long"), ("/nul\0byte", "Invalid argument"),
])
def test_what_cannot_be_read_is_said(tree: Path, path: str, sentence: str) -> None:
    with pytest.raises(FetchError, match=sentence):
        TreeFiles(str(tree)).open(path)


def test_an_absent_directory_has_no_names(tree: Path) -> None:
    files = TreeFiles(str(tree))
    assert files.names("/absent") is None
    assert files.names("/dir/file") is None


def test_a_file_has_a_ceiling(tree: Path) -> None:
    with pytest.raises(FetchError, match="too long"):
        TreeFiles(str(tree)).read("/dir/file", 6)


def test_a_file_of_sysfs_does_not_know_its_size() -> None:
    assert TreeFiles("/", crossing=True).read("/proc/self/status", 1 << 16).startswith(b"Name:")


def test_a_closed_tree_says_so(tree: Path) -> None:
    files = TreeFiles(str(tree))
    files.close()
    with pytest.raises(FetchError, match="not mounted"):
        files.open("/dir/file")
