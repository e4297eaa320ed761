"""The witnesses for what is measured: systemd-measure (trixie's, which knows all sections), systemd-pcrlock and
tpm2_eventlog."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from shim.formats.pe import PE, parse_pe
from tests.builders.bootctl import newer_bootctl
from tests.builders.debian import package
from tests.builders.swtpm import TpmServer
from tests.builders.target import Facts

# systemd-measure 257 takes these two for each other: what is given as --dtbauto is measured under the name ".hwids".
# The stub itself does not, which tests/vm/test_measure.py sees.
SWAPPED = {"hwids": "dtbauto"}
BANKS = ("sha1", "sha256", "sha384", "sha512")


def systemd_measure(folder: Path, sections: Mapping[str, bytes], banks: Iterable[str] = BANKS) -> dict[str, str]:
    """Return PCR 11 by bank as `systemd-measure calculate` has it for these sections (".linux" and so on).

    The phases that systemd extends later are left out (`--phase=`).
    """
    command = [*newer("systemd-measure"), "calculate", "--phase=", *(f"--bank={bank}" for bank in banks)]
    said = _run([*command, *_section_words(folder, sections)])
    return dict(re.findall(r"^11:(\w+)=([0-9a-f]+)$", said, re.MULTILINE))


def systemd_sign(folder: Path, sections: Mapping[str, bytes], *words: str, own: bool = False) -> str:
    """Return what `systemd-measure sign` prints for these sections; `own` is this Debian's (252), on a TPM."""
    words = ("sign", *_section_words(folder, sections), *words)
    if not own:
        return _run([*newer("systemd-measure"), *words])
    with TpmServer() as tpm:
        return _run(["/lib/systemd/systemd-measure", f"--tpm2-device={tpm.device}", *words])


def pcrlock(tpm: TpmServer, log: Path, *words: str) -> str:
    """Return what `systemd-pcrlock` prints on a machine with this TPM, whose firmware has left this event log."""
    own = {"SYSTEMD_TPM2_DEVICE": tpm.device, "SYSTEMD_MEASURE_LOG_FIRMWARE": str(log),
           "SYSTEMD_MEASURE_LOG_USERSPACE": f"{log}.userspace", "COLUMNS": "200"}  # fmt: skip
    return _run([*newer("systemd-pcrlock"), *words], {**os.environ, **own})


def newer(program: str) -> list[str]:
    """Return the command of one of trixie's programs of systemd."""
    return [*newer_bootctl()[:-1], str(package("systemd", suite="trixie") / "usr/lib/systemd" / program)]


def _section_words(folder: Path, sections: Mapping[str, bytes]) -> list[str]:
    words = []
    for name, data in sections.items():
        path = folder / f"section{name}"
        path.write_bytes(data)
        words.append(f"--{SWAPPED.get(name[1:], name[1:])}={path}")
    return words


def sections_of(data: bytes, profile: int = 0) -> dict[str, bytes]:
    """Return the sections of a UKI that hold in a profile, as `objcopy` would cut them out, by name."""
    image: PE = parse_pe(data)
    base: dict[str, bytes] = {}
    profiles: list[dict[str, bytes]] = []
    for section in image.sections:
        if section.name == ".profile":
            profiles.append({})
        (profiles[-1] if profiles else base).setdefault(section.name, bytes(section.data(data)))
    known = {".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
             ".profile", ".hwids"}
    merged = {**base, **(profiles[profile] if profiles else {})}
    return {name: content for name, content in merged.items() if name in known}


def pcrs_of(facts: Facts | None) -> dict[str, dict[int, str]]:
    """Return what the second kernel reads in the PCRs, by bank and number."""
    found: dict[str, dict[int, str]] = {}
    for name, value in facts.lines.items() if facts else ():
        if name.startswith("pcr_"):
            _, bank, pcr = name.split("_")
            found.setdefault(bank, {})[int(pcr)] = value.lower()
    if not found:
        raise AssertionError("the target has read no PCR")
    return found


def replayed(folder: Path, log: bytes) -> dict[str, dict[int, str]]:
    """Return the PCRs by bank and number as `tpm2_eventlog` computes them from a log."""
    path = folder / "eventlog.bin"
    path.write_bytes(log)
    found: dict[str, dict[int, str]] = {}
    text = _run(["tpm2_eventlog", str(path)])
    for line in text[text.rindex("\npcrs:") :].splitlines():
        if bank := re.fullmatch(r"  (\w+):", line):
            found[bank[1]] = {}
        elif value := re.fullmatch(r"    (\d+) *: 0x([0-9a-f]+)", line):
            list(found.values())[-1][int(value[1])] = value[2]
    return found


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
