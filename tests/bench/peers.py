"""kexec-tools, driven by a static busybox script: the smallest boot loader of that kind that can be put together."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from initramfs.sources import Pinned, cached, fetch_source, read_lock, unpack
from tests.builders import debian
from tests.builders.busybox import busybox_initramfs

HERE = Path(__file__).parent
CONFIGURE = ("LDFLAGS=-static", "CFLAGS=-Os -g0", "--without-zlib", "--without-lzma", "--without-zstd", "--without-xen")


def kexec_tools() -> Pinned:
    return read_lock(HERE / "peers.lock")["kexec-tools"]


def build_kexec() -> bytes:
    """Return kexec(8) as a static program, without the decompressors that a bzImage does not need."""
    inputs = " ".join((kexec_tools().sha256, *CONFIGURE)).encode()
    return (cached("kexec-tools", inputs, _build_kexec) / "kexec").read_bytes()


def peer_initramfs(engine: str, modules: tuple[str, ...] = ()) -> bytes:
    """Return the archive, not compressed. `engine` is load or file, as the boot shim's configuration has it."""
    script = (HERE / "peer.sh").read_text().replace("@ENGINE@", {"load": "-c", "file": "-s"}[engine])
    return busybox_initramfs(script, debian.kernel(), modules, {"kexec": build_kexec()})


def _build_kexec(work: Path) -> None:
    source = unpack(fetch_source(kexec_tools()), work / "source")
    for command in (["./configure", *CONFIGURE], ["make", f"-j{os.cpu_count() or 1}", "build/sbin/kexec"],
                    ["strip", "--strip-all", "build/sbin/kexec"]):
        done = subprocess.run(command, cwd=source, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise RuntimeError(f"kexec-tools: {' '.join(command)}: {done.stderr[-2000:]}")
    (source / "build/sbin/kexec").rename(work / "kexec")
