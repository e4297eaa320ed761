"""`bootshim measure`: what it predicts is what a boot leaves in a TPM, and what systemd-measure has."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from shim.cli import main
from shim.system.recording_tpm import RecordingTpm
from tests.builders.debian import kernel
from tests.builders.filesystems import make_filesystem
from tests.builders.measured import BANKS, sections_of, systemd_measure
from tests.builders.uki import make_uki
from tests.builders.world import INITRD, World, bls, memtest

pytestmark = pytest.mark.tools
CONFIG = '[boot]\nentry = "*"\nwait = 0\ntimeout = 0\non_failure = "reset"\n'


def test_a_kernel_of_a_boot_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    superblock = make_filesystem("ext4", tmp_path).read_bytes()[: 1 << 20]
    tpm = RecordingTpm(BANKS)
    world = World(superblock, CONFIG, tpm=tpm).plug("vda", bls("one")).boot()
    files = {"config": world.config_text.encode(), "kernel": memtest(), "initrd": INITRD}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    words = [str(tmp_path / "kernel"), "--initrd", str(tmp_path / "initrd"), "--cmdline", "ro",
             "--config", str(tmp_path / "config"), "--entry", "one.conf", *(f"--bank={bank}" for bank in BANKS)]
    assert main(["measure", *words]) == 0
    lines = dict(line.split("=") for line in capsys.readouterr().out.splitlines())
    expected = {f"{pcr}:{bank}": value.hex() for bank, row in tpm.pcrs.items() for pcr, value in enumerate(row)
                if pcr in (8, 9, 12)}  # fmt: skip
    assert lines == expected
    assert main(["measure", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "bootshim.measure/1"
    assert said["events"][0]["digests"]["sha256"] == hashlib.sha256(files["config"]).hexdigest()


def test_an_override_is_measured_unless_it_would_not_be_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b'[override]\nallow = ["boot.timeout"]\n'
    (tmp_path / "config").write_bytes(text)
    (tmp_path / "kernel").write_bytes(memtest())
    words = ["measure", str(tmp_path / "kernel"), "--config", str(tmp_path / "config"), "--override"]
    assert main([*words, "boot.timeout=3"]) == 0
    value = bytes(32)
    for content in (text, b"boot.timeout=3"):
        value = hashlib.sha256(value + hashlib.sha256(content).digest()).digest()
    assert f"8:sha256={value.hex()}" in capsys.readouterr().out
    assert main([*words, "boot.wait=3"]) == 2
    assert "would not be obeyed" in capsys.readouterr().err


def test_a_uki(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "initrd").write_bytes(INITRD)
    uki = make_uki(tmp_path / "uki.efi", kernel().image, [tmp_path / "initrd"], "ro", profiles={"safe": "ro single"})
    for profile in (0, 1):
        assert main(["measure", str(uki), "--profile", str(profile)]) == 0
        witness = systemd_measure(tmp_path, sections_of(uki.read_bytes(), profile))
        number = hashlib.sha256(bytes(32) + hashlib.sha256("1\0".encode("utf-16-le")).digest()).hexdigest()
        second = f"12:sha256={number}\n" if profile else ""  # the stub says which profile it is
        assert capsys.readouterr().out == f"11:sha256={witness['sha256']}\n{second}"
    assert main(["measure", str(uki), "--profile", "2"]) == 2
    assert "no such profile" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "/nonexistent"]) == 2
    assert "bootshim measure: /nonexistent" in capsys.readouterr().err
