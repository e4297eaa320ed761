"""systemd's own reading of boot entries: the witness for ours. Needs mounts of its own, on a tmpfs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.builders.debian import package

SCRIPT = """
set -e
mount -t tmpfs tmpfs "$1"
cp -r "$2"/. "$1"
SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_RELAX_XBOOTLDR_CHECKS=1 "${@:3}" --esp-path="$1" list --json=short
"""


LIBRARIES = ("libc6", "libsystemd-shared", "libssl3t64")


def bootctl() -> tuple[str, ...]:
    """Return the command of this Debian's bootctl (systemd 252)."""
    return (str(package("systemd-boot") / "usr/bin/bootctl"),)


def newer_bootctl() -> tuple[str, ...]:
    """Return the command of trixie's bootctl (systemd 257, which knows profiles), with the libraries it needs."""
    folders = [package(name, suite="trixie") / "usr/lib/x86_64-linux-gnu" for name in LIBRARIES]
    path = ":".join(map(str, (*folders, folders[1] / "systemd", "/lib/x86_64-linux-gnu")))
    program = package("systemd-boot-tools", suite="trixie") / "usr/bin/bootctl"
    return (str(folders[0] / "ld-linux-x86-64.so.2"), "--library-path", path, str(program))


def bootctl_list(tree: Path, mount_point: Path, command: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return what `bootctl list` says of an ESP with these files, in systemd's order."""
    mount_point.mkdir(exist_ok=True)
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", SCRIPT, "-", str(mount_point), str(tree),
         *(command or bootctl())],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bootctl: {done.stderr}")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    listed = said[0] if said and isinstance(said[0], list) else said
    return [row for row in listed if row.get("path", "").startswith(str(mount_point))]
