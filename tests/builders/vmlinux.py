"""The ELF kernel inside a bzImage, taken out by lz4, which is how Debian compresses it."""

from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path


@cache
def vmlinux_of(kernel: Path) -> bytes:
    """Return the vmlinux. Spec: Linux Documentation/arch/x86/boot.rst, payload_offset and payload_length."""
    data = kernel.read_bytes()
    setup_size = (data[0x1F1] + 1) * 512
    offset, size = struct.unpack_from("<II", data, 0x248)
    payload = data[setup_size + offset : setup_size + offset + size]
    unpacked_size = struct.unpack_from("<I", payload, size - 4)[0]
    done = subprocess.run(["lz4", "-d", "-q", "-c"], input=payload[:-4], capture_output=True, check=True)
    if len(done.stdout) != unpacked_size or done.stdout[:4] != b"\x7fELF":
        raise ValueError(f"{kernel} does not hold an lz4 vmlinux")
    return done.stdout
