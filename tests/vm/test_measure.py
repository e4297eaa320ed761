"""Measured boots: what the second kernel finds in the PCRs is what was predicted, what the log replays to, and what
systemd has for the same UKI."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shim.cli import main as bootshim
from shim.cli.qemu import Disk, MachineSpec
from shim.formats.tcglog import EV_NO_ACTION, parse_log
from shim.measure.plan import measure_cmdline, utf16
from shim.measure.session import Session
from shim.system.clock import LinuxClock
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.measured import BANKS, pcrlock, pcrs_of, replayed, sections_of, systemd_measure
from tests.builders.swtpm import Swtpm, TpmServer
from tests.builders.target import make_token, second_initrd, target_initrd
from tests.builders.uki import SUITE, make_uki, sign_pe
from tests.vm.scene import OVERRIDES, make_authority, overrides
from tests.vm.shimmed import Outcome, Shim, boot, boot_spec, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm]
CMDLINES = {"main": "console=ttyS0 quiet main", "safe": "console=ttyS0 quiet safe", "own": "console=ttyS0 quiet öwn"}
IMA = 10  # the running kernel's own: every kernel measures its start there, outside of this log
SYSTEMD_BOOT = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"


class Scene(NamedTuple):
    """A disk with a UKI of two profiles and a kernel, the boot shim, and the files that `bootshim measure` reads."""

    folder: Path
    token: str
    uki: Path
    disk: Path
    shim: Shim


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("measured")
    token, authority, second = make_token(), make_authority(folder, "test"), second_initrd("second")
    (folder / "initrd").write_bytes(target_initrd(token))
    (folder / "second").write_bytes(second)
    (folder / "hwids").write_bytes(b"a table that nobody reads where there is no .dtbauto")
    unsigned = make_uki(folder / "unsigned", debian.kernel().image, [folder / "initrd"], CMDLINES["main"],
                        profiles={"safe": CMDLINES["safe"]}, more=["--section", f".hwids:@{folder / 'hwids'}"])
    uki = sign_pe(unsigned, folder / "multi.efi", authority.signer)
    disk = make_disk(folder / "disk.img", [Partition("esp", "vfat", {
        "EFI/Linux/multi.efi": uki, "second": second, "initrd": folder / "initrd", "vmlinuz": debian.kernel().image,
        "loader/entries/own.conf":
            f"title Own\nuki /EFI/Linux/multi.efi\ninitrd /second\noptions {CMDLINES['own']}\n",
        "loader/entries/plain.conf":
            f"title Plain\nlinux /vmlinuz\ninitrd /initrd\ninitrd /second\noptions {CMDLINES['own']}\n",
    })])  # fmt: skip
    policy = policy_text(anchors=["ca.der", "debian.der"], cmdlines=[CMDLINES["own"]],
                         initrds=[second, (folder / "initrd").read_bytes()])
    more = f'[measure]\ntpm = "required"\n{OVERRIDES}'
    files = {"ca.der": authority.ca.der.read_bytes(), "debian.der": debian_ca().read_bytes()}
    return Scene(folder, token, uki, disk, make_shim(folder / "shim", config_text(policy, more=more), files))


def start(scene: Scene, entry: str, firmware: str, model: str, engine: str = "load") -> Outcome:
    with Swtpm(model) as tpm:
        outcome = boot(scene.shim, Disk(path=scene.disk), firmware=firmware, extra=tpm.arguments,
                       cmdline=overrides({"boot.entry": entry, "load.engine": engine}))
    assert outcome.errors() == {}
    assert outcome.facts is not None
    assert outcome.facts.token == scene.token
    return outcome


def predicted(capsys: pytest.CaptureFixture[str], scene: Scene, *words: str) -> dict[str, dict[int, str]]:
    """Return what `bootshim measure` says."""
    banks = [f"--bank={bank}" for bank in BANKS]
    assert bootshim(["measure", *words, "--config", str(scene.folder / "shim/config.toml"), *banks, "--json"]) == 0
    printed = capsys.readouterr().out  # behind what the machine has printed
    said: dict[str, Any] = json.loads(printed[printed.rindex('{\n  "schema"') :])
    return {bank: {int(pcr): value for pcr, value in row.items()} for bank, row in said["pcrs"].items()}


def check_log(tmp_path: Path, outcome: Outcome, pcrs: dict[str, dict[int, str]]) -> None:
    """The log that was handed over accounts for every PCR in every bank, says tpm2_eventlog."""
    assert outcome.facts is not None
    log = replayed(tmp_path, bytes.fromhex(outcome.facts.lines["eventlog"]))
    assert set(log) == set(pcrs)
    for bank, values in log.items():
        assert {8, 11} <= set(values) or {8, 9, 12} <= set(values)
        for pcr in set(range(16)) - {IMA}:
            assert pcrs[bank][pcr] == values.get(pcr, "0" * len(values[8])), (bank, pcr)


def check_pcrlock(tmp_path: Path, outcome: Outcome, *words: str) -> None:
    """systemd-pcrlock finds our components in the log behind the firmware's events, and predicts the values."""
    assert outcome.facts is not None
    log, components = tmp_path / "eventlog.bin", tmp_path / "pcrlock.d"
    log.write_bytes(bytes.fromhex(outcome.facts.lines["eventlog"]))
    shutil.copytree(debian.package("systemd", suite=SUITE) / "usr/lib/pcrlock.d", components)  # systemd's own
    assert bootshim(["measure", *words, "--pcrlock", str(components)]) == 0
    with TpmServer() as tpm:
        session = Session(tpm, LinuxClock())
        for event in parse_log(log.read_bytes()).events:
            if event.event_type != EV_NO_ACTION:
                session.extend(event.pcr_index, event.digests)
        records = json.loads(pcrlock(tpm, log, "log", f"--components={components}", "--json=short"))["log"]
        said = json.loads(pcrlock(tpm, log, "predict", f"--components={components}", "--pcr=8", "--pcr=11",
                                  "--location=500:699", "--json=short"))  # fmt: skip
    named = {record["pcr"]: record["component"] for record in records if record["pcr"] in (8, 11, 12)}
    assert named == {8: "640-bootshim-config", 11: "650-bootshim-uki",
                     **({12: "660-bootshim-parameters"} if 12 in named else {})}  # fmt: skip
    assert all(record["component"] == named[record["pcr"]] for record in records if record["pcr"] in named)
    values = {row["pcr"]: row["values"] for row in said["sha256"]}
    found = pcrs_of(outcome.facts)["sha256"]
    assert set(values) == {8, 11}
    assert all(found[pcr] in values[pcr] for pcr in values)


