"""loader.conf: which entry is the default and how long the menu waits. Spec: loader.conf(5) of systemd-boot."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.bls import parse_lines
from shim.values import Value

PATHS = ("/loader/loader.conf", "/boot/loader/loader.conf")
SIZE_MAX = 64 << 10
TIMEOUT_MAX = 3600.0
FOREVER = "menu-force"
NEVER = ("menu-hidden", "menu-disabled")
# Words about the machine or the looks of systemd-boot's own menu.
PASSED_OVER = ("editor", "auto-entries", "auto-firmware", "auto-poweroff", "auto-reboot", "beep", "console-mode",
               "secure-boot-enroll", "secure-boot-enroll-action", "reboot-for-bitlocker", "random-seed-mode",
               "log-level", "preferred")


class LoaderConf(Value):
    """`timeout` in seconds, None where it says nothing; `default` is a glob over entry ids. `notes` are sentences."""

    default: str | None = None
    timeout: float | None = None
    notes: tuple[str, ...] = ()


def parse_loader_conf(data: bytes) -> LoaderConf:
    """Return what a loader.conf says. Raises FormatError for a file that is no text or a timeout that is none."""
    default: str | None = None
    timeout: float | None = None
    notes: list[str] = []
    for line in parse_lines(data):
        if line.key == "default":
            if line.value.startswith("@"):
                notes.append(f"line {line.number}: default {line.value} is kept in the firmware, and is not followed")
            else:
                default = line.value or None
        elif line.key == "timeout":
            timeout = _timeout(line.value, line.number)
        elif line.key not in PASSED_OVER:
            notes.append(f"line {line.number}: the key {line.key[:64]} is not known and was passed over")
    return LoaderConf(default=default, timeout=timeout, notes=tuple(notes))


def _timeout(value: str, number: int) -> float:
    if value == FOREVER:
        return TIMEOUT_MAX
    if value in NEVER:
        return 0.0
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise FormatError("the timeout is no number of seconds", line=number, found=value)
    return min(float(value), TIMEOUT_MAX)
