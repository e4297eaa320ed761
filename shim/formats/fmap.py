"""The map of a flash chip: FMAP. Spec: flashmap, lib/fmap.h (version 1.1), as coreboot and flashrom read it."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGNATURE = b"__FMAP__"
HEADER = Record("FMAP header", 56, """
    0x00  8s   signature
    0x08  B    ver_major
    0x09  B    ver_minor
    0x0a  Q    base                  # where the chip lies in memory
    0x12  I    size                  # bytes of the chip
    0x16  32s  name
    0x36  H    nareas
""")
AREA = Record("FMAP area", 42, """
    0x00  I    offset                # from the start of the chip
    0x04  I    size
    0x08  32s  name
    0x28  H    flags                 # 1 static, 2 compressed, 4 read-only, 8 preserve
""")
AREAS_MAX = 1024
VERSION = 1
FLAGS = {1: "static", 2: "compressed", 4: "read-only", 8: "preserve"}
READ_ONLY = 4
OWN_REGION = "FMAP"


class Region(Value):
    """A region of the chip; offsets and sizes in bytes."""

    name: str
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.size

    @property
    def flag_names(self) -> tuple[str, ...]:
        """Its flags by name."""
        return tuple(name for bit, name in FLAGS.items() if self.flags & bit)


class FlashMap(Value):
    """A map: `at` is where it lies in the image, `base` where the chip lies in memory."""

    at: int
    base: int
    size: int
    name: str
    regions: tuple[Region, ...]

    def region(self, name: str) -> Region:
        """Return the one region of this name. Raises FormatError when there is none, or more than one."""
        found = [region for region in self.regions if region.name == name]
        if len(found) != 1:
            raise FormatError("the FMAP has not just one region of this name", region=name, found=len(found))
        return found[0]


def find_map(image: bytes) -> FlashMap:
    """Return the map in an image of the whole chip. Raises FormatError when there is none that fits the image."""
    problem: FormatError | None = None
    at = image.find(SIGNATURE)
    while at >= 0:
        try:
            return parse_map(image, at)
        except FormatError as error:  # eight letters that are no map: a string in a program
            problem = problem or error
        at = image.find(SIGNATURE, at + len(SIGNATURE))
    raise problem or FormatError("no FMAP in the image", size=len(image))


def parse_map(image: bytes, at: int) -> FlashMap:
    """Return the map at offset `at` of an image of the whole chip. Raises FormatError."""
    header = HEADER.parse(image, at)
    if header["signature"] != SIGNATURE or header["ver_major"] != VERSION:
        raise FormatError("not an FMAP of a known version", at=at, expected=VERSION, found=header["ver_major"])
    if header["size"] != len(image):
        raise FormatError("the FMAP is for a chip of another size", at=at, expected=header["size"], found=len(image))
    if header["nareas"] > AREAS_MAX:
        raise FormatError("the FMAP has too many areas", at=at, limit=AREAS_MAX, found=header["nareas"])
    rows = (AREA.parse(image, at + HEADER.size + number * AREA.size) for number in range(header["nareas"]))
    regions = tuple(_region(row, len(image)) for row in rows)
    for region in regions:
        if region.name == OWN_REGION and region.offset != at:  # a copy, in a payload for one
            raise FormatError("the FMAP says that it lies elsewhere", at=at, expected=region.offset, found=at)
    return FlashMap(at=at, base=header["base"], size=header["size"], name=_text(header["name"]), regions=regions)


def write_region(image: bytes, region: Region, data: bytes) -> bytes:
    """Return the image with a region's bytes replaced, and no other byte.

    Raises FormatError for data of another size, a region that is read-only by its flags, and one with the map in it.
    """
    if len(data) != region.size:
        raise FormatError("the data has not the size of the region", region=region.name, expected=region.size,
                          found=len(data))
    flash = find_map(image)
    if region not in flash.regions:
        raise FormatError("the image has no such region", region=region.name, at=region.offset)
    if region.flags & READ_ONLY:
        raise FormatError("the region is read-only", region=region.name)
    if region.offset < flash.at + HEADER.size + len(flash.regions) * AREA.size and region.end > flash.at:
        raise FormatError("the region has the FMAP in it", region=region.name, at=flash.at)
    return image[: region.offset] + data + image[region.end :]


def _region(row: dict[str, Any], limit: int) -> Region:
    region = Region(name=_text(row["name"]), offset=row["offset"], size=row["size"], flags=row["flags"])
    if region.end > limit:
        raise FormatError("a region lies outside the chip", region=region.name, limit=limit, found=region.end)
    return region


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii", "backslashreplace")
