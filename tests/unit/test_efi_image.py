"""Firmware volumes: written back byte for byte, edited where asked, refused where that is not sure."""

from __future__ import annotations

import binascii
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shim.errors import FormatError
from shim.formats import efi_file, efi_section, efi_volume
from shim.formats.efi_encapsulation import CRC32, LZMA, LZMA_HEADER, LZMA_X86, closed, opened
from shim.formats.efi_file import FirmwareFile
from shim.formats.efi_image import (
    DEPTH_MAX,
    Image,
    Node,
    drop,
    edit_image,
    find_file,
    parse_image,
    replace_section,
    walk,
)
from shim.formats.efi_section import PE32, Section, build_sections, parse_sections
from shim.formats.efi_volume import Volume, arrange, build_volume, parse_volume
from tests.builders.firmware import OVMF, file, guided, joined, name_of, section, small_image, ui, volume
from tests.unit.hostile import bounded, cuts, mutations, refuses, survives, with_memory

IMAGES = sorted({path.resolve() for path in OVMF.glob("*.fd")})
FREEFORM = 0x02
SHELL = "7c04a583-9e3e-4f1c-ad65-e05268d0b4d1"
CODE = OVMF / "OVMF_CODE_4M.fd"


def walk_all(data: bytes) -> list[Node]:
    return list(walk(parse_image(data)))


def files_of(image: Image) -> list[FirmwareFile]:
    return [node.thing for node in walk(image) if isinstance(node.thing, FirmwareFile)]


def packed(data: bytes, guid: str = LZMA) -> bytes:
    """Return content as EDK II packs it: an .lzma file whose header tells the true size."""
    chain: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}]
    if guid == LZMA_X86:
        chain.insert(0, {"id": lzma.FILTER_X86})
    made = lzma.compress(data, lzma.FORMAT_RAW, filters=chain)
    return LZMA_HEADER.build(properties=0x5D, dictionary_size=1 << 16, uncompressed_size=len(data)) + made


def nested(inner: bytes, guid: str = LZMA) -> bytes:
    """Return an image with a volume in an LZMA section of a file, as OVMF has it."""
    inside = section(efi_section.VOLUME_IMAGE, inner)
    return volume(file(9, guided(guid, packed(inside, guid)), kind=0x0B), length=0x4000)


@pytest.mark.tools
@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_each_image_of_debians_package_is_written_back_byte_for_byte(path: Path) -> None:
    """Every part is built anew from what was parsed, packed sections aside, which are kept."""
    data = path.read_bytes()
    image = parse_image(data)
    assert sum(part.length for _, part in image.volumes) == len(data) or "VARS" in path.name
    kinds = set()
    for node in walk(image):
        thing = node.thing
        kinds.add(type(thing))
        if isinstance(thing, Volume) and thing.opaque is None:
            assert build_volume(thing) == thing.raw
        elif isinstance(thing, FirmwareFile):
            assert thing.with_body(thing.body) == thing
            if thing.has_sections:
                assert build_sections(parse_sections(thing.body)) == thing.body
        elif isinstance(thing, Section):
            assert thing.with_content(thing.content) == thing
    assert kinds == ({Volume} if "VARS" in path.name else {Volume, FirmwareFile, Section})
    assert edit_image(image, {}).raw == data
    names = [file.name for file in files_of(image) if file.has_sections]
    assert edit_image(image, {name: lambda same: same for name in names}).raw == data


@pytest.mark.tools
@pytest.mark.parametrize("path", [path for path in IMAGES if "CODE" in path.name], ids=lambda path: path.name)
def test_files_are_laid_out_as_edk2_lays_them_out(path: Path) -> None:
    """WITNESS: Debian's build of EDK II: laying its files out anew gives its bytes."""
    found = 0
    for node in walk(parse_image(path.read_bytes())):
        if isinstance(node.thing, Volume) and node.thing.moves:
            assert build_volume(arrange(node.thing, node.thing.files)) == node.thing.raw
            found += 1
    assert found == 2


