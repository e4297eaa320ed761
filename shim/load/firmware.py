"""How the purgatory can be heard and how it can reset, as the running kernel knows it.

Spec: Linux Documentation/ABI/testing/sysfs-tty (port, console/active); ACPI 6.5, 5.2.9 (FADT).
"""

from __future__ import annotations

from shim.errors import FetchError, FormatError
from shim.formats.bootparams import BOOT_PARAMS
from shim.formats.fadt import parse_reset_register
from shim.load.attributes import read_text
from shim.purgatory import PurgatoryFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.ports import Files

ACTIVE = "/sys/class/tty/console/active"
FADT = "/sys/firmware/acpi/tables/FACP"
FIRST_SERIAL = 0x3F8
SIZE_MAX = 4096


def read_complaints(facts: Files) -> dict[str, Any]:
    """Return the fields of `PurgatoryArgs` that say where it complains and how it resets."""
    fields: dict[str, Any] = {"serial_port": _serial_port(facts)}
    try:
        reset = parse_reset_register(facts.read(FADT, SIZE_MAX))
    except (FetchError, FormatError):
        reset = None
    if reset is not None:
        fields["reset_port"], fields["reset_value"] = reset
    return fields


def text_screen(running: bytes) -> PurgatoryFlag:
    """Return VGA when the running kernel was started in a text mode: then there is a screen to write on."""
    return PurgatoryFlag.VGA if BOOT_PARAMS.parse(running)["orig_video_isVGA"] == 1 else PurgatoryFlag(0)


def _serial_port(facts: Files) -> int:
    """Return the I/O port of the serial console, 0 when the running kernel has none."""
    for name in read_text(facts, ACTIVE).split():
        if not name.startswith("ttyS"):
            continue
        try:
            port = int(read_text(facts, f"/sys/class/tty/{name}/port"), 16)
        except ValueError:
            port = FIRST_SERIAL if name == "ttyS0" else 0
        if 0 < port <= 0xFFFF:
            return port
    return 0
