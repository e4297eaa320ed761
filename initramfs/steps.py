"""One step of a build: a program run with an environment of its own, so that nothing of the machine gets in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shim.errors import ShimError, SystemError_

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EPOCH = "1704067200"  # 2024-01-01, in place of the date of the build


def run(command: Sequence[str], directory: Path, extra: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed. Raises ShimError where it fails, with the end of its output shown."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": EPOCH,
                   "HOME": "/nonexistent", **(extra or {})}
    try:
        done = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError as problem:
        raise SystemError_("cannot run", problem.errno or 0, command=command[0]) from problem
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
        raise ShimError("a step of the build failed", command=" ".join(command[:3]), status=done.returncode)
    return done.stdout


def put(data: bytes, output: Path, mode: int = 0o644) -> None:
    """Put a file in its place, whole: two builds at once do not meet."""
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(f"{output.name}.{os.getpid()}.new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.replace(output)


def compiler_version() -> str:
    """Return gcc's version."""
    return run(["gcc", "-dumpfullversion"], Path("/")).strip()
