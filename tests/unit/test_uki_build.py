"""A UKI put together here reads as one that systemd's ukify made."""

from __future__ import annotations

from pathlib import Path

import pefile
import pytest

from shim.errors import FormatError
from shim.formats.pe import parse_pe
from shim.formats.uki import split_uki
from shim.formats.uki_build import build_uki
from tests.builders.debian import kernel, package
from tests.builders.signing import small_pe
from tests.builders.uki import OS_RELEASE, STUB, SUITE, make_uki
from tests.unit.hostile import cuts, refuses

INITRD = b"an initrd" * 1000


def stub() -> bytes:
    return (package("systemd-boot-efi", suite=SUITE) / STUB).read_bytes()


@pytest.mark.tools
def test_its_parts_are_those_that_ukify_puts_in(tmp_path: Path) -> None:
    """WITNESS: ukify of Debian trixie, and pefile of PyPI for the layout."""
    linux = kernel().image.read_bytes()
    made = build_uki(stub(), {".linux": linux, ".osrel": OS_RELEASE.encode(), ".cmdline": b"quiet", ".initrd": INITRD})
    (tmp_path / "initrd").write_bytes(INITRD)
    theirs = make_uki(tmp_path / "theirs.efi", kernel().image, [tmp_path / "initrd"], "quiet").read_bytes()
    mine, other = split_uki(made), split_uki(theirs)
    for name in ("linux", "initrd", "cmdline", "osrel", "sbat"):
        held, wanted = getattr(mine, name), getattr(other, name)
        assert name == "sbat" or bytes(held).rstrip(b"\n") == bytes(wanted).rstrip(b"\n"), name
    read = pefile.PE(data=made)
    assert not read.get_warnings()
    optional = read.OPTIONAL_HEADER
    end = 0
    for section in read.sections:
        assert section.VirtualAddress % optional.SectionAlignment == 0
        assert section.VirtualAddress >= end
        assert section.PointerToRawData % optional.FileAlignment == section.SizeOfRawData % optional.FileAlignment == 0
        end = section.VirtualAddress + section.Misc_VirtualSize
    assert end <= optional.SizeOfImage < end + optional.SectionAlignment
    assert len(made) == max(section.PointerToRawData + section.SizeOfRawData for section in read.sections)


@pytest.mark.tools
def test_a_stub_that_has_the_section_or_no_room() -> None:
    with pytest.raises(FormatError, match="of this name"):
        build_uki(stub(), {".sbat": b"x"})
    with pytest.raises(FormatError, match="no room"):
        build_uki(stub(), {f".s{number}": b"x" for number in range(100)})
    with pytest.raises(FormatError, match="not empty"):
        build_uki(stub(), {".linux": b""})
    with pytest.raises(FormatError, match="signed"):
        build_uki((package("shim-signed") / "usr/lib/shim/shimx64.efi.signed").read_bytes(), {".linux": b"x"})


def test_a_stub_cut_anywhere() -> None:
    data = small_pe((0x200, 0x400))
    for cut in cuts(data[: parse_pe(data).headers_end]):
        refuses(lambda one: build_uki(one, {".linux": b"x"}), cut)
