"""A machine whose disks are images: what the kernel would say of them, and their file systems as if mounted.

So `shim.discover` finds the volumes of an image, and `shim.boot` boots from it, as in the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shim.discover import discover_volumes
from shim.discover.tables import DiskTable, parse_table
from shim.errors import FetchError, ShimError
from shim.formats import iso9660
from shim.images import open_files
from shim.model import Problem, Volume
from shim.ports import Device
from shim.system.devices import ImageFile
from shim.system.recording import RecordingMachine
from shim.values import Value

SECTOR_SIZES = (512, 4096)
DISKS_MAX = 26
BLOCK = 512  # the unit of sysfs
# What is no disk image and no file system, by its first bytes or those at an offset: (offset, magic, what to say).
FORMATS = (
    (0, b"QFI\xfb", "a qcow2 image: make it a raw one with qemu-img convert -O raw"),
    (0, b"KDMV", "a VMDK image: make it a raw one with qemu-img convert -O raw"),
    (0, b"vhdxfile", "a VHDX image: make it a raw one with qemu-img convert -O raw"),
    (0, b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (0, b"\xfd7zXZ\0", "compressed with xz: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
)
CONTAINERS = (
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS), which is not opened"),
    (BLOCK, b"LABELONE", "a physical volume of LVM, which is not put together"),
    (0, b"LABELONE", "a physical volume of LVM, which is not put together"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of a RAID (md), which is not put together"),
    (3, b"-FVE-FS-", "an encrypted volume (BitLocker), which is not opened"),
    (3, b"NTFS    ", "an NTFS file system, which is not read"),
    (3, b"EXFAT   ", "an exFAT file system, which is not read"),
)


class PartOfDevice:
    """A partition: a piece of a disk image. The port is `shim.ports.Device`."""

    def __init__(self, name: str, disk: Device, start: int, size: int) -> None:
        self.name, self.size, self.sector_size = name, size, disk.sector_size
        self._disk, self._start = disk, start

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`. Raises FetchError beyond the end and on I/O errors."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FetchError("beyond the end of the device", device=self.name, at=offset, size=size, end=self.size)
        return self._disk.read_at(self._start + offset, size)

    def close(self) -> None:
        self._disk.close()


class Disk(Value):
    """A disk image under the name that the kernel would give it. `table` is None where it holds one file system."""

    name: str
    image: str
    sector_size: int
    size: int
    table: DiskTable | None = None


class ImageMachine:
    """The recording machine with `images` (paths) as its disks. `facts` are more files of its own tree.

    `volumes` is what discovery found, `problems` what it passed over; volumes without a reader are among both. Raises
    SystemError_ for an image that cannot be opened, FetchError for what is no raw image.
    """

    def __init__(self, images: Sequence[str], facts: Mapping[str, bytes] | None = None) -> None:
        problems: list[Problem] = []
        self.disks = _name_disks(images, problems)
        contents: dict[str, bytes | ShimError] = dict(facts or {})
        devices: dict[str, str | bytes | Callable[[], Device]] = {}
        for disk in self.disks:
            _plug(disk, contents, devices, problems)
        self.machine = RecordingMachine(contents, devices)
        found = discover_volumes(self.machine)
        self.volumes = found.volumes
        problems += found.problems
        for volume in self.volumes:
            problems += self._mount(volume)
        self.problems = tuple(problems)

    def image_of(self, volume: Volume) -> str:
        """Return the path of the image that a volume lies in."""
        return next((disk.image for disk in self.disks if disk.name == volume.disk), "")

    def _mount(self, volume: Volume) -> list[Problem]:
        """Lay down what mounting the volume gives; return what is to be said of it."""
        device = self.machine.devices.open(volume.name)
        if volume.fstype is None:
            said = _magic_sentence(device, CONTAINERS)
            device.close()
            return [Problem(source=volume.name, error=said)] if said else []
        try:
            files = open_files(volume.fstype, device.read_at)
        except ShimError as problem:
            device.close()
            self.machine.mounts.trees[volume.name] = problem
            return [Problem(source=volume.name, error=str(problem))]
        self.machine.mounts.trees[volume.name] = files
        return [Problem(source=volume.name, error=note) for note in files.notes]


def _name_disks(images: Sequence[str], problems: list[Problem]) -> tuple[Disk, ...]:
    """Name disks sda, sdb, … and CD images sr0, sr1, … in the order given."""
    if len(images) > DISKS_MAX:
        raise FetchError("too many disk images", limit=DISKS_MAX, found=len(images))
    disks: list[Disk] = []
    letters, drives = iter("abcdefghijklmnopqrstuvwxyz"), iter(range(DISKS_MAX))
    for image in images:
        device = ImageFile(image)
        try:
            said = _magic_sentence(device, FORMATS)
            if said:
                raise FetchError(f"not a raw disk image: {said}", image=image)
            name = f"sr{next(drives)}" if _is_cd(device) else f"sd{next(letters)}"
            disks.append(_read_disk(name, image, device, problems))
        finally:
            device.close()
    return tuple(disks)


def _read_disk(name: str, image: str, device: Device, problems: list[Problem]) -> Disk:
    """Find the partition table, at whichever size of sectors it is there. A CD has none, as in a CD drive."""
    disk = Disk(name=name, image=image, sector_size=BLOCK, size=device.size // BLOCK * BLOCK)
    if name.startswith("sr"):
        return disk
    guarded = False
    for sector_size in SECTOR_SIZES:
        tried = ImageFile(image, sector_size=sector_size)
        try:
            table = parse_table(tried)
        except ShimError as problem:
            problems.append(Problem(source=name, error=str(problem)))
            return disk
        finally:
            tried.close()
        if table is None or (table.kind == "dos" and sector_size != BLOCK):  # an MBR counts in 512 bytes
            continue
        guarded = guarded or any(row.parttype == "0xee" for row in table.rows)
        if table.rows and not (table.kind == "dos" and guarded):
            return disk.replace(sector_size=sector_size, table=table)
        if table.problem:
            problems.append(Problem(source=name, error=table.problem))
    if guarded:
        problems.append(Problem(source=name, error="its MBR guards a GPT, which is not there"))
    return disk


def _plug(
    disk: Disk, contents: dict[str, bytes | ShimError], devices: dict[str, str | bytes | Callable[[], Device]],
    problems: list[Problem],
) -> None:
    """Write what the kernel would say in /sys/class/block, and lay down the devices."""
    base = f"/sys/class/block/{disk.name}"
    contents[f"{base}/size"] = b"%d\n" % (disk.size // BLOCK)
    devices[disk.name] = lambda: ImageFile(disk.image, disk.sector_size, disk.name)
    for row in disk.table.rows if disk.table else ():
        if row.start + row.size > disk.size:
            problems.append(Problem(source=f"{disk.name}{row.number}", error="the partition ends outside the disk"))
            continue
        name = f"{disk.name}{row.number}"
        for field, number in (("partition", row.number), ("start", row.start // BLOCK), ("size", row.size // BLOCK)):
            contents[f"/sys/class/block/{name}/{field}"] = b"%d\n" % number
        devices[name] = _opener(disk, name, row.start, row.size)


def _opener(disk: Disk, name: str, start: int, size: int) -> Callable[[], Device]:
    return lambda: PartOfDevice(name, ImageFile(disk.image, disk.sector_size, disk.name), start, size)


def _is_cd(device: Device) -> bool:
    try:
        return iso9660.probe(device.read_at) is not None
    except ShimError:
        return False


def _magic_sentence(device: Device, table: Sequence[tuple[int, bytes, str]]) -> str | None:
    for offset, magic, said in table:
        if offset + len(magic) <= device.size and device.read_at(offset, len(magic)) == magic:
            return said
    return None
