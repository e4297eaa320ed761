"""The tools that sign PE files as people use them: sbsigntool and osslsigncode, both of Debian trixie."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.builders.debian import package
from tests.builders.signing import Identity, key_pem


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)


def sbsigntool(tool: str) -> Path:
    return package("sbsigntool", suite="trixie") / "usr/bin" / tool


def osslsigncode() -> Path:
    return package("osslsigncode", suite="trixie") / "usr/bin/osslsigncode"


def sign_with(
    tool: str, pe: bytes, signer: Identity, carried: list[Identity], directory: Path, *options: str
) -> Path:
    """Sign a file with a real tool; return the signed file."""
    source, target = directory / "unsigned", directory / "signed"
    source.write_bytes(pe)
    (directory / "key").write_bytes(key_pem(signer.private))
    (directory / "certificate").write_bytes(signer.pem)
    (directory / "all").write_bytes(signer.pem + b"".join(one.pem for one in carried))
    (directory / "more").write_bytes(b"".join(one.pem for one in carried) or signer.pem)
    commands: dict[str, list[str | Path]] = {
        "osslsigncode": [
            osslsigncode(), "sign", "-certs", directory / "all", "-key", directory / "key", *options,
            "-in", source, "-out", target,
        ],
        "sbsign": [
            sbsigntool("sbsign"), "--key", directory / "key", "--cert", directory / "certificate",
            "--addcert", directory / "more", "--output", target, source,
        ],
    }  # fmt: skip
    target.unlink(missing_ok=True)
    done = run(*commands[tool])
    assert done.returncode == 0, done.stdout + done.stderr
    return target
