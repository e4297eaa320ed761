"""The TPM behind the kernel's driver. The protocol is `shim.ports.Tpm`.

Spec: Linux Documentation/ABI/stable/sysfs-class-tpm; drivers/char/tpm/tpm-dev-common.c (one write a command, then one
read of the whole response; not blocking, so that the wait has an end).
"""

from __future__ import annotations

import os
import select

from shim.errors import MeasureError

DEVICES = ("/dev/tpmrm0", "/dev/tpm0")
VERSION = "/sys/class/tpm/tpm0/tpm_version_major"
TIME_LIMIT = 20.0  # seconds; a TPM may test itself for two before its first answer
RESPONSE_LIMIT = 4096


class LinuxTpm:
    """The first TPM of the machine, opened when it is first asked.

    One that did not answer in time is not asked again: its driver may still wait for it, and would hold us up.
    """

    def __init__(self, devices: tuple[str, ...] = DEVICES, seconds: float = TIME_LIMIT) -> None:
        self.devices, self.seconds = devices, seconds
        self._fd = -1
        self._given_up = False

    def is_present(self) -> bool:
        """Say whether the kernel has a driver for one, of TPM 2.0 as far as the kernel tells."""
        return any(os.path.exists(path) for path in self.devices) and _version() in ("", "2")

    def transmit(self, command: bytes) -> bytes:
        """Give it one command and return its response. Raises MeasureError when none came in time."""
        if self._given_up:
            raise MeasureError("the TPM is not asked any more: it did not answer before")
        if self._fd < 0:
            self._fd = self._open()
        try:
            os.write(self._fd, command)
            answers = select.poll()
            answers.register(self._fd, select.POLLIN)
            if not answers.poll(self.seconds * 1000):
                self._given_up = True
                raise MeasureError("the TPM does not answer", seconds=self.seconds)
            return os.read(self._fd, RESPONSE_LIMIT)
        except OSError as problem:
            self._given_up = True
            raise MeasureError(f"the TPM cannot be talked to: {problem.strerror}", errno=problem.errno) from problem

    def _open(self) -> int:
        for path in self.devices:
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise MeasureError(f"cannot open the TPM: {problem.strerror}", path=path,
                                   errno=problem.errno) from problem
        raise MeasureError("the machine has no TPM 2.0")


def _version() -> str:
    """Return the TPM's major version as the kernel tells it, nothing where it does not."""
    try:
        with open(VERSION, encoding="ascii") as file:
            return file.read(16).strip()
    except (OSError, ValueError):
        return ""
