"""The next kernel is told of the firmware what this one knows: EFI's runtime map, the reset register, the console."""

from __future__ import annotations

import pytest

from shim.errors import FormatError
from shim.formats.bootparams import BOOT_PARAMS, EFI_MEMORY_DESCRIPTOR, EFI_SETUP_DATA
from shim.formats.fadt import FADT, parse_reset_register
from shim.load.efi import read_efi
from shim.load.firmware import read_complaints, text_screen
from shim.load.params import ParamsPlan, plan_params
from shim.memory import read_memory_map
from shim.purgatory import PurgatoryFlag
from shim.system.memory_files import MemoryFiles
from tests.builders.facts import GIB, facts, pc
from tests.unit.hostile import mutations, survives

EFI = "/sys/firmware/efi"
REGION = {"type": "0x5", "phys_addr": "0x7e9ec000", "virt_addr": "0xfffffffeffe00000", "num_pages": "0x30",
          "attribute": "0x800000000000000f"}
EFI_FACTS = {
    f"{EFI}/fw_vendor": b"0x7f9ec018\n", f"{EFI}/config_table": b"0x7f9ec698\n",
    f"{EFI}/systab": b"ACPI20=0x3fb7e014\nACPI=0x3fb7e000\nSMBIOS=0x3f918000\n",
    **{f"{EFI}/runtime-map/{number}/{field}": f"{value}\n".encode()
       for number in range(12) for field, value in (REGION | {"num_pages": hex(number + 1)}).items()},
}
RUNNING = {"efi_loader_signature": b"EL64", "efi_systab": 0x7F9EC018, "efi_systab_hi": 0, "efi_memmap": 0x1234000,
           "efi_memmap_size": 4800, "efi_memdesc_size": 48, "efi_memdesc_version": 1}


def params_plan(told: dict[str, bytes], **running: object) -> ParamsPlan:
    from shim.load.kernels import KernelLayout
    from shim.model import Request

    layout = KernelLayout(
        format="bzImage", version="", request=Request(name="kernel", size=1), pieces=(), entry_offset=0x200,
        enters_in_32_bits=False, header=bytes(0x7B), cmdline_size=2047, initrd_high=1 << 32, high=1 << 32,
        kexec_file=True)
    files = MemoryFiles(facts(pc(2 * GIB), **running) | told)
    return plan_params(files, read_memory_map(files), layout, b"quiet", b"")


def test_the_runtime_map_is_handed_on_in_order() -> None:
    made = params_plan(EFI_FACTS, **RUNNING)
    assert made.efi is not None
    rows = [EFI_MEMORY_DESCRIPTOR.parse(made.efi.memmap, 40 * number) for number in range(12)]
    assert [row["num_pages"] for row in rows] == list(range(1, 13))
    assert rows[0]["virt_addr"] == 0xFFFFFFFEFFE00000
    assert EFI_SETUP_DATA.parse(made.efi.setup) == {
        "fw_vendor": 0x7F9EC018, "runtime": 0, "tables": 0x7F9EC698, "smbios": 0x3F918000}
    start = 0x12345000
    segment = made.build(start, 0x1000000, None)
    told = BOOT_PARAMS.parse(segment)
    assert told["efi_loader_signature"] == b"EL64"
    assert told["efi_systab"] == 0x7F9EC018
    assert (told["efi_memdesc_size"], told["efi_memmap_size"]) == (40, 480)
    at = told["efi_memmap"] - start
    assert segment[at : at + 480] == made.efi.memmap


@pytest.mark.parametrize("spoiled", [
    {f"{EFI}/runtime-map/3/virt_addr": b"nowhere\n"}, {f"{EFI}/fw_vendor": b""}, {f"{EFI}/config_table": b"-\n"},
    {f"{EFI}/runtime-map/3/num_pages": b"0x1ffffffffffffffff\n"},
])
def test_half_a_firmware_is_none(spoiled: dict[str, bytes]) -> None:
    """The next kernel must not call services that it cannot map; it keeps the ACPI tables."""
    made = params_plan(EFI_FACTS | spoiled, **RUNNING, acpi_rsdp_addr=0x3FB7E014)
    told = BOOT_PARAMS.parse(made.build(0x12345000, 0x1000000, None))
    assert made.efi is None
    assert told["efi_loader_signature"] == bytes(4)
    assert told["efi_systab"] == told["efi_memmap"] == 0
    assert told["acpi_rsdp_addr"] == 0x3FB7E014


def test_a_machine_without_efi_has_none() -> None:
    assert read_efi(MemoryFiles(EFI_FACTS), BOOT_PARAMS.parse(bytes(4096))) is None


def fadt(**fields: int) -> bytes:
    return FADT.build(**({"signature": b"FACP", "flags": 1 << 10, "reset_address_space": 1, "reset_address": 0xCF9,
                          "reset_value": 6} | fields)) + bytes(100)


def test_the_reset_register() -> None:
    assert parse_reset_register(fadt()) == (0xCF9, 6)
    for none in (fadt(flags=0), fadt(reset_address_space=0), fadt(reset_address=0), fadt(reset_address=1 << 20), b""):
        assert parse_reset_register(none) is None
    with pytest.raises(FormatError):
        parse_reset_register(fadt(signature=b"DSDT"))
    for what, lie in mutations(FADT, fadt()):
        survives(parse_reset_register, lie, what)


@pytest.mark.parametrize(("active", "port", "expected"), [
    (b"tty0 ttyS0\n", b"0x3F8\n", 0x3F8), (b"ttyS1\n", b"0x2F8\n", 0x2F8), (b"tty0\n", b"0x3F8\n", 0),
    (b"ttyS0\n", b"many\n", 0x3F8), (b"ttyS0\n", b"0x0\n", 0), (b"ttyS0\n", b"0xfe030000\n", 0), (b"", b"", 0),
])
def test_where_a_complaint_is_heard(active: bytes, port: bytes, expected: int) -> None:
    name = "ttyS1" if b"ttyS1" in active else "ttyS0"
    told = {"/sys/class/tty/console/active": active, f"/sys/class/tty/{name}/port": port,
            "/sys/firmware/acpi/tables/FACP": fadt()}
    assert read_complaints(MemoryFiles(told)) == {"serial_port": expected, "reset_port": 0xCF9, "reset_value": 6}


def test_a_text_screen_is_written_on() -> None:
    assert text_screen(BOOT_PARAMS.build(orig_video_isVGA=1)) is PurgatoryFlag.VGA
    assert text_screen(BOOT_PARAMS.build(orig_video_isVGA=0x70)) == PurgatoryFlag(0)
