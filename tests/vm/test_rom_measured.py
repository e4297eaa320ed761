"""What `bootshim rom pcrs` predicts of a ROM is what the machine's TPM and the firmware's log hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shim.cli import main as bootshim
from shim.formats.tcglog import parse_log
from tests.builders.measured import BANKS, pcrs_of
from tests.builders.swtpm import Swtpm
from tests.builders.target import Facts, parse_facts
from tests.vm import rom

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("rom")]
OURS = b"bootshim: "


def predicted(image: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert bootshim(["rom", "pcrs", str(image), "--json", *(f"--bank={bank}" for bank in BANKS)]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def start(folder: Path, board: str) -> tuple[Path, Facts]:
    made, disk, token = rom.make(folder, board, rom.flash_kernel())
    with Swtpm() as tpm:
        run = rom.power_on(made, disk, board, token, tpm.arguments)
    facts = parse_facts(run.serial)
    assert facts is not None, run.serial[-2000:]
    assert facts.token == token
    return made, facts


def test_ovmf_measures_the_payload_as_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PCR 2 to 7 and 11 whole, in each bank; of PCR 0 and 9 the events, before the boot shim's own."""
    image, facts = start(tmp_path, "ovmf-q35")
    told, pcrs = predicted(image, capsys), pcrs_of(facts)
    for bank in BANKS:
        for pcr in (2, 3, 4, 5, 6, 7, 11):
            assert told["pcrs"][bank][str(pcr)] == pcrs[bank][pcr], (bank, pcr)
    assert set(told["unknown"]) == {"0", "1"}
    log = parse_log(bytes.fromhex(facts.lines["eventlog"])).events
    firmware = log[: next(number for number, event in enumerate(log) if event.event.startswith(OURS))]
    for event in told["events"]:
        found = [one for one in firmware if one.pcr_index == event["pcr"] and one.event_type == event["event_type"]]
        assert event["digests"] in [{bank: one.digests[bank].hex() for bank in BANKS} for one in found], event
    # Nothing of what is predicted whole is missing from the prediction.
    for pcr in (2, 3, 4, 5, 6, 7, 9, 11):
        assert sum(event["pcr"] == pcr for event in told["events"]) == sum(one.pcr_index == pcr for one in firmware)


def test_another_payload_has_other_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _, _ = rom.make(tmp_path / "one", "ovmf-q35", rom.flash_kernel())
    second, _, _ = rom.make(tmp_path / "two", "ovmf-q35", rom.flash_kernel())
    one, two = predicted(first, capsys), predicted(second, capsys)
    changed = {pcr for pcr, value in one["pcrs"]["sha256"].items() if value != two["pcrs"]["sha256"][pcr]}
    assert changed == {"4", "9", "11"}
    assert one["events"][0]["pcr"] == two["events"][0]["pcr"] == 0
    assert one["events"][0]["digests"] != two["events"][0]["digests"]


def test_coreboot_measures_nothing_as_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, facts = start(tmp_path, "coreboot-q35")
    told, pcrs = predicted(image, capsys), pcrs_of(facts)
    assert (told["events"], told["pcrs"]) == ([], {})
    assert "measures nothing" in told["unknown"]["all"]
    for bank, row in pcrs.items():
        for pcr in range(8):
            assert int(row[pcr], 16) == 0, (bank, pcr)
        assert int(row[8], 16) != 0  # the boot shim's own
