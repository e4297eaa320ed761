"""Time since the kernel started. The protocol is `shim.ports.Clock`."""

from __future__ import annotations

import time


class LinuxClock:
    """CLOCK_BOOTTIME: what the kernel's own messages count, give or take the moment it started counting."""

    def now(self) -> float:
        """Return seconds since the kernel started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
