"""The second kernel finds of the firmware what the first did. The witness: the same kernel, started by the firmware."""

from __future__ import annotations

import pytest

from initramfs.pack import find_modules
from tests.builders import debian
from tests.builders.target import Facts, target_initrd
from tests.vm.scene import IDS, Scene, make_scene, overrides
from tests.vm.shimmed import BASE_CMDLINE, MachineSpec, boot, boot_spec

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("firmware")]
MODULES = ("efivarfs",)
SCREEN = ("-device", "VGA")
SMBIOS = {"_SM_": ("-machine", "smbios-entry-point-type=32"), "_SM3_": ("-machine", "smbios-entry-point-type=64")}
NAMES = ("screen", "framebuffer", "efi_runtime", "efi_variables", "smbios", "smbios_anchor", "acpi")
FROM_ENGINES = [("load", "bls"), ("load", "vmlinux"), ("file", "bls"), ("file", "uki")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("firmware"), modules=MODULES)


def held(facts: Facts | None) -> dict[str, str]:
    assert facts is not None
    return {name: facts.lines[name] for name in NAMES}


@pytest.fixture(scope="module")
def witness(scene: Scene) -> dict[str, dict[str, str]]:
    """Return what the target sees, by the anchor of its SMBIOS, when OVMF starts its kernel."""
    initrd = scene.directory / "direct.initrd"
    initrd.write_bytes(target_initrd("direct", modules=find_modules(debian.kernel().modules, MODULES)))
    return {
        anchor: held(boot_spec(MachineSpec(
            kernel=debian.kernel().image, initramfs=initrd, cmdline=BASE_CMDLINE, firmware="uefi",
            disks=(scene.attached(),), extra=(*SCREEN, *words),
        )).facts)
        for anchor, words in SMBIOS.items()
    }  # fmt: skip


@pytest.mark.parametrize("anchor", SMBIOS)
def test_the_witness_sees_something(witness: dict[str, dict[str, str]], anchor: str) -> None:
    seen = witness[anchor]
    assert seen["screen"].startswith("0x70 ")
    assert (seen["framebuffer"], seen["smbios_anchor"], seen["efi_runtime"]) == ("EFI VGA", anchor, "1")
    assert int(seen["efi_variables"]) > 10


@pytest.mark.parametrize("anchor", SMBIOS)
@pytest.mark.parametrize(("engine", "entry"), FROM_ENGINES)
def test_under_uefi_nothing_of_the_firmware_is_lost(
    scene: Scene, witness: dict[str, dict[str, str]], engine: str, entry: str, anchor: str
) -> None:
    cmdline = overrides({"load.engine": engine, "boot.entry": IDS[entry]})
    outcome = boot(scene.shim(), scene.attached(), cmdline=cmdline, firmware="uefi", extra=(*SCREEN, *SMBIOS[anchor]))
    assert held(outcome.facts) == witness[anchor]
    assert outcome.facts is not None
    assert outcome.facts.token == scene.tokens[entry]