@pytest.mark.parametrize(("entry", "profile", "firmware", "model", "engine"), [
    ("multi.efi", 0, "uefi", "tpm-crb", "load"), ("multi.efi@safe", 1, "bios", "tpm-tis", "file"),
])  # fmt: skip
def test_a_uki_is_measured_as_systemd_would(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str, profile: int, firmware: str,
    model: str, engine: str,
) -> None:  # fmt: skip
    outcome = start(scene, entry, firmware, model, engine)
    pcrs = pcrs_of(outcome.facts)
    assert set(pcrs) == set(BANKS)
    witness = systemd_measure(tmp_path, sections_of(scene.uki.read_bytes(), profile))
    told = predicted(capsys, scene, str(scene.uki), "--profile", str(profile), "--entry", entry)
    assert {bank: row[11] for bank, row in pcrs.items()} == witness
    assert {bank: row[11] for bank, row in told.items()} == witness
    for bank, row in pcrs.items():  # the first profile is not measured, another one is
        assert row[12] == told[bank].get(12, "0" * len(row[12]))
        assert (12 in told[bank]) is (profile > 0)
    check_log(tmp_path, outcome, pcrs)
    check_pcrlock(tmp_path, outcome, str(scene.uki), "--profile", str(profile), "--entry", entry, "--config",
                  str(scene.folder / "shim/config.toml"), "--override", f"boot.entry={entry}", "--override",
                  f"load.engine={engine}")  # fmt: skip


