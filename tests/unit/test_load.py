"""What is handed to the kernel is what was verified, all of it checked by the purgatory, nothing over anything else."""

from __future__ import annotations

import errno
import hashlib
from functools import cache
from itertools import pairwise

import pytest

from shim.errors import FormatError, LoadError, PlanError, SystemError_
from shim.formats.bootparams import BOOT_PARAMS, E820_ENTRY, SETUP_DATA, SETUP_E820_EXT, SETUP_RNG_SEED
from shim.formats.cpio import CpioEntry, build_cpio
from shim.load import LoadOptions, load, plan
from shim.load.errnos import FILE, LOAD
from shim.memory import read_memory_map
from shim.model import FilePlan, Segment, SegmentsPlan, Verified
from shim.purgatory import PurgatoryFlag, blob
from shim.purgatory.args import ARGS, REGION
from shim.system.recording import RecordingMachine
from tests.builders import debian, proof
from tests.builders.facts import GIB, MIB, facts, pc, shattered
from tests.builders.vmlinux import vmlinux_of

pytestmark = pytest.mark.tools
INITRD = build_cpio([CpioEntry.file("init", bytes(5000), 0o755)])
CMDLINE = "console=ttyS0 root=/dev/vda2"


class Report:
    """The archive for the next OS, in the least form."""

    size = 12288

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, str | None]] = []
        self.told: tuple[str, ...] = ()

    def decided(self, *told: str) -> None:
        self.told = told

    def build(self, segments):  # type: ignore[no-untyped-def]
        self.rows = list(segments)
        return build_cpio([CpioEntry.file("report", b"x")]).ljust(self.size, b"\0")


@cache
def kernel() -> bytes:
    return debian.kernel().image.read_bytes()


def verified(data: bytes, initrds: tuple[bytes, ...] = (INITRD,), cmdline: str | None = CMDLINE) -> Verified:
    return proof.verified(data, initrds, cmdline)


def planned(proof: Verified, machine: RecordingMachine, **options: object) -> SegmentsPlan:
    made = plan(proof, machine, LoadOptions(engine="load", **options))
    assert isinstance(made, SegmentsPlan)
    check_plan(made, machine)
    return made


def segment(made: SegmentsPlan, name: str) -> Segment:
    return next(item for item in made.segments if item.name == name)


def purgatory_args(made: SegmentsPlan) -> dict[str, object]:
    fields = ARGS.parse(segment(made, "purgatory").data, blob().args)
    regions = [REGION.parse(fields["regions"], 64 * number) for number in range(fields["region_count"])]
    return {**fields, "regions": regions}


def check_plan(made: SegmentsPlan, machine: RecordingMachine) -> None:
    """What holds for every plan: in free memory, apart from each other, and each byte known to the purgatory."""
    free = read_memory_map(machine.facts).free
    for left, right in pairwise(made.segments):
        assert left.range.end <= right.range.start
    for item in made.segments:
        assert free.contains(item.range), item.name
        assert item.range.start % 4096 == item.range.size % 4096 == 0
        assert 0 <= item.range.size - len(item.data) < 4096 or item.name == "purgatory"
    regions = purgatory_args(made)["regions"]
    digests = {(row["address"], row["size"]): row["sha256"] for row in regions}  # type: ignore[attr-defined]
    for item in made.segments:
        if item.name != "purgatory":
            assert digests.pop((item.range.start, len(item.data))) == hashlib.sha256(item.data).digest()
    assert not digests


def params(made: SegmentsPlan) -> dict[str, object]:
    return BOOT_PARAMS.parse(segment(made, "boot_params").data)


@pytest.mark.parametrize("memory", [512 * MIB, 2 * GIB, 6 * GIB])
def test_a_bzimage_is_placed_and_told_everything(memory: int) -> None:
    machine = RecordingMachine(facts(pc(memory), acpi_rsdp_addr=0xF5A00, edid_info=b"\x11" * 128))
    report = Report()
    made = planned(verified(kernel()), machine, handover=report)
    told, start = params(made), segment(made, "boot_params").range.start
    assert segment(made, "kernel").range.start == 16 * MIB
    assert told["header"] == b"HdrS"
    assert told["type_of_loader"] == 0xFF
    assert told["acpi_rsdp_addr"] == 0xF5A00
    assert told["edid_info"] == b"\x11" * 128
    assert told["sentinel"] == 0
    data = bytes(segment(made, "boot_params").data)
    at = told["cmd_line_ptr"] - start  # type: ignore[operator]
    assert data[at:].rstrip(b"\0") == CMDLINE.encode()
    assert data[at + len(CMDLINE)] == 0
    initrd = told["ramdisk_image"] | told["ext_ramdisk_image"] << 32  # type: ignore[operator]
    assert initrd == segment(made, "initrd.0").range.start
    end = initrd + (told["ramdisk_size"] | told["ext_ramdisk_size"] << 32)  # type: ignore[operator]
    assert end == segment(made, "report").range.start + report.size
    assert (initrd >= 4 * GIB) is (memory > 2 * GIB)
    assert {row[0] for row in report.rows} == {"kernel", "initrd.0", "boot_params", "report"}
    assert made.entry_address == segment(made, "purgatory").range.start + blob().entry


