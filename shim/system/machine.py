"""The machine that runs us as PID 1: every port of `shim.ports` over the running kernel."""

from __future__ import annotations

import errno
import os

from shim.errors import SystemError_
from shim.model import Problem
from shim.system import calls
from shim.system.blobs import MemfdBlobs
from shim.system.clock import LinuxClock
from shim.system.console import LinuxConsole
from shim.system.devices import BlockDevices
from shim.system.files import TreeFiles
from shim.system.kexec import LinuxKexec
from shim.system.modules import load_modules
from shim.system.mounts import LinuxMounts
from shim.system.power import LinuxPower
from shim.system.quiesce import quiesce
from shim.system.tpm import LinuxTpm
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class KernelFileSystem(Value):
    """A file system that the kernel makes of itself. One that is not `needed` may be missing from the kernel."""

    fstype: str
    target: str
    options: str = ""
    needed: bool = True


NOSUID, NODEV, NOEXEC = 2, 4, 8
KERNEL_FILE_SYSTEMS = (
    KernelFileSystem(fstype="proc", target="/proc"),
    KernelFileSystem(fstype="sysfs", target="/sys"),
    KernelFileSystem(fstype="devtmpfs", target="/dev", options="mode=0755"),
    KernelFileSystem(fstype="tmpfs", target="/run", options="mode=0755"),
    KernelFileSystem(fstype="securityfs", target="/sys/kernel/security", needed=False),
)


class LinuxMachine:
    """All ports over the running kernel. `start` comes first: until then there is no /sys, /proc or /dev."""

    def __init__(self) -> None:
        self.facts = TreeFiles("/", crossing=True)
        self.devices = BlockDevices()
        self.mounts = LinuxMounts()
        self.blobs = MemfdBlobs()
        self.kexec = LinuxKexec()
        self.power = LinuxPower()
        self.console = LinuxConsole()
        self.clock = LinuxClock()
        self.tpm = LinuxTpm()

    def start(self) -> tuple[Problem, ...]:
        """Mount what the kernel shows of itself, then load the baked modules in their order.

        Returns what did not work and can be done without. Raises SystemError_ for the rest.
        """
        problems = [problem for wanted in KERNEL_FILE_SYSTEMS for problem in _mount(wanted)]
        return (*problems, *load_modules())

    def open_console(self, names: Sequence[str]) -> tuple[Problem, ...]:
        """Read and write on these devices from now on; none named means the kernel's own console."""
        return self.console.open(names)

    def sha256(self) -> calls.Sha256:
        """Return a running SHA-256 at the speed of the machine."""
        return calls.Sha256()

    def random(self, size: int) -> bytes:
        """Return random bytes for the next kernel; none where this one has not gathered any yet."""
        try:
            return os.getrandom(size, os.GRND_NONBLOCK)
        except OSError:
            return b""

    def quiesce(self) -> list[str]:
        """Make devices quiet before the jump; return one sentence for each thing done."""
        return quiesce()


def _mount(wanted: KernelFileSystem) -> list[Problem]:
    flags = NOSUID | NOEXEC | (0 if wanted.fstype == "devtmpfs" else NODEV)
    try:
        calls.mount(wanted.fstype, wanted.target, wanted.fstype, flags, wanted.options)
    except SystemError_ as problem:
        if problem.errno == errno.EBUSY:  # the kernel or whoever started us mounted it already
            return []
        if wanted.needed:
            raise
        return [Problem(source=wanted.target, error=str(problem))]
    return []
