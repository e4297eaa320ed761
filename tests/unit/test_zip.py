"""ZIP archives: what zip and Python pack is read, and every second way to see an archive is refused."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import FormatError
from shim.formats.zip import CENTRAL, DESCRIPTOR, END, LOCAL, Member, parse_zip, read_member
from tests.builders.ospkg import make_archive
from tests.unit.hostile import bounded, cuts, mutations, refuses, survives, with_memory

FILES = {"boot/kernel": bytes(range(256)) * 40, "boot/empty": b"", "manifest.json": b"{}" * 20}
LIMIT = 1 << 20


class Part(NamedTuple):
    """A member as it is packed by hand, each number free to lie."""

    name: bytes = b"a"
    data: bytes = b"content"
    method: int = 0
    flags: int = 0
    packed: bytes | None = None
    local: Mapping[str, int] = MappingProxyType({})
    central: Mapping[str, int] = MappingProxyType({})
    local_name: bytes | None = None
    behind: bytes = b""


def pack(*parts: Part, prefix: bytes = b"", gap: bytes = b"", tail: bytes = b"", **end: int) -> bytes:
    body, rows = prefix, b""
    for part in parts:
        packed = part.data if part.packed is None else part.packed
        plain = {"version_needed": 20, "flags": part.flags, "method": part.method, "crc32": zlib.crc32(part.data),
                 "compressed_size": len(packed), "uncompressed_size": len(part.data), "name_size": len(part.name)}
        at, local = len(body), part.name if part.local_name is None else part.local_name
        body += LOCAL.build(signature=b"PK\3\4", **{**plain, "name_size": len(local), **part.local})
        body += local + packed + part.behind
        rows += CENTRAL.build(signature=b"PK\1\2", **{**plain, "local_offset": at, **part.central}) + part.name
    body += gap
    count = len(parts)
    fields = {"entries": count, "entries_here": count, "directory_size": len(rows), "directory_offset": len(body)}
    return body + rows + END.build(signature=b"PK\5\6", **{**fields, **end}) + tail


def deflate(data: bytes) -> bytes:
    running = zlib.compressobj(9, zlib.DEFLATED, -15)
    return running.compress(data) + running.flush()


def unpack(data: bytes) -> dict[str, bytes]:
    return {one.name: bytes(read_member(data, one, LIMIT)) for one in parse_zip(data)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_archive(tmp_path_factory.mktemp("zip"), FILES)


@pytest.mark.tools
@pytest.mark.parametrize("options", [(), ("-0",), ("-9",), ("-",), ("-", "-0"), ("-D",)])
def test_what_zip_packs_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert unpack(make_archive(tmp_path, FILES, *options)) == FILES


@pytest.mark.tools
def test_directories_are_members(tmp_path: Path) -> None:
    make_archive(tmp_path, FILES)
    subprocess.run(["zip", "-q", "-r", "all.zip", "boot"], cwd=tmp_path, check=True)
    data = (tmp_path / "all.zip").read_bytes()
    assert {one.name: one.is_directory for one in parse_zip(data)} == {
        "boot/": True, "boot/kernel": False, "boot/empty": False}


@given(st.dictionaries(st.text("abc/xyz.", min_size=1).filter(
    lambda name: not {"", ".", ".."}.intersection(name.split("/"))), st.binary(max_size=3000), min_size=1, max_size=5),
    st.booleans())
def test_what_python_packs_is_read(files: dict[str, bytes], stored: bool) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as packer:
        for name, data in files.items():
            packer.writestr(name, data)
    assert unpack(buffer.getvalue()) == files


def test_large_members_come_out_whole() -> None:
    data = b"".join(bytes([number % 251]) * (number % 777) for number in range(4000))
    whole = pack(Part(data=data, packed=deflate(data), method=8))
    assert bytes(read_member(whole, parse_zip(whole)[0], len(data))) == data
    assert "too large" in str(refuses(lambda given: read_member(given, parse_zip(given)[0], len(data) - 1), whole))


def test_a_stored_member_is_not_copied() -> None:
    whole = pack(Part(data=b"x" * 1000))
    view = read_member(whole, parse_zip(whole)[0], LIMIT)
    assert (view.obj is whole, view.readonly) == (True, True)


def test_a_comment_is_let_be() -> None:
    assert unpack(pack(Part(), tail=b"a comment", comment_size=9)) == {"a": b"content"}


BEHIND = {"flags": 8, "local": {"crc32": 0, "compressed_size": 0, "uncompressed_size": 0}}
TRUTH = DESCRIPTOR.build(crc32=zlib.crc32(b"content"), compressed_size=7, uncompressed_size=7)
SOUND = {
    "sizes behind": pack(Part(**BEHIND, behind=TRUTH)),  # type: ignore[arg-type]
    "sizes behind, with their signature": pack(Part(**BEHIND, behind=b"PK\7\x08" + TRUTH)),  # type: ignore[arg-type]
    "as Go's archive/zip packs": pack(Part(name=b"boot/", data=b""), Part(
        **BEHIND, behind=b"PK\7\x08" + DESCRIPTOR.build(crc32=zlib.crc32(b"content"), uncompressed_size=7,
                                                        compressed_size=len(deflate(b"content"))),
        method=8, packed=deflate(b"content"))),  # type: ignore[arg-type]
    "unix regular file": pack(Part(central={"version_made_by": 0x314, "external_attributes": 0o100644 << 16})),
}


@pytest.mark.parametrize("case", SOUND)
def test_sound_archives_are_read(case: str) -> None:
    assert unpack(SOUND[case])["a"] == b"content"


LIE = DESCRIPTOR.build(crc32=zlib.crc32(b"content"), compressed_size=7, uncompressed_size=8)
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no end of directory"),
    "no members": (pack(), "wrong count of members"),
    "the same name twice": (pack(Part(), Part()), "a name twice"),
    "a file and a directory of one name": (pack(Part(), Part(name=b"a/", data=b"")), "a name twice"),
    "overlapping members": (pack(Part(data=b"x" * 100), Part(name=b"b", central={"local_offset": 20})), "overlap"),
    "one body for two members": (pack(Part(), Part(name=b"b", central={"local_offset": 0})), "overlap"),
    "bytes before the first member": (pack(Part(central={"local_offset": 4}), prefix=b"#!sh"), "leave a gap"),
    "bytes before the directory": (pack(Part(), gap=b"hidden"), "in no member"),
    "bytes behind the end": (pack(Part(), tail=b"x"), "does not end with the file"),
    "a second end in the comment": (pack(Part(), tail=b"PK\5\6" + bytes(40), comment_size=44), "ZIP"),
    "a longer directory": (pack(Part(), directory_size=99), "does not end where its end begins"),
    "more entries than there are": (pack(Part(), entries=2, entries_here=2), "cut short|no header"),
    "fewer entries than there are": (pack(Part(), Part(name=b"b"), entries=1, entries_here=1), "longer than its"),
    "several parts": (pack(Part(), disk=1), "several parts"),
    "several parts by an entry": (pack(Part(central={"disk_start": 1})), "several parts"),
    "zip64": (pack(Part(central={"compressed_size": 0xFFFFFFFF})), "ZIP64"),
    "encryption": (pack(Part(flags=1)), "flags"),
    "masked headers": (pack(Part(flags=1 << 13)), "flags"),
    "bzip2": (pack(Part(method=12)), "packed in a way"),
    "a newer version": (pack(Part(local={"version_needed": 45}, central={"version_needed": 45})), "newer reader"),
    "another name in the local header": (pack(Part(local_name=b"b")), "two names"),
    "another method in the local header": (pack(Part(local={"method": 8})), "contradict"),
    "another size in the local header": (pack(Part(local={"uncompressed_size": 8})), "contradict"),
    "no sizes, and none behind": (pack(Part(local={"uncompressed_size": 0})), "contradict"),
    "no local header": (pack(Part()).replace(b"PK\3\4", b"PK\3\5"), "no local header"),
    "a lie behind the bytes": (pack(Part(**BEHIND, behind=LIE)), "data descriptor contradicts"),  # type: ignore[arg-type]
    "two sizes of a stored member": (pack(Part(central={"uncompressed_size": 8}, local={"uncompressed_size": 8})),
                                     "two sizes"),
    "a directory that holds something": (pack(Part(name=b"a/")), "two sizes"),
    "a symbolic link": (pack(Part(central={"version_made_by": 0x314, "external_attributes": 0o120777 << 16})),
                        "not a regular file"),
    "a device": (pack(Part(central={"version_made_by": 0x314, "external_attributes": 0o060600 << 16})),
                 "not a regular file"),
    **{f"the name {name!r}": (pack(Part(name=name)), "name") for name in (
        b"/etc/passwd", b"../a", b"a/../../b", b"a/./b", b"a//b", b".", b"..", b"/", b"a\\b", b"C:/a", b"a\0b", b"a\nb",
        b"\xff", b"a" * 1025)},
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_seen_in_two_ways_is_refused(case: str) -> None:
    data, why = REFUSED[case]
    with pytest.raises(FormatError, match=why):
        parse_zip(data)


BROKEN: dict[str, tuple[Part, str]] = {
    "another CRC-32": (Part(central={"crc32": 1}, local={"crc32": 1}), "wrong CRC-32"),
    "no deflate at all": (Part(method=8, packed=b"\xff" * 7), "not deflate"),
    "a deflate stream cut short": (Part(data=b"x" * 5000, method=8, packed=deflate(b"x" * 5000)[:-2]), "cut short"),
    "a longer deflate stream": (Part(data=b"x" * 5000, method=8, packed=deflate(b"x" * 6000)), "longer than its size"),
    "a shorter deflate stream": (Part(data=b"x" * 5000, method=8, packed=deflate(b"x" * 4000)), "cut short"),
    "bytes behind a deflate stream": (Part(method=8, packed=deflate(b"content") + b"x"), "behind its deflate"),
    "much behind a deflate stream": (Part(method=8, packed=deflate(b"content") + bytes(1 << 19)), "behind its deflate"),
    "an empty deflate stream": (Part(method=8, packed=b""), "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_member_that_is_not_what_it_says_is_refused(case: str) -> None:
    part, why = BROKEN[case]
    data = pack(part)
    with pytest.raises(FormatError, match=why):
        read_member(data, parse_zip(data)[0], LIMIT)


def test_a_bomb_takes_no_memory() -> None:
    """100 MB in 100 kB, which says that it is 10 bytes, and one that says the truth, above the limit."""
    packed = deflate(bytes(100 << 20))
    for part in (Part(data=b"0123456789", method=8, packed=packed),
                 Part(method=8, packed=packed, central={"uncompressed_size": 100 << 20},
                      local={"uncompressed_size": 100 << 20})):
        data = pack(part)
        member, = parse_zip(data)
        with with_memory(), bounded(0.5, 4 << 20), pytest.raises(FormatError):
            read_member(data, member, 50 << 20)


def whole(data: bytes) -> tuple[Member, ...]:
    members = parse_zip(data)
    for member in members:
        read_member(data, member, LIMIT)
    return members


@pytest.mark.tools
def test_cut_anywhere_it_is_refused(archive: bytes) -> None:
    for cut in cuts(archive):
        refuses(whole, cut)


@pytest.mark.tools
@pytest.mark.parametrize(("record", "where"), [
    (END, lambda data: data.rindex(b"PK\5\6")), (CENTRAL, lambda data: data.index(b"PK\1\2")),
    (LOCAL, lambda data: data.index(b"PK\3\4")),
])  # fmt: skip
def test_every_number_may_lie(archive: bytes, record: object, where: Callable[[bytes], int]) -> None:
    at = where(archive)
    assert isinstance(record, type(END))
    for what, data in mutations(record, archive, at):
        survives(whole, data, what)
        with_python = zipfile.is_zipfile(io.BytesIO(data))
        if not with_python:  # what Python cannot even find, we must not read
            refuses(whole, data, what)


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    survives(whole, noise)
    survives(whole, noise + struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, 1, 1, 46, max(len(noise) - 46, 0), 0))
