"""EFI firmware volumes with a file system. Spec: UEFI PI 1.8, volume 3, 3.2.1 (volume) and 3.2.2 (file system).

A volume is taken apart only if it can be put together again byte for byte; else `opaque` says why not.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.efi_file import HEADER as FILE_HEADER
from shim.formats.efi_file import PAD, FirmwareFile, build_padding, parse_file
from shim.formats.guid import guid_text
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SIGNATURE = b"_FVH"
HEADER = Record("firmware volume header", 56, """
    0x00  16s  zero_vector
    0x10  16s  file_system_guid
    0x20  Q    fv_length              # bytes, the header counted
    0x28  4s   signature
    0x2c  I    attributes
    0x30  H    header_length          # bytes, the block map counted
    0x32  H    checksum               # of the header as 16-bit words: the sum is 0
    0x34  H    ext_header_offset      # 0 without one
    0x37  B    revision
""")
BLOCK = Record("firmware volume block map entry", 8, """
    0x00  I  num_blocks               # 0 with length 0 ends the map
    0x04  I  length                   # bytes of a block
""")
EXT_HEADER = Record("firmware volume extended header", 20, """
    0x00  16s  fv_name
    0x10  I    ext_header_size        # bytes, the entries counted
""")
SIGNATURE_AT = HEADER.offsets["signature"]
ERASE_POLARITY = 0x800
REVISION = 2
HEADER_LENGTH_MAX = 4096
FILES_MAX = 4096
VOLUME_LENGTH_MAX = 256 << 20
FILE_ALIGNMENT = 8
FILE_SYSTEMS = {
    "8c8ce578-8a3d-4f1c-9935-896185c32dd3": "FFS2",
    "5473c07a-3dcb-4dca-bd6f-1e9689e7349a": "FFS3",
}
TOP_FILE = "1ba0062e-c779-4582-8566-336ae8f78f09"  # ends where the volume ends: 3.2.2, volume top file


class Volume(Value):
    """A firmware volume. `head` is all that lies before the first file, `files` are in order and include padding.

    `erased` is the byte of empty flash; `opaque` says why the files are not told apart, None where they are.
    """

    name: str | None
    file_system: str
    length: int
    block_length: int | None
    head: bytes
    erased: int
    files: tuple[FirmwareFile, ...]
    opaque: str | None
    raw: bytes

    @property
    def used(self) -> int:
        """Where the last file ends."""
        return self.files[-1].end if self.files else len(self.head)

    @property
    def moves(self) -> bool:
        """Whether its files work at other addresses, too."""
        return not any(file.stays or file.name == TOP_FILE for file in self.files)


def parse_volume(data: bytes, at: int = 0) -> Volume:
    """Return the volume at offset `at`. Raises FormatError where there is none that its header accounts for."""
    header = HEADER.parse(data, at)
    if header["signature"] != SIGNATURE:
        raise FormatError("not a firmware volume", at=at + SIGNATURE_AT, expected=SIGNATURE, found=header["signature"])
    length, header_length = header["fv_length"], header["header_length"]
    if not HEADER.size + BLOCK.size <= header_length <= HEADER_LENGTH_MAX or header_length % 2:
        raise FormatError("a firmware volume's header has no sensible length", at=at, found=header_length)
    if not header_length <= length <= min(len(data) - at, VOLUME_LENGTH_MAX):
        raise FormatError("a firmware volume is cut short", at=at, expected=length, found=len(data) - at)
    raw = data[at : at + length]
    if found := _sum16(raw[:header_length]):
        raise FormatError("a firmware volume's header has a wrong checksum", at=at, expected=0, found=found)
    blocks = _blocks(raw, header_length, at)
    name, first = _first_file(raw, header, at)
    volume = Volume(
        name=name, file_system=guid_text(header["file_system_guid"]) or "", length=length,
        block_length=blocks[0] if len(blocks) == 1 else None, head=raw[:first],
        erased=0xFF if header["attributes"] & ERASE_POLARITY else 0, files=(), opaque=None, raw=raw,
    )  # fmt: skip
    return _with_files(volume)


def build_volume(volume: Volume) -> bytes:
    """Return the bytes of a volume, erased where no file lies. Raises FormatError for files that overlap."""
    if volume.opaque is not None:
        raise FormatError(f"the firmware volume is not taken apart: {volume.opaque}", volume=volume.name)
    pieces, end = [volume.head], len(volume.head)
    for file in volume.files:
        if file.at < end:
            raise FormatError("firmware files overlap", at=file.at, file=file.name, expected=end)
        pieces += [bytes([volume.erased]) * (file.at - end), file.raw]
        end = file.end
    if end > volume.length:
        raise FormatError("the files do not fit into the firmware volume", volume=volume.name, needed=end,
                          room=volume.length)
    return b"".join([*pieces, bytes([volume.erased]) * (volume.length - end)])


def arrange(volume: Volume, files: Iterable[FirmwareFile]) -> Volume:
    """Return the volume with other files, one behind the other, with padding for their alignment.

    Its length is only checked when it is built. Raises FormatError where files would move that cannot: those that
    run where they lie. There a file can be replaced by one that is not longer, see `arrange_in_place`.
    """
    if not volume.moves:
        raise FormatError("files of this firmware volume run where they lie", volume=volume.name)
    placed: list[FirmwareFile] = []
    end = len(volume.head)
    for file in files:
        if file.type == PAD:
            continue
        at = -(-end // FILE_ALIGNMENT) * FILE_ALIGNMENT
        start = _aligned(at, file)
        if start > at:
            start = _aligned(at + FILE_HEADER.size, file)
            placed.append(build_padding(at, start - at, volume.erased))
        placed.append(file.replace(at=start))
        end = placed[-1].end
    return volume.replace(files=tuple(placed))


def arrange_in_place(volume: Volume, files: Iterable[FirmwareFile]) -> Volume:
    """Return the volume with other files at the offsets that `files` give; what one is shorter becomes padding."""
    kept: list[FirmwareFile] = []
    limits = {file.at: following.at for file, following in zip(volume.files, volume.files[1:], strict=False)}
    for file in files:
        kept.append(file)
        limit = limits.get(file.at)
        if limit is None:
            if file.name == TOP_FILE and file.end != volume.used:
                raise FormatError("the file at the top of the volume must keep its size", file=file.name)
            continue
        end = -(-file.end // FILE_ALIGNMENT) * FILE_ALIGNMENT
        if end > limit or 0 < limit - end < FILE_HEADER.size:
            raise FormatError("the file must have the size of the one before it: others cannot move", file=file.name,
                              room=limit - file.at, needed=len(file.raw))
        if end < limit:
            kept.append(build_padding(end, limit - end, volume.erased))
    return volume.replace(files=tuple(kept))


def grow(volume: Volume, length: int) -> Volume:
    """Return the volume with its end moved. Raises FormatError for one whose block map has not one entry."""
    if volume.block_length is None or length % volume.block_length:
        raise FormatError("a firmware volume is as long as a number of its blocks", volume=volume.name,
                          block=volume.block_length, found=length)
    head = bytearray(volume.head)
    for record, field, start, value in (
        (HEADER, "fv_length", 0, length), (BLOCK, "num_blocks", HEADER.size, length // volume.block_length),
        (HEADER, "checksum", 0, 0),
    ):  # fmt: skip
        at = start + record.offsets[field]
        head[at : at + record.widths[field]] = value.to_bytes(record.widths[field], "little")
    header_length = HEADER.parse(head)["header_length"]
    at = HEADER.offsets["checksum"]
    head[at : at + 2] = (-_sum16(bytes(head[:header_length])) & 0xFFFF).to_bytes(2, "little")
    return volume.replace(head=bytes(head), length=length)


def _with_files(volume: Volume) -> Volume:
    """Return the volume with its files, or with the reason why they are not told apart."""
    if volume.file_system not in FILE_SYSTEMS:
        return volume.replace(opaque="an unknown file system")
    files: list[FirmwareFile] = []
    end, empty = len(volume.head), bytes([volume.erased]) * FILE_HEADER.size
    try:
        while True:
            at = -(-end // FILE_ALIGNMENT) * FILE_ALIGNMENT
            head = volume.raw[at : at + FILE_HEADER.size]
            if head == empty[: len(head)]:  # the rest must be erased, too: what is built is compared
                break
            if len(files) >= FILES_MAX:
                raise FormatError("too many files", limit=FILES_MAX)
            files.append(parse_file(volume.raw, at, volume.length, volume.erased))
            end = files[-1].end
        made = volume.replace(files=tuple(files))
        if build_volume(made) != volume.raw:
            raise FormatError("bytes lie between or behind its files")
    except FormatError as problem:
        return volume.replace(opaque=str(problem))
    return made


def _first_file(raw: bytes, header: dict[str, Any], at: int) -> tuple[str | None, int]:
    """Return the volume's name, and where its first file begins."""
    offset, header_length = header["ext_header_offset"], header["header_length"]
    if not offset:
        return None, header_length
    extended = EXT_HEADER.parse(raw, offset)
    end = offset + extended["ext_header_size"]
    if offset < header_length or extended["ext_header_size"] < EXT_HEADER.size or end > len(raw):
        raise FormatError("a firmware volume's extended header lies nowhere", at=at + offset, limit=len(raw), found=end)
    return guid_text(extended["fv_name"]), min(-(-end // FILE_ALIGNMENT) * FILE_ALIGNMENT, len(raw))


def _blocks(raw: bytes, header_length: int, at: int) -> list[int]:
    """Return the block length of each entry of the map."""
    lengths: list[int] = []
    total = 0
    for offset in range(HEADER.size, header_length - BLOCK.size + 1, BLOCK.size):
        row = BLOCK.parse(raw, offset)
        if not row["num_blocks"] and not row["length"]:
            if total != len(raw):
                raise FormatError("a firmware volume's block map has another length", at=at + offset,
                                  expected=len(raw), found=total)
            return lengths
        lengths.append(row["length"])
        total += row["num_blocks"] * row["length"]
    raise FormatError("a firmware volume's block map has no end", at=at + HEADER.size)


def _aligned(at: int, file: FirmwareFile) -> int:
    """Return the first offset at or after `at` where the file's body is aligned."""
    body = at + file.header_size
    return -(-body // file.alignment) * file.alignment - file.header_size if file.alignment > FILE_ALIGNMENT else at


def _sum16(data: bytes) -> int:
    return sum(memoryview(data).cast("H")) & 0xFFFF
