"""The state of the running kernel that the report tells: how far it is locked down, and whose signatures it knows."""

from __future__ import annotations

from shim.load.state import read_kernel_state
from shim.system.memory_files import MemoryFiles
from tests.builders.facts import GIB, facts, pc

# As Linux 6.1 prints them; the VM test of secure boot reads real ones.
KEYS = b"""\
0a1b2c3d I------     1 perm 1f030000     0     0 keyring   .platform: 2
1a2b3c4d I------     1 perm 1f010000     0     0 asymmetri Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1: X509.rsa 5cbb419ea1 []
2a2b3c4d I------     1 perm 1f010000     0     0 asymmetri \x1b[31mevil\x07: 00: X509.rsa 00 []
3a2b3c4d I--Q---     2 perm 3f030000     0     0 keyring   _ses: 1
short line
"""  # noqa: E501  # the kernel's own line


def state(**changes: bytes) -> dict[str, object]:
    told = {**facts(pc(GIB)), "/proc/sys/kernel/osrelease": b"6.1.0-56-cloud-amd64\n", "/proc/keys": KEYS,
            **changes}
    return read_kernel_state(MemoryFiles(told))


def test_keys_are_told_by_name_and_in_safe_form() -> None:
    assert state() == {
        "release": "6.1.0-56-cloud-amd64", "lockdown": "none", "secure_boot": False, "kexec_load_disabled": False,
        "keys": ["Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1", "\\x1b[31mevil\\x07: 00"],
    }  # fmt: skip


def test_lockdown_and_secure_boot_are_told() -> None:
    told = {**facts(pc(GIB), "none [integrity] confidentiality", secure_boot=3),
            "/proc/sys/kernel/kexec_load_disabled": b"1\n"}
    found = read_kernel_state(MemoryFiles(told))
    assert (found["lockdown"], found["secure_boot"], found["kexec_load_disabled"]) == ("integrity", True, True)


def test_a_kernel_that_shows_nothing_is_none_of_it() -> None:
    assert read_kernel_state(MemoryFiles({})) == {
        "release": "", "lockdown": "none", "secure_boot": False, "kexec_load_disabled": False, "keys": []}
