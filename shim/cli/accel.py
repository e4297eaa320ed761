"""What QEMU runs a machine with: KVM where it carries a whole kernel here, else emulation.

A /dev/kvm proves nothing, and neither does a program of three instructions: under nested virtualisation both can be
well while every kernel hangs or dies. So the machine's own kernel is started once, without a root, and has to get as
far as its panic about that. The answer is kept until the host boots again; BOOTSHIM_ACCEL=kvm|tcg overrides it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from shim.errors import ConfigError

CHOICES = {"kvm": ("-accel", "kvm", "-cpu", "host"), "tcg": ("-accel", "tcg", "-cpu", "max")}
VARIABLE = "BOOTSHIM_ACCEL"
DEVICE = "/dev/kvm"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PROBE_SECONDS = 10.0
PROBE_CMDLINE = "console=ttyS0 panic=-1"
PROBE_SAYS = b"Kernel panic - not syncing: VFS"


def accelerator(program: str, kernel: Path | None) -> tuple[str, ...]:
    """Return QEMU's arguments for the accelerator and the CPU; without a kernel to try, it is emulation.

    Raises ConfigError for an unknown override.
    """
    chosen = os.environ.get(VARIABLE) or (remembered(program, kernel) if kernel else "tcg")
    if chosen not in CHOICES:
        raise ConfigError("no such accelerator", variable=VARIABLE, found=chosen, known=" ".join(CHOICES))
    return CHOICES[chosen]


def remembered(program: str, kernel: Path) -> str:
    """Return what the probe found since the host was booted, for this QEMU and this kernel."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    status = kernel.stat()
    key = f"{BOOT_ID.read_text()} {program} {kernel.resolve()} {status.st_size} {status.st_mtime_ns}"
    cache = Path(os.environ.get("BOOTSHIM_CACHE") or Path.home() / ".cache" / "bootshim")
    held = cache / f"accel-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if held.is_file() and held.read_text() in CHOICES:
        return held.read_text()
    found = "kvm" if kvm_works(program, kernel) else "tcg"
    cache.mkdir(parents=True, exist_ok=True)
    partial = held.with_name(f"{held.name}.{os.getpid()}")
    partial.write_text(found)
    partial.replace(held)
    return found


def kvm_works(program: str, kernel: Path) -> bool:
    """Say whether this kernel gets through its own start under KVM in time."""
    command = [
        program, *CHOICES["kvm"], "-machine", "q35", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-serial", "stdio", "-kernel", str(kernel), "-append", PROBE_CMDLINE,
    ]
    try:
        done = subprocess.run(command, timeout=PROBE_SECONDS, stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
    except subprocess.TimeoutExpired:
        return False
    return PROBE_SAYS in done.stdout
