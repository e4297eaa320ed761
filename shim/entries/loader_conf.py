"""loader.conf: which entry is the default and how long the menu waits. Spec: loader.conf(5) of systemd-boot."""

from __future__ import annotations

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
               "log-level")


class LoaderConf(Value):
    """`timeout` in seconds, None where it says nothing; `default` is a glob over entry ids; so is
    `preferred`, which takes no entry without tries left. `notes` are sentences."""

    default: str | None = None
    preferred: str | None = None
    timeout: float | None = None
    notes: tuple[str, ...] = ()


def parse_loader_conf(data: bytes) -> LoaderConf:
    """Return what a loader.conf says. Raises FormatError for a file that is no text."""
    globs: dict[str, str] = {}
    timeout: float | None = None
    notes: list[str] = []
    for line in parse_lines(data):
        if line.key in ("default", "preferred"):
            if line.value.startswith("@"):
                notes.append(f"line {line.number}: {line.key} {line.value} is kept in the firmware and not followed")
            elif line.value:
                globs[line.key] = line.value
        elif line.key == "timeout":
            said = _timeout(line.value)
            if said is None:
                notes.append(f"line {line.number}: the timeout {line.value[:64]} is no number of seconds")
            else:
                timeout = said
        elif line.key not in PASSED_OVER:
            notes.append(f"line {line.number}: the key {line.key[:64]} is not known and was passed over")
    return LoaderConf(
        default=globs.get("default"), preferred=globs.get("preferred"), timeout=timeout, notes=tuple(notes)
    )


def _timeout(value: str) -> float | None:
    if value == FOREVER:
        return TIMEOUT_MAX
    if value in NEVER:
        return 0.0
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        return None
    return min(float(value), TIMEOUT_MAX)
