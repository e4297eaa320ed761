"""A store of UEFI variables with secure boot on, made by virt-fw-vars."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shim.cli.qemu import OVMF

OWNER = "77fa9abd-0359-4d32-bd60-28f4e78f784b"


def secure_variables(output: Path, platform_key: Path, db: Sequence[Path]) -> Path:
    """Write OVMF's store with these certificates (DER or PEM): a platform key, which is the KEK too, and the db."""
    tool = Path(sys.executable).with_name("virt-fw-vars")
    command = [str(tool), "--input", OVMF[1], "--output", str(output), "--set-pk", OWNER, str(platform_key),
               "--add-kek", OWNER, str(platform_key), "--sb"]
    for certificate in db:
        command += ["--add-db", OWNER, str(certificate)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return output
