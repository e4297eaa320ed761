"""Archives are built as cpio(1) reads them, and read whatever they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import FormatError
from shim.formats.cpio import CpioEntry, build_cpio, parse_cpio, trailer_end
from tests.unit.hostile import cuts, refuses, survives

MEMBERS = (
    CpioEntry.directory("dev"),
    CpioEntry.node("dev/console", 5, 1),
    CpioEntry.file("init", b"\x7fELF...", 0o755),
    CpioEntry.file("empty", b""),
    CpioEntry.symlink("sbin", "usr/sbin"),
)


def plain(entries: tuple[CpioEntry, ...]) -> list[tuple[object, ...]]:
    return [(entry.path, entry.mode, bytes(entry.data), entry.device) for entry in entries]


def test_round_trip() -> None:
    assert plain(parse_cpio(build_cpio(MEMBERS))) == plain(MEMBERS)


def test_the_same_members_give_the_same_bytes() -> None:
    assert build_cpio(MEMBERS) == build_cpio(MEMBERS)
    assert len(build_cpio(MEMBERS)) % 4 == 0


@pytest.mark.tools
def test_cpio_reads_what_we_build(tmp_path: Path) -> None:
    """The witness is GNU cpio."""
    listed = subprocess.run(["cpio", "--list", "--verbose", "--quiet", "--numeric-uid-gid"], check=True,
                            input=build_cpio(MEMBERS), capture_output=True).stdout.decode().splitlines()
    assert [line.split()[0] for line in listed] == [
        "drwxr-xr-x", "crw-------", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"]
    assert listed[1].split()[4:6] == ["5,", "1"]
    assert listed[4].endswith("sbin -> usr/sbin")


@pytest.mark.tools
def test_we_read_what_cpio_builds(tmp_path: Path) -> None:
    Path(tmp_path, "file").write_bytes(b"content")
    made = subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], input=b"file\n", cwd=tmp_path,
                          check=True, capture_output=True).stdout
    assert [(entry.path, bytes(entry.data)) for entry in parse_cpio(made)] == [("file", b"content")]
    assert trailer_end(made) <= len(made)


def test_every_cut_is_refused() -> None:
    archive = build_cpio(MEMBERS)
    for cut in cuts(archive[: trailer_end(archive) - 3]):
        refuses(parse_cpio, cut)


@pytest.mark.parametrize("digits", ["00000000", "ffffffff", "00000001", "7fffffff", "-0000001", "0x000001"])
def test_every_number_may_lie(digits: str) -> None:
    archive = build_cpio(MEMBERS)
    for at in range(6, 110, 8):
        survives(parse_cpio, archive[:at] + digits.encode() + archive[at + 8 :], f"{at}")


@given(st.binary(max_size=400))
def test_anything_is_an_archive_or_an_error(data: bytes) -> None:
    survives(parse_cpio, data)


def test_a_path_leads_somewhere() -> None:
    for path in ("", "/etc", "a\0b"):
        with pytest.raises(FormatError):
            CpioEntry.file(path, b"")