def test_an_old_kernel_gets_its_initrd_below_its_limit() -> None:
    data = bytearray(kernel())
    data[0x236] &= ~2 & 0xFF  # xloadflags without CAN_BE_LOADED_ABOVE_4G
    made = planned(verified(bytes(data)), RecordingMachine(facts(pc(6 * GIB))))
    assert segment(made, "initrd.0").range.end <= 0x7FFFFFFF + 1


def test_two_hundred_ranges_of_memory_are_handed_on() -> None:
    rows = shattered(200)
    made = planned(verified(kernel(), ()), RecordingMachine(facts(rows)), handover=None)
    told, data = params(made), bytes(segment(made, "boot_params").data)
    table = told["e820_table"][: 20 * 128]  # type: ignore[index]
    at = told["setup_data"] - segment(made, "boot_params").range.start  # type: ignore[operator]
    kinds = {}
    while True:
        node = SETUP_DATA.parse(data, at)
        kinds[node["type"]] = data[at + 16 : at + 16 + node["len"]]
        if not node["next"]:
            break
        at = node["next"] - segment(made, "boot_params").range.start
    assert told["e820_entries"] == 128
    entries = [E820_ENTRY.parse(table + kinds[SETUP_E820_EXT], 20 * number) for number in range(200)]
    assert [(row["addr"], row["addr"] + row["size"]) for row in entries] == [row[:2] for row in rows]
    assert len(kinds[SETUP_RNG_SEED]) == 32


def test_a_vmlinux_lies_where_it_was_linked() -> None:
    made = planned(verified(vmlinux_of(debian.kernel().image)), RecordingMachine(facts(pc(2 * GIB))))
    args = purgatory_args(made)
    assert args["entry_address"] == 16 * MIB
    assert params(made)["header"] == b"HdrS"
    assert len([item for item in made.segments if item.name.startswith("kernel.")]) > 1


@pytest.mark.parametrize("bits", ["x64", "ia32"])
def test_a_kernel_that_cannot_move_lies_where_it_must(bits: str) -> None:
    """Neither knows paging of five levels, which may be on: the one for 64 bits is entered in 32-bit mode too."""
    data = next(debian.package("memtest86+").rglob(f"memtest86+{bits}.bin")).read_bytes()
    made = planned(verified(data, (), ""), RecordingMachine(facts(pc(2 * GIB))))
    assert segment(made, "kernel").range.start == 0x100000
    assert purgatory_args(made)["flags"] == PurgatoryFlag.ENTER_32
    assert purgatory_args(made)["entry_address"] == 0x100000


def test_many_initrds_are_joined_when_there_are_too_many_segments() -> None:
    made = planned(verified(kernel(), (INITRD,) * 40), RecordingMachine(facts(pc(2 * GIB))))
    assert len(made.segments) <= 16
    assert bytes(segment(made, "initrd.0").data) == INITRD * 40


def test_a_wrong_digest_can_be_asked_for() -> None:
    made = plan(verified(kernel()), RecordingMachine(facts(pc(2 * GIB))),
                LoadOptions(engine="load", corrupt_digest="kernel"))
    assert isinstance(made, SegmentsPlan)
    row = next(row for row in purgatory_args(made)["regions"]  # type: ignore[attr-defined]
               if row["name"].startswith(b"kernel\0"))
    assert row["sha256"] != made.digests["kernel"]


def test_a_kernel_larger_than_memory_is_refused_by_name() -> None:
    machine = RecordingMachine(facts([(0, 32 * MIB, "System RAM")]))
    for engine in ("load", "file"):
        with pytest.raises(PlanError, match=r"no room in memory .*name=kernel.*largest_hole="):
            plan(verified(kernel()), machine, LoadOptions(engine=engine))


