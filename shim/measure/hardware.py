"""What the machine says it is: the texts of its SMBIOS tables, and the hardware IDs made of them.

Spec: Linux Documentation/ABI/testing/sysfs-class-dmi (drivers/firmware/dmi-id.c).
"""

from __future__ import annotations

from shim.errors import FetchError
from shim.formats.hwids import FIELDS, chids_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.digests import NewHash
    from shim.ports import Files, Machine

SMBIOS = "/sys/class/dmi/id"
TEXT_SIZE_MAX = 4096


def read_chids(machine: Machine) -> tuple[bytes, ...]:
    """Return the machine's CHIDs, the most specific first."""
    return chids_from(machine.facts, SMBIOS, machine.sha256)


def chids_from(files: Files, folder: str, new_hash: NewHash) -> tuple[bytes, ...]:
    """Return the CHIDs of the machine whose SMBIOS texts are files in a folder; one that is not there is empty."""
    return chids_of({field: _read(files, f"{folder}/{field}") for field in FIELDS}, new_hash)


def _read(files: Files, path: str) -> str:
    try:
        return files.read(path, TEXT_SIZE_MAX).decode("utf-8", "replace").removesuffix("\n")
    except FetchError:
        return ""
