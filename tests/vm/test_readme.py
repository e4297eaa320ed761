"""The commands of README and of docs/kernel.md, word for word, with README's configuration, on a disk that it fits."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from initramfs.kernel import IMAGE, build_kernel
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.target import make_token, target_initrd
from tests.unit.test_docs import ROOT, blocks, commands
from tests.vm.scene import bls
from tests.vm.shimmed import debian_ca

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("page", ["README.md", "docs/kernel.md"])
def test_the_first_configuration_boots(tmp_path: Path, page: str) -> None:
    token, kernel = make_token(), debian.kernel()
    initrd = target_initrd(token)
    config, = blocks(ROOT / "README.md", "toml")
    cmdline = re.search(r'exact = \["(.*)"\]', config)
    assert cmdline is not None
    Path(tmp_path, "my.toml").write_text(
        config.replace("SHA-256 OF THE INITRD", hashlib.sha256(initrd).hexdigest()))
    Path(tmp_path, "debian-uefi-ca.der").write_bytes(debian_ca().read_bytes())
    files = {"vmlinuz": kernel.image, "initrd": initrd,
             "loader/entries/target.conf": bls("/vmlinuz", "/initrd", options=cmdline[1])}
    make_disk(tmp_path / "disk.img", [Partition("xbootldr", "ext4", files)])
    for command in commands(ROOT / page):
        if ".venv/bin/bootshim" not in command:
            continue
        line = command.replace(".venv/bin", str(ROOT / ".venv/bin")).replace("$K", kernel.release)
        line = line.replace("/lib/modules", str(kernel.directory / "lib/modules"))
        line = line.replace("/boot/", f"{kernel.directory}/boot/")
        if "build/bzImage" in line:
            line = line.replace("build/bzImage", str(build_kernel() / IMAGE))
        if " run " in line:
            line += f" --expect token={token}"
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert f"token={token}" in done.stdout
    assert "timeline" in done.stdout
