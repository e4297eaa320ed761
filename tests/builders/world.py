"""A machine that is made up, with disks that hold files, and one boot of it through the recording twin."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from shim.boot import Boot
from shim.config import parse_config
from shim.errors import ShimError
from shim.formats.cpio import CpioEntry, build_cpio
from shim.model import Problem
from shim.report import Report
from shim.system.memory_files import MemoryFiles
from shim.system.recording import RecordingMachine
from shim.system.recording_tpm import RecordingTpm
from tests.builders.debian import package
from tests.builders.facts import GIB, facts, pc

INITRD = build_cpio([CpioEntry.file("token", b"x" * 5000)])
Disk = dict[str, bytes | ShimError]


@cache
def memtest() -> bytes:
    return (package("memtest86+") / "boot/memtest86+x64.bin").read_bytes()


def policy(*kernels: bytes) -> str:
    digests = ", ".join(f'"{hashlib.sha256(data).hexdigest()}"' for data in kernels)
    return (
        f'[policy.kernel]\nrequire = ["sha256"]\nsha256 = [{digests}]\n'
        f'[policy.initrd]\nrequire = ["sha256"]\nsha256 = ["{hashlib.sha256(INITRD).hexdigest()}"]\n'
        '[policy.cmdline]\nrequire = ["exact"]\nexact = ["ro", "ro single"]\n'
    )


def bls(*names: str, options: str = "ro", **files: bytes | ShimError) -> Disk:
    """Return a disk with an entry a name, tried in this order: each starts /NAME (memtest86+ unless given)."""
    disk: Disk = {"/initrd.img": INITRD}
    for number, name in enumerate(names):
        text = f"title {name}\nsort-key {number:03}\nlinux /{name}\ninitrd /initrd.img\noptions {options}\n"
        disk[f"/loader/entries/{name}.conf"] = text.encode()
        disk[f"/{name}"] = files.get(name, memtest())
    return disk


class World:
    """A machine with disks that hold files, and one boot of it."""

    def __init__(
        self, superblock: bytes, config: str = "", keys: list[str | float] | None = None, early: Sequence[Problem] = (),
        tpm: RecordingTpm | None = None, held: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.superblock, self.early, self.held = superblock, early, held
        self.machine = RecordingMachine(facts=facts(pc(GIB)), keys=keys or [], tpm=tpm)
        self.config = config

    def plug(self, name: str, files: Disk) -> World:
        """Put a disk in: the kernel lists it, it can be read, and it can be mounted."""
        assert isinstance(self.machine.facts, MemoryFiles)
        size = len(self.superblock) // 512
        self.machine.facts.contents[f"/sys/class/block/{name}/size"] = f"{size}\n".encode()
        self.machine.devices.images[name] = self.superblock
        self.machine.mounts.trees[name] = MemoryFiles(files)
        return self

    def plug_later(self, at: float, name: str, files: Disk) -> World:
        self.machine.devices.later(at, lambda: self.plug(name, files) and None)
        return self

    def unplug(self, name: str) -> None:
        assert isinstance(self.machine.facts, MemoryFiles)
        del self.machine.facts.contents[f"/sys/class/block/{name}/size"]
        del self.machine.devices.images[name]
        del self.machine.mounts.trees[name]

    @property
    def config_text(self) -> str:
        return self.config if "[policy" in self.config else self.config + policy(memtest())

    def boot(self) -> World:
        config = parse_config(self.config_text, "test.toml", lambda name: self.held.get(name, b""))
        self.report = Report(self.machine.clock)
        self.report.problems.extend(self.early)
        self.report.configured(config)
        Boot(self.machine, config, self.report).run()
        return self

    @property
    def calls(self) -> list[str]:
        return self.machine.calls

    @property
    def text(self) -> str:
        return self.machine.console.text

    @property
    def tried(self) -> list[tuple[str, str | None]]:
        """Each attempt: the entry, and the stage in which it failed (None when it booted)."""
        return [(attempt.entry, attempt.stage if attempt.error else None) for attempt in self.report.attempts]
