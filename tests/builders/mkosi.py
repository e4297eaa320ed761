"""mkosi as a pinned tool: Debian's packages of it and of what it calls, unpacked into the cache, never installed.

bookworm-backports has the first mkosi that knows `mkosi.images/`, and the systemd that its disk images need. What
`mkosi` looks for by name lies in one directory (its ExtraSearchPaths=), since the sandbox sees no other.
`python -m tests.builders.mkosi` prints the path of a mkosi that can be run from any directory.
"""

from __future__ import annotations

import shlex
import shutil
from functools import cache
from pathlib import Path

from initramfs.sources import cache_directory, cached
from tests.builders.debian import package

SUITE = "bookworm-backports"
BACKPORTED = ("mkosi", "systemd", "libsystemd-shared", "systemd-boot")
STABLE = ("python3-pefile", "grub-common")
PYTHON = "usr/lib/python3/dist-packages"
# Programs by the names that mkosi looks for. Those of systemd need their own library, which is not the machine's.
PROGRAMS = {"grub-mkimage": ("grub-common", "usr/bin/grub-mkimage")}
SYSTEMD_PROGRAMS = {
    "systemd-repart": ("systemd", "bin/systemd-repart"),
    "bootctl": ("systemd-boot", "usr/bin/bootctl"),
}
LIBRARY = "usr/lib/x86_64-linux-gnu/systemd"
RECIPE = 2  # of what is below: another number makes the tool anew


@cache
def mkosi_tool() -> Path:
    """Return the directory of the tool: `mkosi` in it is the command, `version` a text that tells tools apart."""
    return cached("mkosi", version_text().encode(), _assemble)


def version_text() -> str:
    """Return the names and versions of the packages that the tool is made of."""
    return "\n".join([f"recipe {RECIPE}", *(path.name for path in _packages().values())])


def package_cache() -> Path:
    """Return where mkosi keeps the Debian packages that it has fetched."""
    path = cache_directory() / "mkosi-packages"
    path.mkdir(exist_ok=True)
    return path


def _packages() -> dict[str, Path]:
    suites = {**dict.fromkeys(BACKPORTED, SUITE), **dict.fromkeys(STABLE, "bookworm")}
    return {name: package(name, suite) for name, suite in suites.items()}


def _assemble(work: Path) -> None:
    final = work.with_suffix("")
    packages = _packages()
    programs = work / "bin"
    programs.mkdir()
    shutil.copytree(packages["mkosi"] / PYTHON / "mkosi", work / "python/mkosi")
    shutil.copytree(packages["libsystemd-shared"] / LIBRARY, programs / "lib")
    for name, (source, path) in PROGRAMS.items():
        shutil.copy2(packages[source] / path, programs / name)
    for name, (source, path) in SYSTEMD_PROGRAMS.items():
        shutil.copy2(packages[source] / path, programs / f"{name}.real")
        _write_program(programs / name, [
            f"export LD_LIBRARY_PATH={shlex.quote(str(final / 'bin/lib'))}",
            f'exec {shlex.quote(str(final / "bin" / f"{name}.real"))} "$@"',
        ])
    ukify, = (path for where in packages.values() for path in where.rglob("ukify") if path.is_file())
    shutil.copy2(ukify, programs / "ukify")
    for name in ("pefile.py", "ordlookup"):
        source = packages["python3-pefile"] / PYTHON / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, programs / name)
    _write_program(programs / "python3", [  # mkosi and ukify look into PE files with a Python that has pefile
        f"export PYTHONPATH={shlex.quote(str(final / 'bin'))} PYTHONDONTWRITEBYTECODE=1",
        'exec /usr/bin/python3 "$@"',
    ])
    _write_program(work / "mkosi", [
        f"export PYTHONPATH={shlex.quote(str(final / 'python'))} PYTHONDONTWRITEBYTECODE=1 "
        f"MKOSI_INTERPRETER={shlex.quote(str(final / 'bin/python3'))}",
        f"exec /usr/bin/python3 -m mkosi --extra-search-path={shlex.quote(str(final / 'bin'))} "
        f'--package-cache-dir={shlex.quote(str(package_cache()))} "$@"',
    ])
    (work / "version").write_text(version_text())


def _write_program(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


if __name__ == "__main__":
    print(mkosi_tool() / "mkosi")
