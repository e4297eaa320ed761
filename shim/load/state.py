"""How far the running kernel lets itself be replaced, and by whom it would have it signed: for the report.

Spec: kernel_lockdown.7; Linux Documentation/admin-guide/sysctl/kernel.rst (kexec_load_disabled); proc_keys(5);
security/integrity/platform_certs and certs/system_keyring.c (where the keys come from).
"""

from __future__ import annotations

from shim.errors import FetchError, printable
from shim.load.attributes import read_text
from shim.load.engines import DISABLED, LOCKDOWN, is_secure_boot, lockdown_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.ports import Files

KEYS, KEYS_SIZE_MAX, KEYS_MAX = "/proc/keys", 1 << 20, 200
RELEASE = "/proc/sys/kernel/osrelease"


def read_kernel_state(facts: Files) -> dict[str, Any]:
    """Return what docs/report.md calls `kernel`, as JSON values."""
    return {
        "release": printable(read_text(facts, RELEASE), 200),
        "lockdown": lockdown_of(read_text(facts, LOCKDOWN)),
        "secure_boot": is_secure_boot(facts),
        "kexec_load_disabled": read_text(facts, DISABLED) == "1",
        "keys": read_keys(facts),
    }


def read_keys(facts: Files) -> list[str]:
    """Return the X.509 keys on the kernel's keyrings by the names that they go by; none where /proc/keys is not there.

    A line of /proc/keys has seven fields and the type before the description, which ends in ": X509.rsa …".
    """
    try:
        lines = facts.read(KEYS, KEYS_SIZE_MAX).decode("utf-8", "replace").splitlines()
    except FetchError:
        return []
    found = []
    for line in lines[:KEYS_MAX]:
        fields = line.split(None, 8)
        if len(fields) == 9 and fields[7].startswith("asymmetri"):
            found.append(printable(fields[8].partition(": X509")[0], 200))
    return sorted(found)
