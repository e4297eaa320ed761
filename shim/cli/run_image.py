"""What `bootshim run IMAGE` adds: a boot shim made for the purpose, credentials, and what is kept of the run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from shim.errors import ConfigError
from shim.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.cli.run import Outcome

BOOT = Path("/boot")
MODULES_DIRECTORY = Path("/lib/modules")
# What the boot shim's kernel may need to reach a disk and to read it; what a kernel has not, it has built in or lacks.
DISK_MODULES = {
    "virtio": ("virtio_pci", "virtio_blk"), "ahci": ("ahci",), "nvme": ("nvme",), "usb": ("xhci_pci", "usb_storage"),
}  # fmt: skip
FILE_SYSTEM_MODULES = ("vfat", "ext4", "xfs", "btrfs", "f2fs", "squashfs", "erofs", "isofs")
TPM_MODULES = ("tpm_tis", "tpm_crb")
UNSIGNED = "\n".join(f'[policy.{role}]\nrequire = ["unsigned"]' for role in (
    "kernel", "uki", "initrd", "cmdline", "devicetree", "addon", "credential", "extension")) + "\n"  # fmt: skip
CREDENTIALS_SIZE_MAX = MIB


def default_kernel() -> Path:
    """Return the newest kernel of this machine. Raises ConfigError when it has none."""
    kernels = sorted(BOOT.glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    if not kernels:
        raise ConfigError("this machine has no kernel: name one", path=str(BOOT), option="--kernel")
    return kernels[-1]


def modules_of(kernel: Path) -> Path | None:
    """Return the directory of a kernel's modules, by the release in its name; None when there is none."""
    release = kernel.name.partition("-")[2]
    for root in (MODULES_DIRECTORY, kernel.parents[1] / "lib/modules"):
        if release and (root / release).is_dir():
            return root / release
    return None


def config_text(engine: str, policy: str | None) -> str:
    """Return the configuration for one try: no menu, the report as JSON, a reset when nothing boots."""
    lines = ["[boot]", 'report = "json"', "timeout = 0", "wait = 20", 'on_failure = "reset"', "reset_delay = 0",
             "[load]", f'engine = "{engine}"']  # fmt: skip
    return "\n".join([*lines, policy if policy is not None else UNSIGNED])


def build_initramfs(
    output: Path, *, engine: str, policy: Path | None, kernel: Path, modules: Path | None, interface: str,
) -> None:  # fmt: skip
    """Build the initramfs for a kernel. The files that a policy names are looked for beside it."""
    from initramfs.pack import ModuleTree, find_modules, pack
    from initramfs.runtime import build_runtime
    from shim.cli.build import read_config

    text = config_text(engine, policy.read_text(encoding="utf-8") if policy is not None else None)
    config, files = read_config(policy or Path("unsigned.toml"), text.encode())
    modules = modules or modules_of(kernel)
    found: list[tuple[str, bytes]] = []
    if modules is not None:
        has = ModuleTree(modules).paths
        wanted = (*DISK_MODULES[interface], *FILE_SYSTEM_MODULES, *TPM_MODULES)
        found = find_modules(modules, [name for name in wanted if name in has])
    with tempfile.TemporaryDirectory() as work:
        runtime = build_runtime(Path(work, "init")).read_bytes()
    output.write_bytes(pack(runtime, config, files, found))


def credential_arguments(credentials: Sequence[str]) -> tuple[str, ...]:
    """Return QEMU's arguments for credentials "NAME=VALUE". Spec: systemd.system-credentials(7), SMBIOS type 11."""
    words: list[str] = []
    for text in credentials:
        name, found, value = text.partition("=")
        if not found or not name or not name.isprintable() or "/" in name:
            raise ConfigError("a credential is NAME=VALUE", found=text)
        words += ["-smbios", f"type=11,value=io.systemd.credential:{name}={value.replace(',', ',,')}"]
    if sum(map(len, words)) > CREDENTIALS_SIZE_MAX:
        raise ConfigError("the credentials are too long", limit=CREDENTIALS_SIZE_MAX)
    return tuple(words)


def write_junit(path: Path, image: Path, outcome: Outcome) -> None:
    """Write the run as one test case in the form that CI systems read."""
    failed = outcome.verdict != "seen"
    suite = ElementTree.Element("testsuite", {
        "name": "bootshim run", "tests": "1", "failures": str(int(failed)), "errors": "0", "skipped": "0",
        "time": f"{outcome.seconds:.3f}",
    })  # fmt: skip
    case = ElementTree.SubElement(suite, "testcase", {
        "classname": "bootshim.run", "name": str(image), "time": f"{outcome.seconds:.3f}"})
    if failed:
        failure = ElementTree.SubElement(case, "failure", {"type": outcome.verdict, "message": outcome.sentence})
        failure.text = "\n".join(_said(outcome.serial))
    ElementTree.SubElement(case, "system-out").text = _xml_text(outcome.serial)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def keep(directory: Path, outcome: Outcome) -> None:
    """Keep the serial output and, where there is one, the boot report."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "serial.log").write_text(outcome.serial, encoding="utf-8")
    if outcome.report is not None:
        (directory / "report.json").write_text(json.dumps(outcome.report, indent=2) + "\n", encoding="utf-8")


def _said(serial: str) -> list[str]:
    """Return what the boot shim said of its entries: each try, and each failure with its reason."""
    return [_xml_text(line) for line in serial.splitlines() if line.startswith("bootshim: ")]


def _xml_text(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold (production 2, Char)."""
    return "".join(char for char in text.replace("\r", "")
                   if char in "\t\n" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff")
