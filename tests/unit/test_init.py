"""PID 1: what it reads before anything else, and what it says when it cannot go on."""

from __future__ import annotations

import pytest

from shim.errors import ConfigError, FetchError, ShimError
from shim.init import LAST_RESORT_DELAY, last_resort, read_config
from shim.system.recording import RecordingMachine

CONFIG = b'[boot]\ntimeout = 3\n[override]\nallow = ["boot.timeout"]\n'
PATH = "/etc/bootshim/config.toml"


def machine(config: bytes | ShimError, cmdline: bytes = b"quiet\n", **files: bytes) -> RecordingMachine:
    named = {f"/etc/bootshim/{name}": data for name, data in files.items()}
    return RecordingMachine(facts={PATH: config, "/proc/cmdline": cmdline, **named})


def test_the_configuration_is_the_baked_one_and_the_command_line_changes_what_it_may() -> None:
    assert read_config(machine(CONFIG)).boot.timeout == 3.0
    changed = read_config(machine(CONFIG, b"quiet bootshim.boot.timeout=0 bootshim.boot.edit=yes\n"))
    assert (changed.boot.timeout, changed.boot.edit, len(changed.refused)) == (0.0, False, 1)


def test_a_command_line_of_any_bytes_is_read() -> None:
    config = read_config(machine(CONFIG, bytes(range(256)) + b" bootshim.boot.timeout=1"))
    assert config.boot.timeout == 1.0


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"[boot]\ntimout = 3\n", "unknown key"),
        (b"\xff\xfe", "not UTF-8"),
        (b'[policy]\nanchors = ["missing.der"]\n', "no such file"),
        (b'[policy]\nanchors = ["../../etc/shadow"]\n', "no such file"),
        (b'[policy]\nanchors = ["../../../etc/shadow"]\n', "leads out of the volume"),
        (FetchError("no such file", path=PATH), "no such file"),
        (b"#" * (2 << 20), "too long"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_a_typed_error(config: bytes | ShimError, reason: str) -> None:
    with pytest.raises((ConfigError, FetchError, ShimError), match=reason):
        read_config(machine(config))


def test_the_last_resort_says_what_happened_and_where_and_waits() -> None:
    broken = machine(b"")
    try:
        raise ConfigError("unknown \x1b[2J table", key="boat\n")
    except ConfigError as problem:
        last_resort(broken, problem)  # type: ignore[arg-type]  # the twin in place of the machine
    first, place, last = broken.console.text.splitlines()
    assert first == r"bootshim: cannot go on: unknown \x1b[2J table (key=boat\n)"
    assert "test_init.py" in place
    assert last == f"bootshim: reset in {LAST_RESORT_DELAY:g} s"
    assert broken.clock.now() == LAST_RESORT_DELAY


def test_the_last_resort_names_the_kind_of_an_error_that_is_not_ours() -> None:
    broken = machine(b"")
    last_resort(broken, ZeroDivisionError("division by zero"))  # type: ignore[arg-type]  # as above
    assert "cannot go on: ZeroDivisionError: division by zero" in broken.console.text
