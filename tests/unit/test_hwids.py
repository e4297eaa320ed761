"""The device tree of a UKI that fits the machine, and readers that nothing harms.

WITNESS: dtc makes the trees, ukify the tables; which one systemd-stub takes is asked in tests/vm/test_stub.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shim.errors import FormatError
from shim.formats import fdt, hwids
from shim.formats.fdt import root_compatible
from shim.formats.guid import guid_bytes
from shim.formats.hwids import chids_of, parse_hwids, select_devicetree
from shim.formats.pe import parse_pe
from shim.measure.hardware import chids_from
from shim.system.files import TreeFiles
from tests.builders import debian
from tests.builders.devicetree import devicetree, hardware_id, write_hwids
from tests.builders.uki import ADDON_STUB, make_uki, ukify
from tests.unit.hostile import cuts, mutations, survives

pytestmark = pytest.mark.tools
SMBIOS = {"sys_vendor": " Acme ", "product_family": "Rocket", "product_name": "0042 Pro", "product_sku": "",
          "board_vendor": "Acme", "board_name": "Böard"}
OURS = (hardware_id("Acme", "Rocket", "42 Pro", "", "Acme", "Böard"), hardware_id("Acme", "42 Pro"))


def test_chids_are_what_the_rule_says() -> None:
    """The field texts lose blanks around them and zeros before them; an empty one is hashed as such."""
    found = chids_of(SMBIOS, hashlib.sha256)
    assert len(found) == 9
    assert found[0] == guid_bytes(OURS[0])
    assert found[7] == guid_bytes(OURS[1])
    assert found[8] == guid_bytes(hardware_id("Acme", "Rocket"))


def test_a_real_machine_has_its_chids() -> None:
    """WITNESS: `fwupdtool hwids` on a real board, as systemd's src/test/test-chid.c quotes it."""
    maker, unset = "Micro-Star International Co., Ltd.", "To be filled by O.E.M."
    found = chids_of({
        "sys_vendor": maker, "product_family": unset, "product_name": "MS-7D70", "product_sku": unset,
        "board_vendor": maker, "board_name": "MPG X670E CARBON WIFI (MS-7D70)"}, hashlib.sha256)
    assert [found[at] for at in (0, 4, 5)] == [guid_bytes(text) for text in (
        "01e09b32-de05-56ca-b9d1-9486ad5f381d", "cad87a11-1813-507b-9aab-9a5f457b649c",
        "377c823d-60d1-55b0-9678-76cd2af9d086")]


def test_smbios_texts_are_files_of_sysfs(tmp_path: Path) -> None:
    for field, text in SMBIOS.items():
        if text:
            (tmp_path / field).write_text(f"{text}\n")
    assert chids_from(TreeFiles(str(tmp_path)), "", hashlib.sha256) == chids_of(SMBIOS, hashlib.sha256)


@pytest.mark.parametrize(("made", "expected"), [
    (("acme,rocket", "acme,soc"), "acme,rocket"), (("x",), "x"), ((), None), (("",), ""),
])  # fmt: skip
def test_the_root_says_what_it_is_for(made: tuple[str, ...], expected: str | None) -> None:
    assert root_compatible(devicetree(*made)) == expected
    assert root_compatible(devicetree(*made, more="#address-cells = <1>; serial = <1 2 3>;") + b"behind it") == expected


def test_a_tree_that_lies_is_an_error_or_says_nothing() -> None:
    good = devicetree("acme,rocket")
    for cut in cuts(good):
        with pytest.raises(FormatError):
            root_compatible(cut)
    for what, data in mutations(fdt.HEADER, good):
        survives(root_compatible, data, what)
    start = fdt.HEADER.parse(good)["off_dt_struct"]
    for at in range(start, start + 64):
        for value in (0, 1, 3, 4, 9, 0x7F, 0xFF):
            survives(root_compatible, good[:at] + bytes([value]) + good[at + 1 :], f"{at}={value}")
    with pytest.raises(FormatError, match="wrong magic"):
        root_compatible(b"\0" * 100)
    many = bytes.fromhex("00000004") * 5000
    head = fdt.HEADER.build(magic=fdt.MAGIC, totalsize=40 + len(many), off_dt_struct=40, off_dt_strings=40, version=17,
                            last_comp_version=16, size_dt_strings=0, size_dt_struct=len(many))
    with pytest.raises(FormatError, match="too many properties"):
        root_compatible(head + many)


