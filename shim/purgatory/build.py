"""Build the purgatory: `python -m shim.purgatory.build` writes _blob.py beside this file. Needs gcc and ld.

The same sources and the same compiler give the same bytes: no path, date or build id gets into them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from shim.errors import SystemError_
from shim.purgatory.args import ARGS, PurgatoryBlob
from shim.purgatory.flatten import flatten

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
TARGET = HERE / "_blob.py"
SOURCES = ("entry.S", "check.c", "say.c", "reset.c", "trap.c", "memory.c", "sha256.c")
FLAGS = (
    "-std=gnu11", "-ffreestanding", "-fpie", "-fvisibility=hidden", "-mno-red-zone", "-mcmodel=small",
    "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
    "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-fno-common", "-fno-jump-tables",
    "-ffunction-sections", "-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes",
)
OPTIMISED = {  # the digest's speed is the time between two kernels; everything else runs once
    "sha256.c": ("-O2",),
    "memory.c": ("-Os", "-fno-tree-loop-distribute-patterns", "-Wno-missing-prototypes"),
}
OFFSETS = (f"-DARGS_SIZE={ARGS.size}", *(
    f"-DARGS_{field.upper()}={ARGS.offsets[field]}" for field in ("flags", "entry_address", "boot_params_address")
))


def compile_purgatory(compiler: str = "gcc") -> PurgatoryBlob:
    """Compile, link and flatten the purgatory. Raises SystemError_ or CalledProcessError where a tool fails."""
    with tempfile.TemporaryDirectory() as folder:
        objects = [_compile(compiler, source, Path(folder)) for source in SOURCES]
        linked = Path(folder, "purgatory.o")
        _run([compiler, "-r", "-nostdlib", "-Wl,--build-id=none", f"-Wl,-T,{HERE / 'purgatory.lds'}",
              "-o", str(linked), *map(str, objects)])
        with linked.open("rb") as stream:
            flat = flatten(stream)
    return PurgatoryBlob(code=flat.code, entry=flat.symbols["purgatory_start"], args=flat.symbols["purgatory_args"],
                         size=flat.size)


def _compile(compiler: str, source: str, folder: Path) -> Path:
    target = folder / f"{source}.o"
    flags = (*FLAGS, *OPTIMISED.get(source, ("-Os",)), *OFFSETS)
    _run([compiler, *flags, "-c", "-o", str(target), str(HERE / source)])
    return target


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    except OSError as problem:
        raise SystemError_("cannot run the compiler", problem.errno or 0, command=command[0]) from problem


def write_blob(target: Path = TARGET) -> PurgatoryBlob:
    """Build the purgatory and write it as a Python module."""
    built = compile_purgatory()
    target.write_text(
        '"""Written by `python -m shim.purgatory.build`."""\n\n'
        f"CODE = {built.code!r}\nENTRY = {built.entry}\nARGS = {built.args}\nSIZE = {built.size}\n",
        encoding="ascii",
    )
    return built


if __name__ == "__main__":
    made = write_blob()
    print(f"purgatory: {len(made.code)} bytes, {made.size} in memory", file=sys.stderr)
