"""FAT12, FAT16 and FAT32 boot sector and root directory. Spec: Microsoft FAT Specification (2004), 3, 4 and 6."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.formats.superblock import Superblock
from shim.formats.text import label_text
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.superblock import Read

SIGNATURE = b"\x55\xaa"
BOOT_SECTOR = Record("FAT boot sector", 512, """
    0x000  B    jmp_boot
    0x003  8s   oem_name
    0x00b  H    byts_per_sec
    0x00d  B    sec_per_clus
    0x00e  H    rsvd_sec_cnt
    0x010  B    num_fats
    0x011  H    root_ent_cnt           # 0 on FAT32
    0x013  H    tot_sec_16
    0x015  B    media
    0x016  H    fat_sz_16              # 0 on FAT32
    0x020  I    tot_sec_32
    0x024  I    fat_sz_32              # from here on, FAT32 differs from FAT12 and FAT16
    0x02c  I    root_clus
    0x1fe  2s   signature_word
""")
EXTENDED = Record("FAT extended boot record", 26, """
    0x01  B    reserved                # bit 0: not unmounted (Linux, Windows NT)
    0x02  B    boot_sig
    0x03  4s   vol_id
    0x07  11s  vol_lab
    0x12  8s   fil_sys_type
""")
EXTENDED_FAT16_AT, EXTENDED_FAT32_AT = 0x24, 0x40
BOOT_SIGS = (0x28, 0x29)
JUMPS = (0xEB, 0xE9)
OTHER_FILE_SYSTEMS = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-")
FAT12_CLUSTERS_MAX = 4084
ENTRY_SIZE = 32
ENTRY_END, ENTRY_FREE = 0x00, 0xE5
ATTR_VOLUME_ID, ATTR_DIRECTORY = 0x08, 0x10
ATTR_LONG_NAME = 0x0F
CLUSTER_FIRST, CLUSTER_LAST = 2, 0x0FFFFFF6
DIRECTORY_SIZE_MAX = 256 << 10
CHUNK_SIZE = 4096


class Geometry(Value):
    """Where things are in a FAT volume, in bytes from its start. `root_cluster` is 0 on FAT12 and FAT16, and
    `fat_size` is the size of one FAT."""

    sector_size: int
    cluster_size: int
    fat_start: int
    fat_size: int
    root_start: int
    root_size: int
    data_start: int
    root_cluster: int
    size: int

    @property
    def cluster_count(self) -> int:
        return (self.size - self.data_start) // self.cluster_size

    @property
    def version(self) -> str:
        if self.root_cluster:
            return "FAT32"
        return "FAT12" if self.cluster_count <= FAT12_CLUSTERS_MAX else "FAT16"


def probe(read: Read) -> Superblock | None:
    """Return the FAT of a volume. Its label is the one in the root directory, as blkid and Windows have it."""
    sector = read(0, BOOT_SECTOR.size)
    geometry = parse_boot_sector(sector)
    if geometry is None:
        return None
    extended = EXTENDED.parse(sector, EXTENDED_FAT32_AT if geometry.root_cluster else EXTENDED_FAT16_AT)
    return Superblock(
        fstype="vfat",
        label=_root_label(read, geometry),
        uuid=_serial_text(extended["vol_id"]) if extended["boot_sig"] in BOOT_SIGS else None,
        version=geometry.version,
        size=geometry.size,
        dirty=bool(extended["reserved"] & 1),
    )


def parse_boot_sector(sector: bytes) -> Geometry | None:
    """Return the layout that a boot sector describes, None when it is not FAT's (an MBR, an NTFS).

    FAT has no magic of its own: fields that a FAT driver would refuse mean that it is something else.
    """
    boot = BOOT_SECTOR.parse(sector)
    sector_size, per_cluster = boot["byts_per_sec"], boot["sec_per_clus"]
    if (
        boot["signature_word"] != SIGNATURE
        or boot["jmp_boot"] not in JUMPS
        or boot["oem_name"] in OTHER_FILE_SYSTEMS
        or sector_size not in (512, 1024, 2048, 4096)
        or per_cluster == 0
        or per_cluster & (per_cluster - 1)
        or not boot["rsvd_sec_cnt"]
        or not boot["num_fats"]
        or not (boot["media"] >= 0xF8 or boot["media"] == 0xF0)
        or not (boot["fat_sz_16"] or boot["fat_sz_32"])
    ):
        return None
    return _geometry(boot, sector_size, per_cluster)


def _geometry(boot: dict[str, int], sector_size: int, per_cluster: int) -> Geometry:
    fat32 = not boot["fat_sz_16"]
    fat_start = boot["rsvd_sec_cnt"] * sector_size
    fat_size = (boot["fat_sz_16"] or boot["fat_sz_32"]) * sector_size
    root_start = fat_start + boot["num_fats"] * fat_size
    root_sectors = -(-boot["root_ent_cnt"] * ENTRY_SIZE // sector_size)
    data_start = root_start + root_sectors * sector_size
    size = (boot["tot_sec_16"] or boot["tot_sec_32"]) * sector_size
    if data_start > size:
        raise FormatError("FAT tables are larger than the volume", data_start=data_start, size=size)
    if fat32 and boot["root_clus"] < CLUSTER_FIRST:
        raise FormatError("FAT32 has no root directory", root_clus=boot["root_clus"])
    return Geometry(
        sector_size=sector_size,
        cluster_size=sector_size * per_cluster,
        fat_start=fat_start,
        fat_size=fat_size,
        root_start=root_start,
        root_size=boot["root_ent_cnt"] * ENTRY_SIZE,
        data_start=data_start,
        root_cluster=boot["root_clus"] if fat32 else 0,
        size=size,
    )


def _root_label(read: Read, geometry: Geometry) -> str | None:
    for chunk in _root_directory(read, geometry):
        for at in range(0, len(chunk) - ENTRY_SIZE + 1, ENTRY_SIZE):
            first, attributes = chunk[at], chunk[at + 11]
            if first == ENTRY_END:
                return None
            if first == ENTRY_FREE or attributes & ATTR_LONG_NAME == ATTR_LONG_NAME:
                continue
            if attributes & (ATTR_VOLUME_ID | ATTR_DIRECTORY) == ATTR_VOLUME_ID:
                return label_text(chunk[at : at + 11])
    return None


def _root_directory(read: Read, geometry: Geometry) -> Iterator[bytes]:
    """Yield the root directory in pieces, up to DIRECTORY_SIZE_MAX: the label comes early or not at all."""
    left = DIRECTORY_SIZE_MAX
    for start, size in _root_extents(read, geometry):
        for at in range(start, start + min(size, left), CHUNK_SIZE):
            yield read(at, min(CHUNK_SIZE, start + size - at))
        left -= size
        if left <= 0:
            return


def _root_extents(read: Read, geometry: Geometry) -> Iterator[tuple[int, int]]:
    if not geometry.root_cluster:
        yield geometry.root_start, geometry.root_size
        return
    cluster = geometry.root_cluster
    while CLUSTER_FIRST <= cluster <= CLUSTER_LAST:  # a loop in the chain ends at DIRECTORY_SIZE_MAX
        yield geometry.data_start + (cluster - CLUSTER_FIRST) * geometry.cluster_size, geometry.cluster_size
        cluster = int.from_bytes(read(geometry.fat_start + 4 * cluster, 4), "little") & 0x0FFFFFFF


def _serial_text(vol_id: bytes) -> str | None:
    if not any(vol_id):
        return None
    text = vol_id[::-1].hex().upper()
    return f"{text[:4]}-{text[4:]}"
