"""Unified kernel images, made by systemd's ukify; PE files signed and stripped by sbsigntool. All from Debian."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.builders.debian import kernel, package
from tests.builders.keys import KeyFiles

SUITE = "trixie"  # the first that has ukify; plain Python
STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
OS_RELEASE = 'ID=bootshim-target\nPRETTY_NAME="The target"\nVERSION_ID=1\n'


def make_uki(output: Path, linux: Path, initrds: Sequence[Path], cmdline: str, os_release: str = OS_RELEASE) -> Path:
    """Make a UKI around systemd's stub."""
    ukify = package("systemd-ukify", suite=SUITE) / "usr/bin/ukify"
    stub = package("systemd-boot-efi", suite=SUITE) / STUB
    command = [
        sys.executable, str(ukify), "build", "--stub", str(stub), "--linux", str(linux), "--cmdline", cmdline,
        "--os-release", os_release, "--output", str(output),
    ]  # fmt: skip
    _run([*command, *(word for initrd in initrds for word in ("--initrd", str(initrd)))])
    return output


def sign_pe(source: Path, output: Path, signer: KeyFiles) -> Path:
    """Sign a PE file."""
    sbsign = package("sbsigntool") / "usr/bin/sbsign"
    _run([str(sbsign), "--key", str(signer.key), "--cert", str(signer.certificate), "--output", str(output),
          str(source)])
    return output


def unsigned_kernel(directory: Path) -> bytes:
    """Return Debian's kernel with its signature taken away by sbattach; `directory` is for work."""
    copy = directory / "stripped"
    copy.write_bytes(kernel().image.read_bytes())
    _run([str(package("sbsigntool") / "usr/bin/sbattach"), "--remove", str(copy)])
    return copy.read_bytes()


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
