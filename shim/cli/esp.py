"""The EFI system partition of a running machine, and the firmware's boot entries for what lies on it.

Spec: UAPI.1 (where the partition is mounted, loader/entries), UEFI 2.10, 3.1 (boot entries), through bootctl(1) and
efibootmgr(8) where they are installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from shim.errors import ConfigError, ShimError

DIRECTORY = "EFI/bootshim"
IMAGE = f"{DIRECTORY}/bootshim.efi"
ENTRY = "loader/entries/bootshim.conf"
MARK = "# Written by bootshim install.\n"
ENTRY_TEXT = f"{MARK}title The boot shim\nefi /{IMAGE}\n"
LOADER_PATH = "\\" + IMAGE.replace("/", "\\")
LABEL = "bootshim"
SPARE = 64 << 10  # for directories and the entry
PLACES = ("/efi", "/boot", "/boot/efi")
MOUNTS = Path("/proc/self/mountinfo")
BLOCKS = Path("/sys/class/block")
VARIABLES = Path("/sys/firmware/efi/efivars")
SECONDS = 30


class Mount(NamedTuple):
    """What is mounted at a path, in the words of proc_pid_mountinfo(5)."""

    fstype: str
    source: str


def find_esp() -> Path:
    """Return where the ESP is mounted: bootctl's word, else the first place of UAPI.1 with vfat on it."""
    if shutil.which("bootctl"):
        done = _run("bootctl", "--print-esp-path")
        if done.returncode == 0 and done.stdout.strip():
            return Path(done.stdout.strip())
    for place in map(Path, PLACES):
        mount = mounted_at(place)
        if mount is not None and mount.fstype == "vfat":
            return place
    raise ConfigError("no EFI system partition is mounted: name it", places=" ".join(PLACES), option="--esp")


def mounted_at(path: Path, text: str | None = None) -> Mount | None:
    """Return what is mounted at exactly this path, the last one counting; `text` stands for the kernel's table."""
    found = None
    wanted = str(path.resolve())
    for line in (MOUNTS.read_text(encoding="utf-8", errors="replace") if text is None else text).splitlines():
        before, separator, after = line.partition(" - ")
        words, rest = before.split(" "), after.split(" ")
        if separator and len(words) > 4 and len(rest) > 1 and _plain(words[4]) == wanted:
            found = Mount(rest[0], _plain(rest[1]))
    return found


def check_esp(path: Path) -> Mount:
    """Return the mount of an ESP. Raises ConfigError when it is none, or no vfat."""
    mount = mounted_at(path)
    if mount is None:
        raise ConfigError("nothing is mounted there", path=str(path))
    if mount.fstype != "vfat":
        raise ConfigError("an EFI system partition is vfat", path=str(path), found=mount.fstype)
    return mount


def check_room(path: Path, size: int) -> None:
    """Raise ConfigError when a file of so many bytes does not fit beside what is there: the old one stays till last."""
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    if size + SPARE > free:
        raise ConfigError("the EFI system partition is full", path=str(path), expected=size + SPARE, found=free)


def write_atomic(path: Path, data: bytes) -> None:
    """Put a file in place whole or not at all: under another name, synced, renamed, the directory synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def remove(path: Path) -> None:
    path.unlink()
    _sync_directory(path.parent)


def is_ours(entry: Path) -> bool:
    """Say whether a boot entry is one that this command wrote; one that is not there is nobody's."""
    return entry.read_bytes().startswith(MARK.encode())


def boot_numbers() -> tuple[str, ...] | None:
    """Return the numbers of the firmware's boot entries for our image; None where entries cannot be made."""
    if not VARIABLES.is_dir() or not shutil.which("efibootmgr"):
        return None
    done = _run("efibootmgr", "--verbose")
    if done.returncode:
        raise ShimError("efibootmgr failed", said=done.stderr.strip()[:500])
    return parse_boot_entries(done.stdout)


def parse_boot_entries(text: str) -> tuple[str, ...]:
    """Return the numbers of those of efibootmgr's lines that start our image."""
    lines = re.findall(r"^Boot([0-9A-Fa-f]{4})\*? (.*)$", text, re.MULTILINE)
    ours = (f"file({LOADER_PATH})".lower(), f"/{LOADER_PATH}".lower())
    return tuple(number for number, rest in lines if any(word in rest.lower() for word in ours))


def add_boot_entry(mount: Mount) -> None:
    """Make a boot entry, the first in the order. Raises ShimError with efibootmgr's words."""
    disk, number = partition_of(mount.source)
    done = _run("efibootmgr", "--quiet", "--create", "--disk", disk, "--part", str(number), "--label", LABEL,
                "--loader", LOADER_PATH)
    if done.returncode:
        raise ShimError("efibootmgr made no boot entry", said=done.stderr.strip()[:500])


def remove_boot_entry(number: str) -> None:
    done = _run("efibootmgr", "--quiet", "--bootnum", number, "--delete-bootnum")
    if done.returncode:
        raise ShimError("efibootmgr removed no boot entry", number=number, said=done.stderr.strip()[:500])


def partition_of(device: str, blocks: Path = BLOCKS) -> tuple[str, int]:
    """Return the disk and the number of a partition. Spec: Linux Documentation/ABI/stable/sysfs-block."""
    sysfs = (blocks / Path(device).resolve().name).resolve()
    try:
        number = int((sysfs / "partition").read_text().strip())
    except (OSError, ValueError) as problem:
        raise ConfigError("the EFI system partition is no partition of a disk", device=device) from problem
    return f"/dev/{sysfs.parent.name}", number


def _plain(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