def test_what_stands_beside_a_uki_is_measured_too(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = start(scene, "own.conf", "bios", "tpm-crb")
    pcrs = pcrs_of(outcome.facts)
    told = predicted(capsys, scene, str(scene.uki), "--entry", "own.conf", "--cmdline", CMDLINES["own"],
                     "--initrd", str(scene.folder / "second"),
                     "--override", "boot.entry=own.conf", "--override", "load.engine=load")
    for bank, row in told.items():
        assert row == {pcr: pcrs[bank][pcr] for pcr in (8, 9, 11, 12)}
    check_log(tmp_path, outcome, pcrs)


def test_a_plain_kernel_is_measured_and_the_report_tells_each_event(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = start(scene, "plain.conf", "uefi", "tpm-tis")
    pcrs = pcrs_of(outcome.facts)
    told = predicted(capsys, scene, str(debian.kernel().image), "--entry", "plain.conf", "--cmdline", CMDLINES["own"],
                     "--initrd", str(scene.folder / "initrd"), "--initrd", str(scene.folder / "second"))
    assert {bank: row[12] for bank, row in pcrs.items()} == {bank: row[12] for bank, row in told.items()}
    check_log(tmp_path, outcome, pcrs)
    assert outcome.report is not None
    events = outcome.report["attempts"][-1]["events"]
    assert [event["pcr"] for event in events] == [8] * 6 + [9, 12, 9, 9]
    assert [event["description"] for event in events[:6]] == [
        "configuration config.toml", "configuration ca.der", "configuration debian.der", "configuration override",
        "configuration override", "entry plain.conf",
    ]  # fmt: skip
    assert all(set(event["digests"]) == set(BANKS) for event in events)


def test_without_a_tpm_nothing_boots_where_one_is_required(scene: Scene) -> None:
    outcome = boot(scene.shim, Disk(path=scene.disk))
    assert outcome.facts is None
    assert outcome.serial.count("failed in measure: the machine has no TPM 2.0") == 4
    assert outcome.ended == "reset"


def by_systemd_boot(scene: Scene, folder: Path, entry: str) -> dict[str, dict[int, str]]:
    """Return the PCRs of an entry that OVMF and systemd-boot start, without the boot shim."""
    loader = debian.package("systemd-boot-efi", suite=SUITE) / SYSTEMD_BOOT
    disk = make_disk(folder / "stub.img", [Partition("esp", "vfat", {
        "EFI/BOOT/BOOTX64.EFI": loader, "EFI/Linux/multi.efi": scene.uki,
        "loader/loader.conf": f"timeout 0\ndefault {entry}\n",
    })])  # fmt: skip
    return pcrs_of(start_directly(scene, disk).facts)


def test_systemd_stub_itself_leaves_the_same_values(scene: Scene, tmp_path: Path) -> None:
    """The UKI started by OVMF and systemd-boot, without the boot shim: the stub's own PCR 11 and 12 are ours."""
    theirs = by_systemd_boot(scene, tmp_path, "multi.efi")
    ours = pcrs_of(start(scene, "multi.efi", "uefi", "tpm-tis").facts)
    for bank in BANKS:
        assert [theirs[bank][pcr] for pcr in (11, 12, 13)] == [ours[bank][pcr] for pcr in (11, 12, 13)]


def test_systemd_stub_measures_the_number_of_a_profile_as_we_do(scene: Scene, tmp_path: Path) -> None:
    """Behind it; before it, systemd-boot measures the word by which it names the profile to the stub."""
    theirs = by_systemd_boot(scene, tmp_path, "multi.efi@safe")
    ours = pcrs_of(start(scene, "multi.efi@safe", "uefi", "tpm-tis").facts)
    for bank in BANKS:
        word, number = (hashlib.new(bank, utf16(text)).digest() for text in ("@1", "1"))
        zeros = bytes(len(word))
        assert theirs[bank][11] == ours[bank][11]
        assert theirs[bank][12] == hashlib.new(bank, hashlib.new(bank, zeros + word).digest() + number).hexdigest()
        assert ours[bank][12] == hashlib.new(bank, zeros + number).hexdigest()


def test_systemd_measures_the_same_bytes_of_a_command_line(scene: Scene, tmp_path: Path) -> None:
    """systemd-boot and systemd-stub each extend PCR 12 by what `measure_cmdline` has: the same twice."""
    loader = debian.package("systemd-boot-efi", suite=SUITE) / SYSTEMD_BOOT
    disk = make_disk(tmp_path / "options.img", [Partition("esp", "vfat", {
        "EFI/BOOT/BOOTX64.EFI": loader, "own.efi": scene.uki, "loader/loader.conf": "timeout 0\n",
        "loader/entries/own.conf": f"title Own\nefi /own.efi\noptions {CMDLINES['own']}\n",
    })])  # fmt: skip
    theirs = pcrs_of(start_directly(scene, disk).facts)
    for bank in BANKS:
        digest = hashlib.new(bank, measure_cmdline(CMDLINES["own"]).content).digest()
        once = hashlib.new(bank, bytes(len(digest)) + digest).digest()
        assert theirs[bank][12] in (once.hex(), hashlib.new(bank, once + digest).hexdigest())


def start_directly(scene: Scene, disk: Path) -> Outcome:
    """Let the firmware boot a disk, without the boot shim."""
    with Swtpm() as tpm:
        outcome = boot_spec(MachineSpec(disks=(Disk(path=disk),), firmware="uefi", extra=tpm.arguments))
    assert outcome.facts is not None
    assert outcome.facts.token == scene.token
    return outcome
