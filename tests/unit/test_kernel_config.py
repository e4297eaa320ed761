"""The flash kernel's fragment says why for each symbol, and a configuration that lacks one is told with the feature."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from initramfs import kconfig
from initramfs.kconfig import Setting, as_allconfig, find_faults, parse_fragment, read_fragments
from initramfs.kernel import LOCK, SOURCE, inputs_of
from initramfs.sources import read_lock
from shim.errors import ConfigError
from shim.system.mounts import DRIVERS, OPTIONS
from tests.builders.debian import package
from tests.unit.test_docs import ROOT, blocks

CONF = "usr/lib/linux-kbuild-6.1/scripts/kconfig/conf"
# As the mainline's Kconfig has it, in small: what is judged by a signature needs what parses signatures.
KCONFIG = """
config KEXEC_SIG
	bool "Verify kernel signature"

config KEXEC_BZIMAGE_VERIFY_SIG
	bool "Enable bzImage signature verification support"
	depends on KEXEC_SIG && PE_SIG

config PE_SIG
	bool "Support for PE file signature verification"

config DEVMEM
	bool "/dev/mem" if KEXEC_SIG
	default y

config NR_CPUS
	int "Maximum number of CPUs"
	range 2 512
	default 64
"""


@pytest.fixture(scope="module")
def settings() -> list[Setting]:
    return read_fragments()


@pytest.mark.parametrize("feature", [
    "kexec", "TPM 2.0", "UEFI", "screen", "serial", "virtio", "NVMe", "SATA", "USB", "eMMC", "device mapper",
    "md arrays", "file systems", "network cards", "watchdogs", "pstore", "mitigation", "memory protection",
    "lockdown", "DMA",
])  # fmt: skip
def test_each_feature_of_a_flash_kernel_has_its_symbols(settings: list[Setting], feature: str) -> None:
    assert [setting.name for setting in settings if feature in setting.feature and setting.value == "y"]


def test_every_file_system_that_is_mounted_is_built_in(settings: list[Setting]) -> None:
    on = {setting.name for setting in settings if setting.value == "y"}
    for kind in OPTIONS:
        assert f"CONFIG_{DRIVERS.get(kind, kind).upper()}{'' if kind == 'squashfs' else '_FS'}" in on


def test_what_was_asked_for_is_what_was_built(settings: list[Setting]) -> None:
    assert find_faults(settings, as_allconfig(settings)) == []


def test_each_symbol_that_is_missing_or_different_is_told_with_its_feature(settings: list[Setting]) -> None:
    built = as_allconfig(settings)
    for setting in settings:
        line = as_allconfig([setting])
        contrary = f"{setting.name}=y\n" if setting.value == "n" else f"# {setting.name} is not set\n"
        for doctored in (built.replace(line, "", 1), built.replace(line, contrary, 1)):
            fault, = find_faults(settings, doctored)
            assert fault.setting == setting
            assert str(fault).startswith(f"{setting.name} should be {setting.value} and is ")
            assert setting.feature in str(fault)


@pytest.mark.tools
@pytest.mark.parametrize(("asked", "told"), [
    ("KEXEC_SIG=y KEXEC_BZIMAGE_VERIFY_SIG=y PE_SIG=y DEVMEM=n NR_CPUS=512", {}),
    ("KEXEC_SIG=y KEXEC_BZIMAGE_VERIFY_SIG=y", {"KEXEC_BZIMAGE_VERIFY_SIG": None}),  # PE_SIG is off: dropped
    ("KEXEC_SIG=y PE_SIGN=y", {"PE_SIGN": None}),  # there is no such symbol
    ("DEVMEM=n", {"DEVMEM": "y"}),  # there is no asking: its default holds
    ("KEXEC_SIG=y DEVMNEM=n", {"DEVMNEM": None}),
    ("NR_CPUS=1024", {"NR_CPUS": "512"}),  # out of range: clamped
])  # fmt: skip
def test_what_kconfig_drops_without_a_word_is_told(asked: str, told: dict[str, str | None], tmp_path: Path) -> None:
    """The real Kconfig, of Debian's linux-kbuild-6.1."""
    wanted = parse_fragment("# signatures\n" + "".join(f"CONFIG_{word}\n" for word in asked.split()), "test.config")
    (tmp_path / "Kconfig").write_text(KCONFIG)
    (tmp_path / "all.config").write_text(as_allconfig(wanted))
    subprocess.run([package("linux-kbuild-6.1") / CONF, "--allnoconfig", "Kconfig"], cwd=tmp_path, check=True,
                   capture_output=True, env={"KCONFIG_ALLCONFIG": "all.config", "srctree": str(tmp_path)})
    faults = find_faults(wanted, (tmp_path / ".config").read_text())
    assert {fault.setting.name.removeprefix("CONFIG_"): fault.found for fault in faults} == told


