"""The whole runtime, CPython included, built a second time from its sources: a matter of minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from initramfs import runtime
from initramfs.sources import cache_directory

pytestmark = pytest.mark.vm


def test_two_builds_from_source_are_the_same_bytes(tmp_path: Path) -> None:
    first = runtime.build_runtime(tmp_path / "first")
    cache = tmp_path / "cache"
    cache.mkdir()
    Path(cache, "sources").symlink_to(cache_directory() / "sources")
    subprocess.run([sys.executable, "-m", "initramfs.runtime", "--output", str(tmp_path / "second")], check=True,
                   env={**os.environ, "BOOTSHIM_CACHE": str(cache)})
    assert any(path.name.startswith("cpython-") for path in cache.iterdir())
    assert Path(tmp_path, "second").read_bytes() == first.read_bytes()
