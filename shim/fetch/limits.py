"""Ceilings for what is fetched: by role, together, and by the memory that the machine has."""

from __future__ import annotations

from shim.errors import FetchError
from shim.model import Role
from shim.units import GIB, KIB, MIB
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Files

MEMINFO = "/proc/meminfo"
MEMINFO_SIZE_MAX = 1 << 16
MEMINFO_DIGITS_MAX = 16
PACKED = (Role.CREDENTIAL, Role.EXTENSION)
TWICE = (*PACKED, Role.OSPKG)


class Limit(Value):
    """A ceiling for one file in bytes, and what is said of one that is longer."""

    size: int
    reason: str = "the file is too long"
    may_be_empty: bool = False


class Limits(Value):
    """Ceilings in bytes for one entry. A kernel is one file; initrds may be many."""

    kernel_size: int = 512 * MIB
    uki_size: int = 2 * GIB
    ospkg_size: int = 2 * GIB
    initrd_size: int = 4 * GIB
    devicetree_size: int = 4 * MIB
    manifest_size: int = 1 * MIB
    addon_size: int = 512 * MIB
    credential_size: int = 4 * MIB
    extension_size: int = 2 * GIB
    total_size: int = 6 * GIB
    total_reason: str = "the entry's files are too long together"
    initrd_count: int = 64
    extra_count: int = 256

    def of(self, role: Role, left: int) -> Limit:
        """Return the ceiling for one file of a role when `left` bytes of the total are left."""
        own = {
            Role.KERNEL: self.kernel_size,
            Role.UKI: self.uki_size,
            Role.OSPKG: self.ospkg_size,
            Role.INITRD: self.initrd_size,
            Role.DEVICETREE: self.devicetree_size,
            Role.MANIFEST: self.manifest_size,
            Role.ADDON: self.addon_size,
            Role.CREDENTIAL: self.credential_size,
            Role.EXTENSION: self.extension_size,
        }[role]
        packed, room = role in PACKED, left // weight_of(role)
        if own <= room:
            return Limit(size=own, may_be_empty=packed)
        return Limit(size=room, reason=self.total_reason, may_be_empty=packed)


def weight_of(role: Role) -> int:
    """Return how often a byte of a role counts: what is packed into an archive, or out of one, is in memory a second
    time."""
    return 2 if role in TWICE else 1


def limits_for(facts: Files) -> Limits:
    """Return ceilings that leave half of the machine's free memory: the kernel copies what it is told to load.

    Without them a file that is larger than the memory would end in the kernel's out-of-memory killer, and with us
    the machine. Spec: Linux Documentation/filesystems/proc.rst, meminfo.
    """
    defaults = Limits()
    try:
        lines = facts.read(MEMINFO, MEMINFO_SIZE_MAX).decode("ascii", "replace").splitlines()
    except FetchError:
        return defaults
    for line in lines:
        name, _, value = line.partition(":")
        number = value.strip().removesuffix(" kB")
        if name == "MemAvailable" and number.isdecimal() and len(number) <= MEMINFO_DIGITS_MAX:
            half = int(number) * KIB // 2
            if half < defaults.total_size:
                return defaults.replace(total_size=half, total_reason="the entry's files do not fit into memory")
    return defaults