@pytest.mark.parametrize(("text", "sentence"), [
    ("# a\nCONFIG_A=y # why\nCONFIG_A=n\n", r"stands twice .*line=3"),
    ("CONFIG_A=y\n", r"no feature .*line=1"),
    ("# a\n\nCONFIG_A=y\n", r"no feature .*line=3"),
    ("# a\nCONFIG_A = y\n", r"expected: .*line=2"),
    ("# a\nCONFIG_A=\n", r"expected: .*line=2"),
    ("# a\nCONFIG_A=y B\n", r"expected: .*line=2"),
    ("# a\n# CONFIG_A is not set\nA=y\n", r"expected: .*line=3"),
])  # fmt: skip
def test_a_fragment_that_is_wrong_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_fragment(text, "test.config")


def test_the_fragments_of_the_manual_are_some() -> None:
    texts = blocks(ROOT / "docs/kernel.md", "text")
    assert len(texts) == 2
    for text in texts:
        assert len(parse_fragment(text, "docs/kernel.md")) > 1


def test_what_a_value_names_by_its_path_counts_for_the_build(tmp_path: Path) -> None:
    keys = tmp_path / "keys.pem"
    settings = parse_fragment(f'# keys\nCONFIG_SYSTEM_TRUSTED_KEYS="{keys}"\n', "more.config")
    made = []
    for text in ("one", "other"):
        keys.write_text(text)
        made.append(inputs_of(settings))
    assert made[0] != made[1]


def test_a_second_fragment_wins(tmp_path: Path) -> None:
    more = tmp_path / "more.config"
    more.write_text('# a site\nCONFIG_KEXEC_SIG_FORCE=y  # all kernels are signed\nCONFIG_LOCALVERSION="-mine"\n')
    merged = {setting.name: setting for setting in read_fragments([kconfig.FRAGMENT, more])}
    assert merged["CONFIG_KEXEC_SIG_FORCE"].value == "y"
    assert (merged["CONFIG_LOCALVERSION"].value, merged["CONFIG_LOCALVERSION"].place) == (
        '"-mine"', "more.config, line 3")


def test_the_check_ends_as_it_found(
    tmp_path: Path, settings: list[Setting], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = tmp_path / "bzImage.config"
    for text, status in ((as_allconfig(settings), 0), (as_allconfig(settings).replace("CONFIG_TCG_TIS=y\n", ""), 1)):
        built.write_text(text)
        monkeypatch.setattr("sys.argv", ["kconfig", str(built)])
        assert kconfig.main() == status
    said = capsys.readouterr()
    assert re.search(r"CONFIG_TCG_TIS should be y and is not there.*TPM 2\.0: measured boot", said.err)
    assert f"{len(settings) - 1} of {len(settings)} symbols" in said.out


def test_the_source_is_pinned_by_package() -> None:
    pinned = read_lock(LOCK)[SOURCE]
    assert pinned.url.endswith(f"/linux-source-6.1_{pinned.version}_all.deb")