def table(tmp_path: Path, rows: Mapping[str, Sequence[str]]) -> Path:
    for compatible, chids in rows.items():
        write_hwids(tmp_path / "hwids", compatible, chids)
    return tmp_path / "hwids"


def selected(uki: Path, chids: Sequence[bytes], profile: int = 0) -> str | None:
    data = uki.read_bytes()
    found = select_devicetree(parse_pe(data), data, profile, chids)
    if found is None:
        return None
    assert root_compatible(found[0].data(data)) == found[1]
    return found[1]


@pytest.fixture(scope="module")
def uki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UKI of two trees in its base, of which the second is for our machine, and another one in its profile.

    ukify joins neither `.dtbauto` nor `.hwids` of a profile: there they go under other names, changed afterwards.
    """
    folder = tmp_path_factory.mktemp("hwids")
    paths = {name: folder / f"{name}.dtb" for name in ("other,board", "acme,rocket", "acme,second")}
    for name, path in paths.items():
        path.write_bytes(devicetree(name))
    theirs = table(folder, {"other,board": [hardware_id("Other", "Board")], "acme,rocket": OURS[1:]})
    ukify("--hwids", str(write_hwids(folder / "own", "acme,second", OURS[:1])), "--output", str(folder / "table"),
          stub=ADDON_STUB)
    made = (folder / "table").read_bytes()
    own = next(section for section in parse_pe(made).sections if section.name == ".hwids")
    (folder / "second.hwids").write_bytes(own.data(made))
    ukify("--profile", "ID=second", "--section", f".splash:@{folder / 'second.hwids'}", "--section",
          f".dtb:@{paths['acme,second']}", "--output", str(folder / "second"), stub=ADDON_STUB)
    whole = make_uki(folder / "uki.efi", debian.kernel().image, [], "quiet", more=[
        "--devicetree-auto", str(paths["other,board"]), "--devicetree-auto", str(paths["acme,rocket"]),
        "--hwids", str(theirs), "--profile", "ID=first", "--join-profile", str(folder / "second")])
    renamed = whole.read_bytes()
    for old, new in ((b".splash\0", b".hwids\0\0"), (b".dtb\0\0\0\0", b".dtbauto")):
        assert renamed.count(old, 0, 4096) == 1
        renamed = renamed.replace(old, new, 1)
    whole.write_bytes(renamed)
    return whole


def test_the_tree_that_fits_is_taken(uki: Path) -> None:
    ours = chids_of(SMBIOS, hashlib.sha256)
    assert selected(uki, ours) == "acme,rocket"
    assert selected(uki, ours, 1) == "acme,second"
    assert selected(uki, ours[7:], 1) == "acme,rocket"
    assert selected(uki, [guid_bytes(hardware_id("Other", "Board"))]) == "other,board"
    assert selected(uki, chids_of({}, hashlib.sha256)) is None
    assert selected(uki, ()) is None


def test_a_table_that_lies_fits_nothing(uki: Path) -> None:
    data = uki.read_bytes()
    section = next(section for section in parse_pe(data).sections if section.name == ".hwids")
    good = bytes(section.data(data))
    assert [device.compatible for device in parse_hwids(good)] == ["acme,rocket", "other,board"]
    for cut in cuts(good):
        survives(parse_hwids, cut)
    for what, changed in mutations(hwids.DEVICE, good):
        survives(parse_hwids, changed, what)
    with pytest.raises(FormatError, match="unknown type"):
        parse_hwids(b"\xff" * 100)
    with pytest.raises(FormatError, match="has no end"):
        parse_hwids(hwids.DEVICE.build(descriptor=0x1000001C, chid=b"x" * 16, compatible_offset=60) + b"x" * 40)
    broken = data[: section.raw_offset] + b"\xff" * 32 + data[section.raw_offset + 32 :]
    assert select_devicetree(parse_pe(broken), broken, 0, chids_of(SMBIOS, hashlib.sha256)) is None
