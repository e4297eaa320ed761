"""Which accelerator a machine gets: only what carried a whole kernel here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shim.cli import accel
from shim.errors import ConfigError


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOOTSHIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(accel.VARIABLE, raising=False)
    monkeypatch.setattr(accel, "DEVICE", "/dev/null")
    path = tmp_path / "kernel"
    path.write_bytes(b"a kernel")
    return path


def program(folder: Path, script: str) -> str:
    """Return a QEMU that does this, and counts how often it was started."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\necho started >> {folder}/count\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_without_the_device_it_is_emulation(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "DEVICE", str(kernel / "none"))
    assert accel.accelerator("/nonexistent", kernel) == accel.CHOICES["tcg"]


def test_a_machine_that_hangs_costs_a_bounded_time(
    kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "PROBE_SECONDS", 0.3)
    started = time.monotonic()
    assert accel.accelerator(program(tmp_path, "exec sleep 60"), kernel) == accel.CHOICES["tcg"]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(("says", "chosen"), [
    ("Kernel panic - not syncing: VFS: Unable to mount root fs", "kvm"), ("Probing EDD... ok", "tcg"), ("", "tcg"),
])  # fmt: skip
def test_the_kernel_has_to_get_as_far_as_its_root(kernel: Path, tmp_path: Path, says: str, chosen: str) -> None:
    assert accel.accelerator(program(tmp_path, f"echo '{says}'"), kernel) == accel.CHOICES[chosen]


def test_the_answer_is_kept_for_this_kernel(kernel: Path, tmp_path: Path) -> None:
    qemu = program(tmp_path, "true")
    for _ in range(3):
        accel.accelerator(qemu, kernel)
    assert (tmp_path / "count").read_text().splitlines() == ["started"]
    kernel.write_bytes(b"another kernel")
    accel.accelerator(qemu, kernel)
    assert len((tmp_path / "count").read_text().splitlines()) == 2


def test_the_variable_overrides(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accel.VARIABLE, "kvm")
    assert accel.accelerator("/nonexistent", kernel) == accel.CHOICES["kvm"]
    monkeypatch.setenv(accel.VARIABLE, "hvf")
    with pytest.raises(ConfigError, match="no such accelerator"):
        accel.accelerator("/nonexistent", kernel)
