"""`make bench`: the boot shim beside kexec-tools, sizes and times, in one run. `python -m tests.bench [ROUNDS=N]`.

Prints tables, and writes everything to build/bench.json. Machines are noisy: read the ratios, not the seconds.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from shim.cli.accel import accelerator
from shim.cli.qemu import program
from tests.bench.native import LIMIT, Judged, measure_verdict
from tests.bench.peers import kexec_tools
from tests.bench.sizes import FLASH_LIMIT, Flash, Sizes, measure_flash, measure_sizes
from tests.bench.times import FIGURES, MEMORY, Contender, Run, make_bench, make_contenders, run_all, spread
from tests.builders import debian

ROOT = Path(__file__).parents[2]
DIRECTORY, OUTPUT = ROOT / "build" / "bench", ROOT / "build" / "bench.json"
SCHEMA = "bootshim.bench/1"
ROUNDS = 5
PEER = "kexec-tools"


def main(arguments: list[str]) -> int:
    """Measure, print, keep; return the exit status."""
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    rounds = given.get("ROUNDS", str(ROUNDS))
    if set(given) - {"ROUNDS"} or len(given) != len(arguments) or not rounds.isdigit() or int(rounds) < 1:
        print("usage: python -m tests.bench [ROUNDS=N]", file=sys.stderr)
        return 2
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    about = versions()
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    sizes = measure_sizes(DIRECTORY)
    show_sizes(sizes)
    flash = measure_flash(sizes)
    show_flash(flash)
    runs = measure_times(int(rounds))
    show_times(runs)
    show_stages(runs)
    judged = measure_verdict(DIRECTORY, max(int(rounds), 7))
    show_verdict(judged)
    OUTPUT.write_text(json.dumps(as_json(about, sizes, flash, runs, judged), indent=2) + "\n")
    print(f"\neverything is in {OUTPUT}")
    return 0


def versions() -> dict[str, str]:
    """Return what was measured with."""
    qemu = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    kernel = debian.kernel()
    return {
        "machine": f"{platform.machine()}, {qemu}, {' '.join(accelerator(program(), kernel.image))}, {MEMORY} MiB",
        "kernels": f"Debian {kernel.release}, as first and as second",
        "peer": f"{PEER} {kexec_tools().version}, static, driven by busybox {debian.version('busybox-static')}",
    }


def measure_times(rounds: int) -> dict[tuple[str, str], list[Run]]:
    """Return the runs of each loader and engine, in the order of the tables."""
    bench = make_bench(DIRECTORY)
    contenders = make_contenders(bench)
    runs: dict[tuple[str, str], list[Run]] = {(one.loader, one.engine): [] for one in contenders}
    print(f"\n{rounds} rounds of {len(contenders)} boots, in turn:", end="", flush=True)
    for contender, run in run_all(bench, contenders, rounds):
        runs[key_of(contender)].append(run)
        print(".", end="", flush=True)
    print()
    return runs


def key_of(contender: Contender) -> tuple[str, str]:
    return contender.loader, contender.engine


def show_sizes(sizes: list[Sizes]) -> None:
    """Print the bytes of each initramfs, and the ratio to the peer's."""
    print(f"\n{'initramfs':<28}{'unpacked':>12}{'xz -9e':>12}{'zstd -19':>12}{'xz, ratio':>12}")
    peers = {row.modules: row.xz for row in sizes if row.loader == PEER}
    for row in sizes:
        name = f"{row.loader}{', virtio modules' if row.modules else ''}"
        print(f"{name:<28}{row.unpacked:>12}{row.xz:>12}{row.zstd:>12}{row.xz / peers[row.modules]:>12.2f}")


def show_flash(flash: Flash) -> None:
    """Print what a board carries."""
    print(f"\nin flash: kernel {flash.kernel} + initramfs (xz) {flash.initramfs} = {flash.total} bytes "
          f"(goal: {FLASH_LIMIT} at most)")


def show_times(runs: dict[tuple[str, str], list[Run]]) -> None:
    """Print minimum, median and maximum of each figure, and how its median stands to the peer's with that engine."""
    print("\nseconds: minimum / median / maximum, and the median's ratio to the peer with the same engine")
    for figure, title in FIGURES.items():
        print(f"  {title}")
        for (loader, engine), made in runs.items():
            low, middle, high = spread([getattr(run, figure) for run in made])
            peer = spread([getattr(run, figure) for run in runs[PEER, engine]])[1]
            print(f"    {loader:<14}kexec_{'load' if engine == 'load' else 'file_load':<12}"
                  f"{low:>8.3f} /{middle:>7.3f} /{high:>7.3f}{middle / peer:>9.2f}")


def show_stages(runs: dict[tuple[str, str], list[Run]]) -> None:
    """Print the median of each stage of the boot shim."""
    print("\nstages of the boot shim, median milliseconds")
    for (loader, engine), made in runs.items():
        stages = medians(made)
        if stages:
            print(f"  {loader}, {engine}: " + ", ".join(f"{name} {took * 1000:.0f}" for name, took in stages.items()))


def show_verdict(judged: Judged) -> None:
    """Print what a verdict costs on this machine."""
    print(f"\nnatively, a UKI of {judged.size} bytes: SHA-256 {judged.sha256 * 1000:.1f} ms, "
          f"verdict {judged.verdict * 1000:.1f} ms, ratio {judged.ratio:.2f} (goal: {LIMIT} at most)")


def medians(runs: list[Run]) -> dict[str, float]:
    held: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, took in run.stages.items():
            held[name].append(took)
    return {name: spread(values)[1] for name, values in held.items()}


def as_json(
    about: dict[str, str], sizes: list[Sizes], flash: Flash, runs: dict[tuple[str, str], list[Run]], judged: Judged
) -> dict[str, Any]:
    return {
        "schema": SCHEMA, "about": about, "sizes": [row._asdict() for row in sizes],
        "flash": flash._asdict(),
        "runs": [{"loader": loader, "engine": engine, **run._asdict()}
                 for (loader, engine), made in runs.items() for run in made],
        "verdict": judged._asdict(),
        "goals": [goal("verdict / SHA-256", judged.ratio, LIMIT),
                  goal("flash kernel + initramfs, bytes", flash.total, FLASH_LIMIT)],
    }  # fmt: skip


def goal(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"name": name, "value": value, "limit": limit, "pass": value <= limit}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
