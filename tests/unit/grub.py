"""Our interpreter on a script of the witness's, and volumes for it to look at."""

from __future__ import annotations

from collections.abc import Mapping

from shim.entries import EntryList, read_entries
from shim.entries.grub.commands import commands
from shim.entries.grub.devices import Devices, Place
from shim.entries.grub.interpreter import Interpreter
from shim.entries.grub.menu import read_menu
from shim.entries.grub.syntax import Command
from shim.model import PartitionKind, Volume
from shim.system.memory_files import MemoryFiles
from tests.builders import grubwitness as witness
from tests.builders.grubconfig import KERNELS, UUID

CONFIG = "/boot/grub/grub.cfg"
SIMPLE, ADVANCED = f"gnulinux-simple-{UUID}", f"gnulinux-advanced-{UUID}"


def volume(name: str = "vda2", **given: object) -> Volume:
    """Return a partition of a GPT disk."""
    number = int(name[-1])
    return Volume(**{"name": name, "disk": name[:-1], "number": number, "table": "gpt", "fstype": "ext4", **given})


def read(config: str | bytes, files: Mapping[str, bytes] | None = None, **given: object) -> EntryList:
    """Read one volume with a grub.cfg and other files."""
    data = config.encode() if isinstance(config, str) else config
    tree = MemoryFiles({CONFIG: data, "/vmlinuz": b"k", "/initrd": b"i", **(files or {})})
    return read_entries([(volume(**given), tree)])


def boot_files(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}/boot/{name}-{version}": b"x" for name in ("vmlinuz", "initrd.img") for version in KERNELS}


def read_all(*trees: tuple[Volume, Mapping[str, bytes]]) -> EntryList:
    return read_entries([(known, MemoryFiles(files)) for known, files in trees])


def said_by_us(script: str) -> list[str]:
    """Return what a script echoes: on its own, and in the entry that would be booted by itself."""
    said: list[tuple[str, str]] = []

    def echo(run: Interpreter, args: list[str], _node: Command) -> int:
        newline = "" if args[:1] == ["-n"] else "\n"
        said.append((run.environment.get("chosen") or "", " ".join(args if newline else args[1:]) + newline))
        return 0

    beside = Volume(name="host")
    here = MemoryFiles({f"/boot/grub/{name}": data for name, data in witness.FILES.items()} |
                       {CONFIG: witness.whole(script).encode()})
    esp = volume("vda1", kind=PartitionKind.ESP, fstype="vfat", uuid=witness.VFAT_UUID, label=witness.VFAT_LABEL)
    root = volume("vda2", uuid=witness.EXT_UUID, label=witness.LABEL)
    volumes = [(esp, MemoryFiles({f"/{path}": data for path, data in witness.ESP.items()})),
               (root, MemoryFiles({f"/{path}": data for path, data in witness.ROOT.items()})), (beside, here)]
    run = Interpreter(Devices(volumes, esp), {**commands(), "echo": echo})
    run.environment.set("root", "host", ("", 0))
    run.environment.set("prefix", "(host)/boot/grub", ("", 0))
    run.run_file(Place(volume=beside, files=here, path=CONFIG))
    menu = run.shown or run.menu
    first = read_menu(run, menu)[0].menu_path if menu.items else None
    chosen = [text for path, text in said if not path or (first is not None and _leads_to(path, first))]
    return [line for line in "".join(chosen).split("\n") if line.startswith(witness.MARK)]


def _leads_to(path: str, to: str) -> bool:
    return path == to or to.startswith(f"{path}>")
