"""Leaving: the next kernel, a reset, power off. The protocol is `shim.ports.Power`. Spec: reboot(2)."""

from __future__ import annotations

import os

from shim.system import calls


class LinuxPower:
    """reboot(2), after what is dirty was written. Returns only by raising SystemError_."""

    def kexec(self) -> None:
        """Start the loaded kernel."""
        os.sync()
        calls.reboot(calls.REBOOT_KEXEC)

    def reset(self) -> None:
        """Reset the machine."""
        os.sync()
        calls.reboot(calls.REBOOT_RESTART)

    def off(self) -> None:
        """Turn the machine off."""
        os.sync()
        calls.reboot(calls.REBOOT_POWER_OFF)