def witness(path: Path) -> list[tuple[str, int]]:
    """Return what virt-fw-dump of PyPI's virt-firmware lists: what it is, and its size.

    It takes the extended header of a volume for the content of a padding file, as EDK II's build makes it; EDK II's
    reader begins behind the extended header, and so do we.
    """
    told = subprocess.run([Path(sys.executable).with_name("virt-fw-dump"), "-i", path], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    rows: list[tuple[str, int]] = []
    for line in told.splitlines():
        if "size=0x2c type=padding" in line and rows[-1][0] == "volume":
            continue
        if found := re.match(r" *volume=.* size=(0x\w+) ", line):
            rows.append(("volume", int(found[1], 0)))
        elif found := re.match(r" *ffsfile=\S+ size=(0x\w+)", line):
            rows.append(("file", int(found[1], 0)))
        elif found := re.match(r" *section size=(0x\w+) ", line):
            rows.append(("section", int(found[1], 0)))
    return rows


def rows_of(data: bytes) -> list[tuple[str, int]]:
    """Return the same of ours, without the sections of freeform files: the witness does not list them."""
    rows: list[tuple[str, int]] = []
    file: FirmwareFile | None = None
    for node in walk_all(data):
        if isinstance(node.thing, Volume):
            rows.append(("volume", node.thing.length))
        elif isinstance(node.thing, FirmwareFile):
            file = node.thing
            rows.append(("file", len(file.raw)))
        elif file is None or file.type != FREEFORM:
            rows.append(("section", node.thing.size))
    return rows


@pytest.mark.tools
def test_the_witness_lists_the_same() -> None:
    """WITNESS: virt-fw-dump of PyPI's virt-firmware."""
    assert rows_of(CODE.read_bytes()) == witness(CODE)


@pytest.mark.tools
def test_an_edited_image_unpacks_to_the_edited_content(tmp_path: Path) -> None:
    """A program is replaced, a driver dropped, the image grown; the witness reads the outcome as we do."""
    image = parse_image(CODE.read_bytes())
    dropped = "3aceb0c0-3c72-11e4-9a56-74d435052646"  # TlsDxe
    program = bytes(range(256)) * 4096
    made = edit_image(image, {SHELL: replace_section(PE32, program), dropped: drop}, 8 << 20)
    assert len(made.raw) == 8 << 20
    assert made.raw[-(len(image.raw) - image.volumes[0][1].length) :] == image.raw[image.volumes[1][0] :]
    again = parse_image(made.raw)
    sections = parse_sections(find_file(again, SHELL).body)
    assert [one.content for one in sections if one.type == PE32] == [program]
    before, after = ({file.name: file.raw for file in files_of(one) if file.type not in (0x0B, efi_file.PAD)}
                     for one in (image, again))
    assert set(before) - set(after) == {dropped}
    assert [name for name in after if after[name] != before[name]] == [SHELL]
    output = tmp_path / "edited.fd"
    output.write_bytes(made.raw[again.volumes[0][0] :])  # the witness looks for no volume behind erased bytes
    assert rows_of(made.raw) == witness(output)


def test_what_is_in_an_image_is_told_in_order() -> None:
    nodes = walk_all(small_image())
    assert [node.name for node in nodes if isinstance(node.thing, FirmwareFile)] == ["One", "Two", "Three"]
    assert [node.depth for node in nodes[:4]] == [0, 1, 2, 2]
    assert not any(node.problem for node in nodes)


def test_a_shorter_and_a_longer_program() -> None:
    image = parse_image(small_image())
    for content in (b"", b"short", b"long" * 500):
        made = edit_image(image, {name_of(2): replace_section(PE32, content)})
        assert len(made.raw) == len(image.raw)
        assert parse_sections(find_file(made, name_of(2)).body)[0].content == content
        assert find_file(made, name_of(3)).raw == find_file(image, name_of(3)).raw


def test_a_file_is_dropped() -> None:
    made = edit_image(parse_image(small_image()), {name_of(2): drop})
    assert [node.name for node in walk(made) if isinstance(node.thing, FirmwareFile)] == ["One", "Three"]
    with pytest.raises(FormatError, match="no firmware file of this name"):
        find_file(made, name_of(2))


def test_what_does_not_fit_is_refused_or_the_image_grows() -> None:
    image = parse_image(small_image())
    edit = {name_of(1): replace_section(PE32, bytes(0x3000))}
    with pytest.raises(FormatError, match="do not fit into the firmware volume"):
        edit_image(image, edit)
    with pytest.raises(FormatError, match="do not fit into the image"):
        edit_image(image, edit, 0x3000)
    with pytest.raises(FormatError, match="longer than it should become"):
        edit_image(image, edit, 0x1000)
    made = edit_image(image, edit, 0x10000)
    (at, grown), = made.volumes
    assert (len(made.raw), at, grown.length) == (0x10000, 0x10000 - 0x4000, 0x4000)
    assert made.raw[:at] == b"\xff" * at


@pytest.mark.parametrize("guid", [LZMA, LZMA_X86])
def test_a_file_in_a_volume_in_a_packed_section(guid: str) -> None:
    image = parse_image(nested(small_image(), guid))
    made = edit_image(image, {name_of(2): replace_section(PE32, b"new" * 50)})
    assert made.raw != image.raw
    assert parse_sections(find_file(made, name_of(2)).body)[0].content == b"new" * 50


def test_a_checked_section_and_one_that_is_not_compressed() -> None:
    inside = joined(section(PE32, b"old"), ui("Inner"))
    for body in (guided(CRC32, inside, binascii.crc32(inside).to_bytes(4, "little")),
                 section(efi_section.COMPRESSION, inside, len(inside).to_bytes(4, "little") + b"\0"),
                 section(efi_section.DISPOSABLE, inside)):
        one, = parse_sections(body)
        assert opened(one) == inside
        assert closed(one, inside) == one
        again, = parse_sections(build_sections([closed(one, inside + b"\0" * 4)]))
        assert opened(again) == inside + b"\0" * 4


def test_an_unknown_way_of_enclosing_is_told_and_kept() -> None:
    body = guided("a31280ad-481e-41b6-95e8-127f4c984779", b"who knows")
    data = volume(file(1, body), file(2, joined(section(PE32, b"old"))))
    assert [node.problem for node in walk_all(data) if node.problem] == ["a way of enclosing that is not known"]
    made = edit_image(parse_image(data), {name_of(2): replace_section(PE32, b"new!")})
    assert find_file(made, name_of(1)).body == body
    one, = parse_sections(body)
    with pytest.raises(FormatError, match="unknown way"):
        closed(one, b"")


def test_files_that_run_where_they_lie_do_not_move() -> None:
    bodies = [joined(section(PE32, bytes(100)), ui(f"Peim{number}")) for number in range(3)]
    data = volume(*(file(number, body, kind=0x06) for number, body in enumerate(bodies, 1)))
    image = parse_image(data)
    assert not image.volumes[0][1].moves
    for edit in (drop, replace_section(PE32, bytes(40))):
        made = edit_image(image, {name_of(2): edit})
        for number in (1, 3):
            assert find_file(made, name_of(number)) == find_file(image, name_of(number))
    with pytest.raises(FormatError, match="others cannot move"):
        edit_image(image, {name_of(2): replace_section(PE32, bytes(101 + 8))})
    with pytest.raises(FormatError, match="run where they lie"):
        arrange(image.volumes[0][1], ())


def test_the_file_at_the_top_keeps_its_size() -> None:
    from shim.formats.guid import guid_bytes

    top = bytearray(file(1, bytes(64), kind=efi_file.RAW))
    top[:16] = guid_bytes(efi_volume.TOP_FILE)
    top[0x10] = 0
    top[0x10] = -(sum(top[: 0x17]) - top[0x11]) & 0xFF
    data = volume(tail=bytes(top), length=0x1000)
    gap = bytearray(data)
    pad = efi_file.build_padding(0x48, 0x1000 - len(top) - 0x48, 0xFF)
    gap[0x48 : 0x48 + len(pad.raw)] = pad.raw
    image = parse_image(bytes(gap))
    assert image.volumes[0][1].opaque is None
    with pytest.raises(FormatError, match="must keep its size"):
        edit_image(image, {efi_volume.TOP_FILE: lambda one: one.with_body(bytes(32))})


@pytest.mark.parametrize(("attributes", "alignment"), [(0, 1), (0x08, 16), (0x10, 128), (0x38, 65536), (0x02, 1 << 17)])
def test_alignment_is_kept(attributes: int, alignment: int) -> None:
    body = section(efi_section.RAW, b"x" * 10)
    first, second = file(1, body), file(2, body, attributes=attributes)
    image = parse_image(volume(first, length=0x80000))
    held, = image.volumes[0][1].files
    other = efi_file.parse_file(second, 0, len(second), 0xFF)
    made = arrange(image.volumes[0][1], [held, other])
    again = parse_volume(build_volume(made))
    assert again.opaque is None
    assert (again.files[-1].at + again.files[-1].header_size) % alignment == 0
    assert again.files[-1].alignment == alignment


@pytest.mark.parametrize("what", ["twice", "none", "no program"])
def test_a_name_that_does_not_say_which_file_is_refused(what: str) -> None:
    body = joined(section(PE32, b"old"))
    data = volume(file(1, body), file(2 if what != "twice" else 1, body), file(3, ui("No program")))
    name = {"twice": 1, "none": 7, "no program": 3}[what]
    with pytest.raises(FormatError, match=r"more than one|no firmware file|must have one section"):
        edit_image(parse_image(data), {name_of(name): replace_section(PE32, b"new")})


@pytest.mark.parametrize("where", ["between", "behind", "checksum", "state"])
def test_a_volume_that_could_not_be_written_back_is_not_taken_apart(where: str) -> None:
    data = bytearray(small_image())
    second = parse_image(bytes(data)).volumes[0][1].files[1]
    at = {"between": second.end, "behind": len(data) - 1, "checksum": second.at + 0x10, "state": second.at + 0x17}
    assert where != "between" or second.end % 8
    data[at[where]] ^= 0x55
    image = parse_image(bytes(data))
    assert image.volumes[0][1].opaque
    assert edit_image(image, {}).raw == data
    with pytest.raises(FormatError, match="not taken apart"):
        build_volume(image.volumes[0][1])


def test_sections_that_could_not_be_written_back_are_refused() -> None:
    body = bytearray(joined(section(PE32, b"abc"), ui("Name")))
    body[7] = 1  # the byte between them
    refuses(parse_sections, bytes(body))
    data = volume(file(1, bytes(body)))
    assert [node.problem is not None for node in walk_all(data)] == [False, True]


@pytest.mark.parametrize("body", [
    guided(LZMA, b"not packed at all"), section(efi_section.VOLUME_IMAGE, b"no volume"),
    section(efi_section.DISPOSABLE, b"\xff\xff\xff"),
], ids=["packed", "volume", "sections"])  # fmt: skip
def test_what_is_broken_beside_an_edit_is_told_and_kept(body: bytes) -> None:
    data = volume(file(1, body), file(2, joined(section(PE32, b"old"))))
    assert [node.problem is None for node in walk_all(data)].count(False) == 1
    made = edit_image(parse_image(data), {name_of(2): replace_section(PE32, b"new!")})
    assert find_file(made, name_of(1)).body == body


def test_cut_anywhere() -> None:
    data = nested(small_image(["One"]))
    end = parse_image(data).volumes[0][1].used
    for cut in cuts(data[:end]):
        survives(walk_all, cut)
    inner = parse_sections(find_file(parse_image(data), name_of(9)).body)[0]
    for cut in cuts(inner.content):
        survives(lambda part: opened(inner.replace(content=part)), cut)
    for cut in cuts(build_sections([inner])):
        survives(parse_sections, cut)


def test_lies_in_every_number() -> None:
    data = nested(small_image(["One"]))
    outer = parse_image(data).volumes[0][1]
    file_at = outer.files[0].at
    section_at = file_at + efi_file.HEADER.size
    packed_at = section_at + 24
    places = [(efi_volume.HEADER, 0), (efi_volume.BLOCK, efi_volume.HEADER.size), (efi_file.HEADER, file_at),
              (efi_section.HEADER, section_at), (efi_section.GUID_HEADER, section_at + 4), (LZMA_HEADER, packed_at)]
    for record, at in places:
        for what, lie in mutations(record, data, at):
            survives(walk_all, lie, what)
            survives(walk_all, summed(lie, file_at), what)


def summed(data: bytes, file_at: int) -> bytes:
    """Return a volume with the checksums of its header and first file made true: lies that pass the first gate."""
    made = bytearray(data)
    made[0x32:0x34] = bytes(2)
    length = int.from_bytes(made[0x30:0x32], "little")
    if length % 2 == 0 and length <= len(made):
        made[0x32:0x34] = (-sum(memoryview(bytes(made[:length])).cast("H")) & 0xFFFF).to_bytes(2, "little")
    head = bytearray(made[file_at : file_at + 24])
    head[0x10] = head[0x11] = head[0x17] = 0
    made[file_at + 0x10] = -sum(head) & 0xFF
    return bytes(made)


def test_nesting_has_an_end() -> None:
    body = section(PE32, b"x")
    for _ in range(DEPTH_MAX + 2):
        body = section(efi_section.DISPOSABLE, body)
    problem = refuses(walk_all, volume(file(1, body)))
    assert "too deeply" in str(problem)
    with pytest.raises(FormatError, match="too deeply"):
        edit_image(parse_image(volume(file(2, section(PE32, b"x")), length=0x1000) + volume(file(1, body))),
                   {name_of(2): drop})


def test_a_bomb_is_not_unpacked() -> None:
    """64 MiB and a byte of zeros in some kilobytes; and a section that tells less than it holds."""
    honest = packed(bytes(1 << 20))
    lie = honest[:5] + ((64 << 20) + 1).to_bytes(8, "little") + honest[13:]
    one, = parse_sections(guided(LZMA, lie))
    with bounded(), with_memory(), pytest.raises(FormatError, match="too long"):
        opened(one)
    short, = parse_sections(guided(LZMA, honest[:5] + (100).to_bytes(8, "little") + honest[13:]))
    assert opened(short) == bytes(100)
    vast, = parse_sections(guided(LZMA, honest[:1] + (1 << 27).to_bytes(4, "little") + (1 << 21).to_bytes(8, "little")
                                  + honest[13:]))
    with pytest.raises(FormatError, match="cut short"):
        opened(vast)


def test_four_letters_are_no_volume() -> None:
    """A megabyte of signatures is looked through in time."""
    with bounded(2.0):
        refuses_slowly = pytest.raises(FormatError, match="no firmware volume")
        with refuses_slowly:
            parse_image(b"_FVH" * (1 << 18))
