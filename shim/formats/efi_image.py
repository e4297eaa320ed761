"""Firmware images made of EFI firmware volumes: what is in them, and the same image with files replaced or dropped.

Spec: UEFI PI 1.8, volume 3, 3.1 and 2.1 (volumes in files in volumes). What is not on the way to an edited file is
kept byte for byte; a volume, file or section that could not be put together again byte for byte is not edited.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.efi_encapsulation import closed, is_encapsulation, opened
from shim.formats.efi_file import DELETED, PAD, FirmwareFile, build_padding
from shim.formats.efi_section import VOLUME_IMAGE, Section, build_sections, parse_sections, ui_name
from shim.formats.efi_volume import (
    SIGNATURE,
    SIGNATURE_AT,
    Volume,
    arrange,
    arrange_in_place,
    build_volume,
    grow,
    parse_volume,
)
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Edit = Callable[[FirmwareFile], FirmwareFile | None]

VOLUME_ALIGNMENT = 512
IMAGE_SIZE_MAX = 256 << 20
DEPTH_MAX = 16
UNPACKED_TOTAL_MAX = 256 << 20


class Image(Value):
    """An image as it lies in flash: volumes by their offsets, and bytes between them that nobody tells apart."""

    raw: bytes
    volumes: tuple[tuple[int, Volume], ...]


class Node(Value):
    """One thing in an image: a volume, file or section. `problem` says why its inside is not told."""

    depth: int
    at: int
    thing: Volume | FirmwareFile | Section
    name: str | None = None
    problem: str | None = None


class _Budget:
    """How deep and how much is still unpacked: nested archives multiply."""

    def __init__(self) -> None:
        self.left = UNPACKED_TOTAL_MAX

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise FormatError("the firmware image holds too much when it is unpacked", limit=UNPACKED_TOTAL_MAX)


def parse_image(data: bytes) -> Image:
    """Return the volumes of an image. Raises FormatError for one that has none."""
    if len(data) > IMAGE_SIZE_MAX:
        raise FormatError("the firmware image is too long", limit=IMAGE_SIZE_MAX, found=len(data))
    volumes: list[tuple[int, Volume]] = []
    found = data.find(SIGNATURE)
    while found >= 0:
        at, next_at = found - SIGNATURE_AT, found + len(SIGNATURE)
        if at >= 0 and at % VOLUME_ALIGNMENT == 0:
            try:
                volume = parse_volume(data, at)
            except FormatError:
                pass  # four letters that are no volume
            else:
                volumes.append((at, volume))
                next_at = at + volume.length
        found = data.find(SIGNATURE, next_at)
    if not volumes:
        raise FormatError("no firmware volume in the image", size=len(data))
    return Image(raw=data, volumes=tuple(volumes))


def walk(image: Image) -> Iterator[Node]:
    """Yield everything in an image, each thing before what is in it. Raises FormatError only for what has no bounds."""
    budget = _Budget()
    for at, volume in image.volumes:
        yield from _walk_volume(volume, at, 0, budget)


def find_file(image: Image, name: str) -> FirmwareFile:
    """Return the one file of this name (a GUID as text). Raises FormatError when there is none, or more than one."""
    return find_files(image, (name,))[name]


def find_files(image: Image, names: Collection[str]) -> dict[str, FirmwareFile]:
    """Return the one file of each name, likewise."""
    found: dict[str, list[FirmwareFile]] = {name: [] for name in names}
    for node in walk(image):
        if isinstance(node.thing, FirmwareFile) and node.thing.name in found and node.thing.type != PAD:
            found[node.thing.name].append(node.thing)
    for name, files in found.items():
        if len(files) != 1:
            reason = "more than one firmware file of this name" if files else "no firmware file of this name"
            raise FormatError(reason, file=name, found=len(files))
    return {name: files[0] for name, files in found.items()}


def edit_image(image: Image, edits: Mapping[str, Edit], size: int | None = None) -> Image:
    """Return the image with files changed, by their names; an edit returns the new file, None to drop it.

    With `size` the image is made so long, at its bottom: what is at the top (the reset vector) stays there, and the
    first volume takes the room it needs. Raises FormatError for a name that is not there, or there twice, and for
    what does not fit.
    """
    find_files(image, edits)
    more = 0 if size is None else size - len(image.raw)
    if more < 0:
        raise FormatError("the image is longer than it should become", limit=size, found=len(image.raw))
    raw = bytearray(b"\xff" * more + image.raw)
    for number, (at, volume) in enumerate(image.volumes):
        changed = _edited(volume, edits, _Budget())
        if changed is volume:
            continue
        made = build_volume(_with_room(changed, more if number == 0 and at == 0 else 0))
        start = more + at + volume.length - len(made)
        raw[start : start + len(made)] = made
    return parse_image(bytes(raw))


def replace_section(kind: int, content: bytes) -> Edit:
    """Return the edit that gives a file's section of this type other content. It raises where there is not just one."""

    def edit(file: FirmwareFile) -> FirmwareFile:
        sections = parse_sections(file.body)
        number = sum(section.type == kind for section in sections)
        if number != 1:
            raise FormatError("a file must have one section of this type", file=file.name, type=kind, found=number)
        made = (section.with_content(content) if section.type == kind else section for section in sections)
        return file.with_body(build_sections(made))

    return edit


