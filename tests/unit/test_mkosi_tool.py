"""The pinned mkosi: made of Debian's packages, complete, and not installed; and what the images are keyed by."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from shim.formats.cpio import S_IFCHR, S_IFMT, CpioEntry, build_cpio, parse_cpio
from tests.builders.images import CONFIG, SHIM_IMAGES, TARGETS, initramfs, make_inputs, unpack
from tests.builders.mkosi import mkosi_tool
from tests.unit.test_docs import ROOT

pytestmark = pytest.mark.tools


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def test_the_tool_is_the_one_that_mkosi_conf_asks_for() -> None:
    wanted = re.search(r"^MinimumVersion=(\d+)$", (ROOT / "mkosi.conf").read_text(), re.MULTILINE)
    found = re.match(r"mkosi (\d+)\.", said(str(mkosi_tool() / "mkosi"), "--version"))
    assert wanted is not None
    assert found is not None
    assert int(found[1]) >= int(wanted[1])


@pytest.mark.parametrize(("program", "least"), [("systemd-repart", 254), ("bootctl", 254), ("ukify", 254)])
def test_systemds_programs_are_new_enough_and_run(program: str, least: int) -> None:
    directory = mkosi_tool() / "bin"
    command = [str(directory / "python3")] if program == "ukify" else []
    version = re.match(r"(?:systemd|ukify) (\d+)", said(*command, str(directory / program), "--version"))
    assert version is not None
    assert int(version[1]) >= least


def test_mkosi_reads_the_whole_configuration() -> None:
    make_inputs()
    summary = said(str(mkosi_tool() / "mkosi"), f"--directory={ROOT}", "--no-pager", "summary")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", summary)
    assert set(re.findall(r"^IMAGE: (\S+)", plain, re.MULTILINE)) == {
        *SHIM_IMAGES, *TARGETS, "base", "initrd", "default"}


def test_a_tree_is_unpacked_without_device_nodes(tmp_path: Path) -> None:
    unpack(build_cpio([CpioEntry.directory("dev"), CpioEntry.node("dev/null", 1, 3),
                       CpioEntry.file("init", b"x", 0o755)]), tmp_path / "tree")  # fmt: skip
    assert sorted(os.listdir(tmp_path / "tree")) == ["dev", "init"]
    assert not os.listdir(tmp_path / "tree/dev")
    assert stat.S_IMODE((tmp_path / "tree/init").stat().st_mode) == 0o755


def test_what_make_image_bakes_is_what_bootshim_build_bakes() -> None:
    entries = {entry.path: entry for entry in parse_cpio(initramfs())}
    assert bytes(entries["etc/bootshim/config.toml"].data) == CONFIG.read_bytes()
    assert entries["dev/console"].mode & S_IFMT == S_IFCHR
