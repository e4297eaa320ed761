"""Unified kernel images, made by systemd's ukify; PE files signed and stripped by sbsigntool. All from Debian."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.builders.debian import kernel, package
from tests.builders.keys import KeyFiles

SUITE = "trixie"  # the first that has ukify; plain Python
STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
ADDON_STUB = STUB.replace("linuxx64", "addonx64")
OS_RELEASE = 'ID=bootshim-target\nPRETTY_NAME="The target"\nVERSION_ID=1\n'


def ukify(*arguments: str, stub: str = STUB) -> None:
    """Run `ukify build`."""
    program = package("systemd-ukify", suite=SUITE) / "usr/bin/ukify"
    _run([sys.executable, str(program), "build", "--stub", str(package("systemd-boot-efi", suite=SUITE) / stub),
          *arguments])


def make_uki(
    output: Path, linux: Path, initrds: Sequence[Path], cmdline: str, os_release: str = OS_RELEASE,
    profiles: Mapping[str, str] = MappingProxyType({}), more: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Make a UKI around systemd's stub. `profiles` are more profiles: their command lines by their IDs."""
    with tempfile.TemporaryDirectory() as folder:
        joined: list[str] = ["--profile", "ID=main\nTITLE=Main"] if profiles else []
        for number, (name, own) in enumerate(profiles.items()):
            ukify("--profile", f"ID={name}\nTITLE=Mode {name}", "--cmdline", own, "--output", f"{folder}/{number}",
                  stub=ADDON_STUB)
            joined += ["--join-profile", f"{folder}/{number}"]
        ukify("--linux", str(linux), "--cmdline", cmdline, "--os-release", os_release, "--output", str(output),
              *(word for initrd in initrds for word in ("--initrd", str(initrd))), *joined, *more)
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