def drop(_file: FirmwareFile) -> None:
    """Drop a file: an edit."""


def _with_room(volume: Volume, room: int) -> Volume:
    """Return a volume that has grown by as many blocks as it needs, but not by more than `room` bytes."""
    needed = volume.used - volume.length
    if needed <= 0 or not room or not volume.block_length:
        return volume
    more = -(-needed // volume.block_length) * volume.block_length
    if more > room:
        raise FormatError("the files do not fit into the image", volume=volume.name, needed=more, room=room)
    return grow(volume, volume.length + more)


def _edited(volume: Volume, edits: Mapping[str, Edit], budget: _Budget, depth: int = 0) -> Volume:
    """Return a volume with its files edited, and those in the volumes in its files."""
    _check_depth(depth)
    files: list[FirmwareFile] = []
    for file in volume.files:
        edit = edits.get(file.name) if file.type != PAD else None
        changed = edit(file) if edit else _edited_inside(file, edits, budget, depth + 1)
        if changed is not None:
            files.append(changed)
    if tuple(files) == volume.files:
        return volume
    return arrange(volume, files) if volume.moves else arrange_in_place(volume, _kept_places(volume, files))


def _kept_places(volume: Volume, files: list[FirmwareFile]) -> list[FirmwareFile]:
    """Return files that cannot move, with padding where one was dropped."""
    by_place = {file.at: file for file in files}
    return [by_place.get(file.at) or build_padding(file.at, len(file.raw), volume.erased) for file in volume.files]


def _edited_inside(file: FirmwareFile, edits: Mapping[str, Edit], budget: _Budget, depth: int) -> FirmwareFile:
    if not file.has_sections:
        return file
    try:
        sections = parse_sections(file.body)
    except FormatError:
        return file
    made = [_edited_section(section, edits, budget, depth) for section in sections]
    return file.with_body(build_sections(made)) if tuple(made) != sections else file


def _edited_section(section: Section, edits: Mapping[str, Edit], budget: _Budget, depth: int) -> Section:
    """Return a section with the volumes and files in it edited; one that cannot be taken apart holds none of them."""
    _check_depth(depth)
    if section.type == VOLUME_IMAGE:
        try:
            volume = parse_volume(section.content)
        except FormatError:
            return section
        changed = _edited(volume, edits, budget, depth + 1)
        if changed is volume:
            return section
        return section.with_content(build_volume(changed) + section.content[volume.length :])
    sections = _enclosed(section)
    budget.spend(sum(one.size for one in sections))
    made = [_edited_section(one, edits, budget, depth + 1) for one in sections]
    return closed(section, build_sections(made)) if tuple(made) != sections else section


def _enclosed(section: Section) -> tuple[Section, ...]:
    """Return the sections that one encloses; none where they cannot be told apart."""
    try:
        inside = opened(section) if is_encapsulation(section) else None
        return () if inside is None else parse_sections(inside)
    except FormatError:
        return ()


def _walk_volume(volume: Volume, at: int, depth: int, budget: _Budget) -> Iterator[Node]:
    _check_depth(depth)
    yield Node(depth=depth, at=at, thing=volume, name=volume.name, problem=volume.opaque)
    for file in volume.files:
        if not file.has_sections or file.raw[0x17] ^ volume.erased == DELETED:
            yield Node(depth=depth + 1, at=file.at, thing=file)
            continue
        try:
            sections = parse_sections(file.body)
        except FormatError as problem:
            yield Node(depth=depth + 1, at=file.at, thing=file, problem=str(problem))
            continue
        yield Node(depth=depth + 1, at=file.at, thing=file, name=ui_name(sections))
        for section in sections:
            yield from _walk_section(section, depth + 2, budget)


def _walk_section(section: Section, depth: int, budget: _Budget) -> Iterator[Node]:
    _check_depth(depth)
    inner: list[Section] = []
    volume = problem = None
    try:
        if section.type == VOLUME_IMAGE:
            volume = parse_volume(section.content)
        elif is_encapsulation(section):
            inside = opened(section)
            if inside is None:
                problem = "a way of enclosing that is not known"
            else:
                inner = list(parse_sections(inside))
    except FormatError as error:
        problem = str(error)
    yield Node(depth=depth, at=section.at, thing=section, problem=problem)
    if inner:
        budget.spend(sum(one.size for one in inner))
    for one in inner:
        yield from _walk_section(one, depth + 1, budget)
    if volume is not None:
        yield from _walk_volume(volume, 0, depth + 1, budget)


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise FormatError("a firmware image is nested too deeply", limit=DEPTH_MAX)
