"""A pytest plugin that boots disk images through the boot shim. It comes with the package: nothing is to be named.

    def test_my_image_boots(boot):
        booted = boot("image.raw", expect="login:", engine="file")
        assert booted.report["attempts"][-1]["entry"] == "my.efi"

The boot shim's own kernel is the machine's newest, or what a project's own fixture `bootshim_kernel` says. The console
is printed, so that pytest shows it of a test that fails. docs/mkosi.md has the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shim.cli.qemu import Disk, MachineSpec
from shim.cli.run import BASE_CMDLINE
from shim.cli.run import boot as run_boot
from shim.cli.run_image import build_initramfs, credential_arguments, default_kernel, modules_of
from shim.formats.tcglog import LogEvent, replay
from shim.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ShimKernel(Value):
    """The boot shim's own kernel, and its directory of modules where it has one."""

    image: Path
    modules: Path | None = None


class Booted(Value):
    """A boot that has ended, or that was ended when the expected text came.

    `verdict` is seen, failed, refused or timeout; `report` is docs/report.md's, None where none was printed; `console`
    is all that the serial port said.
    """

    verdict: str
    match: str | None
    report: Any
    console: str
    seconds: float

    @property
    def pcrs(self) -> dict[str, dict[int, bytes]]:
        """What the boot shim measured, as PCR values by bank and number: what a TPM holds of it, and nothing else."""
        if self.report is None:
            return {}
        events = [event for attempt in self.report["attempts"] for event in attempt["events"]]
        log = [LogEvent(pcr_index=event["pcr"], event_type=0, event=b"",
                        digests={bank: bytes.fromhex(text) for bank, text in event["digests"].items()})
               for event in events]  # fmt: skip
        banks = sorted({bank for event in log for bank in event.digests})
        return {bank: replay(log, bank, hashlib.sha256) for bank in banks}


class Boot:
    """The fixture's value: call it with an image. A boot shim is built once for the same demands."""

    def __init__(self, kernel: ShimKernel, directory: Path) -> None:
        self.kernel = kernel
        self._directory = directory
        self._built: dict[tuple[object, ...], Path] = {}

    def __call__(
        self, *images: Path | str, expect: str = "login:", engine: str = "auto", policy: Path | None = None,
        credentials: Mapping[str, str] | None = None, interface: str = "virtio", firmware: str = "bios",
        memory: int = 2048, timeout: float = 120.0, cmdline: str = "", extra: Sequence[str] = (), check: bool = True,
    ) -> Booted:  # fmt: skip
        """Boot the disks; return what came of it.

        With `check` a boot that does not show the regex `expect` after the jump fails the test. `policy` is a file with
        the tables [policy…]; without it everything is taken, unsigned. `extra` are more arguments for QEMU.
        """
        words = credential_arguments([f"{name}={value}" for name, value in (credentials or {}).items()])
        spec = MachineSpec(
            kernel=self.kernel.image, initramfs=self._initramfs(engine, policy, interface), memory=memory,
            firmware=firmware, cmdline=f"{BASE_CMDLINE} {cmdline}".strip(), extra=(*words, *extra),
            disks=tuple(Disk(path=Path(image), interface=interface) for image in images),
        )  # fmt: skip
        outcome = run_boot(spec, expect, timeout, after_jump=True)
        print(outcome.serial)
        print(f"bootshim: {outcome.sentence}")
        if check and outcome.verdict != "seen":
            pytest.fail(outcome.sentence, pytrace=False)
        return Booted(verdict=outcome.verdict, match=outcome.match, report=outcome.report, console=outcome.serial,
                      seconds=outcome.seconds)

    def _initramfs(self, engine: str, policy: Path | None, interface: str) -> Path:
        demands = (engine, policy, policy.read_bytes() if policy is not None else None, interface)
        if demands not in self._built:
            path = self._directory / f"initramfs{len(self._built)}"
            build_initramfs(path, engine=engine, policy=policy, kernel=self.kernel.image, modules=self.kernel.modules,
                            interface=interface)
            self._built[demands] = path
        return self._built[demands]


@pytest.fixture(scope="session")
def bootshim_kernel() -> ShimKernel:
    """Return the boot shim's own kernel; a project overrides this fixture to name another."""
    kernel = default_kernel()
    return ShimKernel(image=kernel, modules=modules_of(kernel))


@pytest.fixture(scope="session")
def boot(bootshim_kernel: ShimKernel, tmp_path_factory: pytest.TempPathFactory) -> Boot:
    """Return a function that boots disk images through the boot shim."""
    return Boot(bootshim_kernel, tmp_path_factory.mktemp("bootshim"))
