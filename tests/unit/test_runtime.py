"""The frozen runtime is one static program, the same bytes each time, that looks into no file system for code."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from initramfs import runtime
from initramfs.pack import COMPRESSIONS, compress
from initramfs.sources import Pinned, cached, fetch_source, read_lock
from shim.cli import main
from shim.errors import ConfigError, FetchError
from shim.formats.cpio import parse_cpio

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("runtime")]
ROOT = Path(__file__).parents[2]
CONFIG = "[boot]\ntimeout = 3\n"


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runtime.build_runtime(tmp_path_factory.mktemp("runtime") / "init")


def test_it_is_one_static_program(init: Path) -> None:
    with init.open("rb") as stream:
        elf = ELFFile(stream)
        kinds = {segment["p_type"] for segment in elf.iter_segments()}
        assert not kinds & {"PT_INTERP", "PT_DYNAMIC"}
        assert not elf.get_section_by_name(".symtab")
        assert not elf.get_section_by_name(".note.gnu.build-id")


def test_nothing_of_the_machine_that_built_it_is_in_it(init: Path) -> None:
    data = init.read_bytes()
    for place in (str(ROOT), str(Path.home()), os.environ.get("BOOTSHIM_CACHE") or str(Path.home() / ".cache")):
        assert place.encode() + b"/" not in data


def test_a_second_build_gives_the_same_bytes(init: Path, tmp_path: Path) -> None:
    """From another directory, with an empty cache for the last step: only the slow steps are taken from the cache."""
    clone = tmp_path / "clone"
    for part in ("shim", "initramfs"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__", "_blob.py"))
    cache = tmp_path / "cache"
    cache.mkdir()
    for kept in runtime.build_cpython().parent.iterdir():
        if kept.name.startswith(("cpython-", "cffi-", "sources")) and kept.suffix == "":
            Path(cache, kept.name).symlink_to(kept)
    subprocess.run([sys.executable, "-m", "initramfs.runtime", "--output", str(tmp_path / "init")], check=True,
                   cwd=clone, env={**os.environ, "BOOTSHIM_CACHE": str(cache), "PYTHONHASHSEED": "7"})
    assert Path(tmp_path, "init").read_bytes() == init.read_bytes()


def test_it_imports_everything_without_a_file_system(init: Path, tmp_path: Path) -> None:
    """Not as PID 1 it imports all that is frozen; here in a root that holds nothing but itself."""
    shutil.copy(init, tmp_path / "init")
    done = subprocess.run(["unshare", "--map-root-user", "--root", str(tmp_path), "/init"], capture_output=True,
                          text=True, check=False, env={"PYTHONPATH": "/", "PYTHONHOME": "/nowhere"})
    assert done.returncode == 0, done.stderr
    assert "runs as /init only" in done.stdout


def test_no_module_of_a_host_is_frozen(init: Path) -> None:
    data = init.read_bytes()
    for name in (b"shim.cli", b"shim.system.recording", b"shim.purgatory.build"):
        assert b"\0" + name + b"\0" not in data
    assert b"\0shim.boot\0" in data


def test_what_is_not_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSHIM_CACHE", str(tmp_path / "cache"))
    Path(tmp_path, "source.tar").write_bytes(b"something else")
    pinned = Pinned(name="x", version="1", sha256="0" * 64, url=Path(tmp_path, "source.tar").as_uri())
    with pytest.raises(FetchError, match="not the pinned one"):
        fetch_source(pinned)
    with pytest.raises(FetchError, match="cannot fetch x"):
        fetch_source(pinned.replace(url=Path(tmp_path, "absent.tar").as_uri()))
    Path(tmp_path, "lock").write_text("cpython 3.13\n")
    with pytest.raises(ConfigError, match="line=1"):
        read_lock(tmp_path / "lock")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSHIM_CACHE", str(tmp_path))

    def fail(work: Path) -> None:
        Path(work, "half").write_bytes(b"")
        raise FetchError("no")

    with pytest.raises(FetchError):
        cached("thing", b"inputs", fail)
    made = cached("thing", b"inputs", lambda work: Path(work, "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert cached("thing", b"inputs", fail) == made
    assert cached("thing", b"others", lambda work: None) != made


def test_builds_that_nobody_asks_for_are_swept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSHIM_CACHE", str(tmp_path))
    old, used, other = (cached(kind, inputs, lambda work: None)
                        for kind, inputs in (("thing", b"old"), ("thing", b"used"), ("another", b"old")))
    for path in (old, used, other):
        os.utime(path, (0, 0))
    assert cached("thing", b"used", lambda work: None) == used
    cached("thing", b"new", lambda work: None)
    assert (old.exists(), used.exists(), other.exists()) == (False, True, True)


def build(init: Path, directory: Path, config: str, *arguments: str) -> int:
    Path(directory, "my.toml").write_text(config)
    return main(["build", "--config", str(directory / "my.toml"), "--output", str(directory / "out"), "--runtime",
                 str(init), *arguments])


def test_the_initramfs_holds_what_it_should(init: Path, tmp_path: Path) -> None:
    Path(tmp_path, "ca.der").write_bytes(ca())
    config = CONFIG + '[policy]\nanchors = ["ca.der"]\n'
    assert build(init, tmp_path, config, "--compress", "none") == 0
    first = Path(tmp_path, "out").read_bytes()
    members = {entry.path: entry for entry in parse_cpio(first)}
    assert bytes(members["init"].data) == init.read_bytes()
    assert members["init"].mode == 0o100755
    assert bytes(members["etc/bootshim/config.toml"].data) == config.encode()
    assert bytes(members["etc/bootshim/ca.der"].data) == ca()
    assert members["dev/console"].device == (5, 1)
    assert build(init, tmp_path, config, "--compress", "none") == 0
    assert Path(tmp_path, "out").read_bytes() == first


def ca() -> bytes:
    from tests.builders import debian

    return next(debian.package("shim-unsigned").rglob("debian-uefi-ca.der")).read_bytes()


@pytest.mark.parametrize("how", COMPRESSIONS)
def test_compression_can_be_undone_by_the_tools(how: str) -> None:
    data = b"initramfs" * 10000
    packed = compress(data, how)
    tool = {"xz": ["xz", "-dc"], "zstd": ["zstd", "-dc"], "none": ["cat"]}[how]
    assert subprocess.run(tool, input=packed, capture_output=True, check=True).stdout == data
    assert compress(data, how) == packed
    if how == "xz":
        assert packed[7] == lzma.CHECK_CRC32  # stream flags, the .xz file format, 2.1.1.2


@pytest.mark.parametrize(("config", "sentence"), [
    ("[boot]\ntimout = 3\n", r"unknown key .*line=2"), ("[boot\n", "not TOML"), ("[nonsense]\n", "unknown table"),
    ('[policy]\nanchors = ["absent.der"]\n', "absent.der"), ("[policy.kernel]\nrequre = []\n", "line=2"),
])
def test_a_configuration_that_is_wrong_is_not_baked(
    init: Path, tmp_path: Path, config: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert build(init, tmp_path, config) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not Path(tmp_path, "out").exists()
