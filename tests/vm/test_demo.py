"""`make demo` in each combination ends in the second kernel, and fails where it should; `make bench` measures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.vm import demo

pytestmark = [pytest.mark.vm]


@pytest.mark.parametrize("entry", demo.IDS)
@pytest.mark.parametrize("engine", demo.ENGINES)
def test_each_combination_boots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: str, entry: str
) -> None:
    monkeypatch.setattr(demo, "DIRECTORY", tmp_path)
    assert demo.main([f"ENGINE={engine}", f"ENTRY={entry}"]) == 0
    wanted = demo.IDS[demo.expected_entry(engine, entry)]
    assert f"the second kernel printed the token of {wanted}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["ENGINE=warp"], ["ENTRY=grub"], ["FAST=1"], ["fast"]])
def test_what_it_does_not_know_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(words) == 2
    assert "usage" in capsys.readouterr().err


def test_a_token_that_does_not_come_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk boots, and prints the token of another run."""
    made = demo.compose(tmp_path, "auto", "bls")
    monkeypatch.setattr(demo, "SECONDS", 60)
    assert demo.show(made._replace(tokens=dict.fromkeys(made.tokens, "0" * 32)), "auto", "bls") == 1


def test_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "DIRECTORY", tmp_path)
    monkeypatch.setattr(bench, "OUTPUT", tmp_path / "bench.json")
    assert bench.main(["ROUNDS=1"]) == 0
    made = json.loads(Path(tmp_path, "bench.json").read_text())
    assert {(run["loader"], run["engine"]) for run in made["runs"]} == {
        (loader, engine) for loader in ("bootshim", "kexec-tools") for engine in ("load", "file")}
    for run in made["runs"]:
        assert run["init_to_jump"] > 0  # by the kernel's clock, the other two by the host's: not to be compared
        assert 0 < run["jump_to_second"] < run["init_to_second"]
        assert ("verify" in run["stages"]) is (run["loader"] == "bootshim")
    verdict, flash = made["goals"]
    assert (verdict["limit"], verdict["pass"]) == (1.3, verdict["value"] <= 1.3)
    assert (flash["limit"], flash["pass"], flash["value"]) == (8 << 20, True, sum(made["flash"].values()))
    assert made["verdict"]["verdict"] > 0.9 * made["verdict"]["sha256"]  # it reads every byte
    assert {row["loader"]: row["modules"] for row in made["sizes"]} == {"bootshim": True, "kexec-tools": True}
    assert "Run /init -> second kernel" in capsys.readouterr().out
