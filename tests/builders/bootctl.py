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
SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_RELAX_XBOOTLDR_CHECKS=1 "$3" --esp-path="$1" list --json=short
"""


def bootctl_list(tree: Path, mount_point: Path) -> list[dict[str, Any]]:
    """Return what `bootctl list` says of an ESP with these files, in systemd's order."""
    mount_point.mkdir(exist_ok=True)
    program = package("systemd-boot") / "usr/bin/bootctl"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", SCRIPT, "-", str(mount_point), str(tree), str(program)],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bootctl: {done.stderr}")
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    return [row for row in listed if row.get("path", "").startswith(str(mount_point))]
