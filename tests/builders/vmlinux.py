"""The ELF kernel inside a bzImage, taken out by the tool for how it is compressed: Debian uses LZ4."""

from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path

TOOLS = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz"}  # by the first bytes of the payload


@cache
def vmlinux_of(kernel: Path) -> bytes:
    """Return the vmlinux. Spec: Linux Documentation/arch/x86/boot.rst, payload_offset and payload_length."""
    data = kernel.read_bytes()
    setup_size = (data[0x1F1] + 1) * 512
    offset, size = struct.unpack_from("<II", data, 0x248)
    payload = data[setup_size + offset : setup_size + offset + size]
    unpacked_size = struct.unpack_from("<I", payload, size - 4)[0]
    done = subprocess.run([TOOLS[payload[:4]], "-d", "-q", "-c"], input=payload[:-4], capture_output=True, check=True)
    if len(done.stdout) != unpacked_size or done.stdout[:4] != b"\x7fELF":
        raise ValueError(f"{kernel} does not hold a whole vmlinux")
    return done.stdout
