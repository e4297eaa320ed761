"""GRUB's names for devices, (hd0,gpt2) and the like, and the volumes that they stand for.

Firmware numbers disks in an order of its own. Here the disk that the configuration lies on is hd0, as it is when
firmware boots from it; the others follow in the kernel's order. GRUB looks through a disk's partitions from the last
to the first.
"""

from __future__ import annotations

from shim.errors import FetchError, ShimError
from shim.model import FileRef
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Volume
    from shim.ports import Files

TABLES = {"gpt": "gpt", "dos": "msdos"}
PATH_SIZE_MAX = 4096
# Where distributions keep the root on btrfs: GRUB's paths begin at the top of the file system, a mount may not.
SUBVOLUMES = ("@", "@rootfs", "root", "@root")


class Place(Value):
    """A file or directory: its volume, the volume's tree, and the absolute path in that."""

    volume: Volume
    files: Files
    path: str

    def __str__(self) -> str:
        return f"{self.volume.name}:{self.path}"


class Devices:
    """The volumes, under the names that GRUB has for them."""

    def __init__(self, volumes: Sequence[tuple[Volume, Files]], first: Volume) -> None:
        self._volumes = tuple(volumes)
        disks = dict.fromkeys([_disk(first), *(_disk(volume) for volume, _files in volumes)])
        numbers = {disk: number for number, disk in enumerate(disks)}
        ordered = sorted(volumes, key=lambda pair: (numbers[_disk(pair[0])], bool(pair[0].number), -pair[0].number))
        self._names = {self._name(volume, numbers[_disk(volume)]): (volume, files) for volume, files in ordered}
        self._aliases = {alias: name for name, (volume, _files) in reversed(self._names.items())
                         for alias in _aliases(name, volume)}
        self._by_volume = {volume.name: name for name, (volume, _files) in self._names.items()}
        self.read_files: dict[str, FileRef] = {}
        self.images: dict[str, str] = {}  # loopback devices, and the images behind them

    @staticmethod
    def _name(volume: Volume, disk: int) -> str:
        if not volume.number:
            return f"hd{disk}"
        return f"hd{disk},{TABLES.get(volume.table or '', '')}{volume.number}"

    def device_names(self) -> tuple[str, ...]:
        """Return all names, in the order in which devices are looked through."""
        return tuple(self._names)

    def name_of(self, volume: Volume) -> str:
        return self._by_volume[volume.name]

    def volume(self, name: str) -> tuple[Volume, Files] | None:
        """Return the volume of a device's name, without its parentheses."""
        found = self._names.get(name) or self._names.get(self._aliases.get(name.lower(), ""))
        return found or self._names.get(self._aliases.get(name, ""))

    def search(self, kind: str, key: str, hints: Sequence[str], disk: str = "") -> list[str]:
        """Return the devices that have a file, a label or a UUID; those of the hints come first.

        With `disk`, only it and its partitions are looked at.
        """
        matching: list[str] = []
        for name in dict.fromkeys([*(name for hint in hints for name in self._of_hint(hint)), *self._names]):
            if disk and name.partition(",")[0] != disk:
                continue
            volume, files = self._names[name]
            if kind == "file":
                path = absolute(key)
                found = path is not None and files.exists(path)
            elif kind == "label":
                found = volume.label == key
            else:
                found = (volume.uuid or "").lower() == key.lower() != ""
            if found:
                matching.append(name)
        return matching

    def _of_hint(self, hint: str) -> list[str]:
        name = self._aliases.get(hint, hint)
        if hint.endswith(","):
            return [known for known in self._names if known.startswith(hint)]
        return [name] if name in self._names else []

    def locate(self, path: str, root: str) -> Place | str:
        """Return where a path of GRUB leads, or the sentence why it leads nowhere."""
        device, rest = root, path
        if path.startswith("("):
            device, closed, rest = path[1:].partition(")")
            if not closed:
                return f"{path[:64]} is no path"
        if device in self.images:
            return f"({device}) is the image {self.images[device]}, which is not opened"
        found = self.volume(device)
        if found is None:
            return f"({device[:64]}) is no volume that is mounted here" if device else "no device: root is not set"
        inside = absolute(rest)
        if inside is None:
            return f"the path {rest[:64]!r} leads out of its volume"
        return Place(volume=found[0], files=found[1], path=_below_subvolume(found[1], inside))

    def is_there(self, path: str, root: str) -> bool:
        """Say whether a file or directory is there."""
        place = self.locate(path, root)
        return not isinstance(place, str) and (exists(place) or self.names(path, root) is not None)

    def names(self, path: str, root: str) -> tuple[str, ...] | None:
        """Return the names in a directory, None where there is none."""
        place = self.locate(path, root)
        if isinstance(place, str):
            return None
        try:
            return place.files.names(place.path)
        except ShimError:
            return None

    def read(self, place: Place, limit: int) -> bytes:
        """Return a whole file. Raises FetchError when it is absent, irregular or longer than `limit`."""
        data = place.files.read(place.path, limit)
        self.read_files[str(place)] = FileRef(volume=place.volume.name, path=place.path)
        return data


def exists(place: Place) -> bool:
    """Say whether a regular file is there."""
    return place.files.exists(place.path)


def size(place: Place) -> int | None:
    """Return a file's size in bytes, None where it cannot be opened."""
    try:
        source = place.files.open(place.path)
    except FetchError:
        return None
    found = source.size
    source.close()
    return found


def absolute(path: str) -> str | None:
    """Return a path from the root of its volume without . and ..; None for one that climbs out or is too long."""
    kept: list[str] = []
    if len(path) > PATH_SIZE_MAX or not path.isprintable():
        return None
    for part in path.split("/"):
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def _below_subvolume(files: Files, path: str) -> str:
    """Take a btrfs path that begins with a subvolume as one inside it, where that is what is mounted."""
    first, _slash, rest = path[1:].partition("/")
    if first not in SUBVOLUMES or not rest or files.exists(path) or files.names(path) is not None:
        return path
    return f"/{rest}" if files.exists(f"/{rest}") or files.names(f"/{rest}") is not None else path


def _disk(volume: Volume) -> str:
    return volume.disk or volume.name


def _aliases(name: str, volume: Volume) -> list[str]:
    """Return the other names of a device: without the table's kind, and by what the volume itself says."""
    disk, comma, _part = name.partition(",")
    aliases = [volume.name]
    if comma:
        aliases += [f"{disk},{volume.number}", f"{disk},msdos{volume.number}", f"{disk},gpt{volume.number}"]
    if volume.fstype == "iso9660":
        aliases += ["cd", "cd0"]
    if volume.device.startswith("/dev/mapper/"):
        aliases.append(f"lvm/{volume.device.removeprefix('/dev/mapper/')}")
    if volume.name.startswith("lvm/"):
        aliases.append(volume.name)
    if volume.uuid:
        aliases.append(f"uuid={volume.uuid.lower()}")
    if volume.label:
        aliases.append(f"LABEL={volume.label}")
    return aliases