@pytest.mark.parametrize("initrd", [b"not an archive", INITRD[:-200], INITRD[:100], b"070701" + b"z" * 200])
def test_an_initrd_that_cannot_be_unpacked_is_refused(initrd: bytes) -> None:
    with pytest.raises((LoadError, FormatError)):
        plan(verified(kernel(), (initrd,)), RecordingMachine(facts(pc(2 * GIB))), LoadOptions())


def test_a_command_line_is_not_cut() -> None:
    machine = RecordingMachine(facts(pc(2 * GIB)))
    plan(verified(kernel(), cmdline="x" * 2047), machine, LoadOptions())
    with pytest.raises(LoadError, match="too long"):
        plan(verified(kernel(), cmdline="x" * 2048), machine, LoadOptions())


def test_the_running_kernel_gets_one_initrd() -> None:
    machine, report = RecordingMachine(facts(pc(2 * GIB))), Report()
    made = plan(verified(kernel(), (INITRD, INITRD)), machine, LoadOptions(engine="file", handover=report))
    assert isinstance(made, FilePlan)
    assert made.initrd is not None
    assert bytes(made.initrd.view()) == INITRD * 2 + report.build(())
    assert bytes(made.kernel.view()) == kernel()
    assert made.cmdline == CMDLINE.encode()


@pytest.mark.parametrize(("lockdown", "engine"), [
    ("[none] integrity confidentiality", "load"), ("none [integrity] confidentiality", "file"),
    ("none integrity [confidentiality]", "file"), ("", "load"),
])
def test_auto_goes_by_lockdown(lockdown: str, engine: str) -> None:
    made = plan(verified(kernel()), RecordingMachine(facts(pc(2 * GIB), lockdown)), LoadOptions())
    assert isinstance(made, FilePlan) is (engine == "file")
    assert "lockdown" in made.why


@pytest.mark.parametrize(("secure_boot", "engine"), [(0, "load"), (2, "load"), (3, "file")])
def test_auto_goes_by_secure_boot_where_nothing_is_locked_down(secure_boot: int, engine: str) -> None:
    machine = RecordingMachine(facts(pc(2 * GIB), secure_boot=secure_boot))
    made = plan(verified(kernel()), machine, LoadOptions())
    assert isinstance(made, FilePlan) is (engine == "file")
    assert ("secure boot" in made.why) is (engine == "file")
    other = plan(verified(vmlinux_of(debian.kernel().image)), machine, LoadOptions())
    assert isinstance(other, SegmentsPlan)
    assert ("cannot take a vmlinux" in other.why) is (engine == "file")


def test_lockdown_leaves_no_way_for_some_formats() -> None:
    machine = RecordingMachine(facts(pc(2 * GIB), "none [integrity] confidentiality"))
    with pytest.raises(LoadError, match="only kexec_file_load, which cannot take this kernel"):
        plan(verified(vmlinux_of(debian.kernel().image)), machine, LoadOptions())


def test_kexec_that_is_disabled_is_told() -> None:
    told = facts(pc(2 * GIB)) | {"/proc/sys/kernel/kexec_load_disabled": b"1\n"}
    with pytest.raises(LoadError, match="disabled"):
        plan(verified(kernel()), RecordingMachine(told), LoadOptions())


@pytest.mark.parametrize(("engine", "table"), [("load", LOAD), ("file", FILE)])
def test_each_refusal_of_the_kernel_has_its_sentence(engine: str, table: dict[int, str]) -> None:
    assert len(set(table.values())) == len(table)
    machine = RecordingMachine(facts(pc(2 * GIB)))
    made = plan(verified(kernel()), machine, LoadOptions(engine=engine))
    for number, sentence in [*table.items(), (errno.EXFULL, "the running kernel refused")]:
        machine.kexec.errors = [SystemError_("failed", number)]
        with pytest.raises(LoadError) as caught:
            load(made, machine)
        assert sentence in str(caught.value)
        assert caught.value.facts["errno"] == number
    load(made, machine)
    assert machine.kexec.loaded is made


def test_nothing_is_a_kernel_that_is_not_one() -> None:
    machine = RecordingMachine(facts(pc(2 * GIB)))
    for data in (b"", b"MZ", b"\x7fELF", bytes(4096), b"#!/bin/sh\n" * 100):
        with pytest.raises((LoadError, FormatError)):
            plan(verified(data or b"\0"), machine, LoadOptions())
