"""Small files in which the kernel tells of the machine (sysfs, securityfs, procfs)."""

from __future__ import annotations

from shim.errors import FetchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Files

ATTRIBUTE_SIZE_MAX = 4096


def read_text(facts: Files, path: str) -> str:
    """Return an attribute without the blanks around it; nothing where it is absent or cannot be read."""
    try:
        return facts.read(path, ATTRIBUTE_SIZE_MAX).decode("ascii", "replace").strip()
    except FetchError:
        return ""


def read_number(facts: Files, path: str) -> int | None:
    """Return an attribute that is a number, in hexadecimal with 0x before it; None where there is none."""
    return parse_number(read_text(facts, path))


def parse_number(text: str) -> int | None:
    """Return a number as C writes it, None for anything else."""
    try:
        return int(text, 0)
    except ValueError:
        return None
