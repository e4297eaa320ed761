"""Flash with slots: the map is respected, an update is signed, and a cut at any moment leaves a slot that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from initramfs.rom_coreboot import build_firmware
from shim.cli import main
from shim.errors import FormatError, VerifyError
from shim.formats import fmap
from shim.formats.fmap import Region, find_map, parse_map, write_region
from shim.formats.manifest import Manifest, ManifestFile
from shim.formats.rom_update import HEADER, Update, board_of, build_update, parse_update
from shim.formats.slot import SLOTS, TRAILER, Slot, build_slot, chosen, parse_slot, read_slots
from tests.builders.detached import Signer, make_signer
from tests.builders.flash import BLOCK, BOARD, MAP_AT, REGIONS, SLOT_SIZE, flash_image, flash_map
from tests.unit.hostile import cuts, mutations, refuses, survives

OLD, NEW = b"old payload" * 300, b"new payload" * 700


@pytest.fixture
def image() -> bytes:
    return flash_image(build_slot(OLD, 5, BOARD, SLOT_SIZE))


def test_the_regions_of_a_map(image: bytes) -> None:
    found = find_map(image)
    assert {one.name: (one.offset, one.size, one.flags) for one in found.regions} == REGIONS
    assert (found.at, found.name) == (MAP_AT, "FLASH")
    assert found.region("LOCKED").flag_names == ("read-only",)
    for name in ("NONE", ""):
        with pytest.raises(FormatError, match="not just one region"):
            found.region(name)


@pytest.mark.tools
def test_the_map_of_coreboots_own_tool() -> None:
    """WITNESS: cbfstool layout, of the coreboot that was built."""
    firmware = build_firmware()
    told = subprocess.run([firmware / "cbfstool", firmware / "coreboot.rom", "layout", "-w"], check=True, text=True,
                          capture_output=True).stdout
    found = find_map((firmware / "coreboot.rom").read_bytes())
    for region in found.regions:
        assert f"'{region.name}' (" in told or region.name == "FLASH"
        if region.name != "FLASH":
            line = next(line for line in told.splitlines() if line.startswith(f"'{region.name}' ("))
            assert f"size {region.size}, offset {region.offset})" in line
    assert {"BOOTSHIM_A", "BOOTSHIM_B", "COREBOOT", "FMAP"} < {region.name for region in found.regions}


def test_nothing_outside_of_a_region_is_written(image: bytes) -> None:
    region = find_map(image).region(SLOTS[1])
    made = write_region(image, region, b"x" * region.size)
    assert made[: region.offset] + made[region.end :] == image[: region.offset] + image[region.end :]
    assert made[region.offset : region.end] == b"x" * region.size
    for bad, data, reason in (
        (region, b"x" * (region.size - 1), "not the size"), (region, b"x" * (region.size + 1), "not the size"),
        (region.replace(offset=region.offset + 1), b"x" * region.size, "no such region"),
        (find_map(image).region("LOCKED"), b"x" * BLOCK, "read-only"),
        (find_map(image).region("FMAP"), b"x" * BLOCK, "has the FMAP in it"),
        (Region(name="OUTSIDE", offset=len(image), size=1), b"x", "no such region"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=reason):
            write_region(image, bad, data)


def test_a_map_that_lies(image: bytes) -> None:
    data = flash_map()
    for record, at in ((fmap.HEADER, 0), (fmap.AREA, fmap.HEADER.size)):
        for what, lie in mutations(record, data, at):
            survives(find_map, image[:MAP_AT] + lie + image[MAP_AT + len(lie) :], what)
    for cut in cuts(data):
        refuses(lambda one: parse_map(one, 0), cut)
    refuses(find_map, image + b"\0")
    refuses(find_map, bytes(1000))
    with_string = b"__FMAP__ in a program".ljust(MAP_AT, b"\0") + image[MAP_AT:]
    assert find_map(with_string).at == MAP_AT


def test_a_slot_is_whole_or_nothing() -> None:
    whole = build_slot(NEW, 7, BOARD, SLOT_SIZE)
    assert len(whole) == SLOT_SIZE
    assert parse_slot(whole) == Slot(version=7, board=BOARD, payload=NEW)
    for at in (0, len(NEW) - 1, *range(SLOT_SIZE - TRAILER.size, SLOT_SIZE)):
        refuses(parse_slot, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for what, lie in mutations(TRAILER, whole, SLOT_SIZE - TRAILER.size):
        if lie != whole:
            refuses(parse_slot, lie, what)
    for cut in cuts(whole[-TRAILER.size :]):
        refuses(parse_slot, cut)
    with pytest.raises(FormatError, match="does not fit"):
        build_slot(bytes(SLOT_SIZE - TRAILER.size + 1), 1, BOARD, SLOT_SIZE)
    with pytest.raises(FormatError, match="too long"):
        build_slot(NEW, 1, "b" * 37, SLOT_SIZE)


def test_which_slot_runs() -> None:
    def runs(first: int | None, second: int | None) -> str | None:
        slots = [b"" if version is None else build_slot(NEW, version, BOARD, SLOT_SIZE) for version in (first, second)]
        return chosen(read_slots(flash_image(*slots)))

    assert [runs(1, None), runs(None, 1), runs(2, 1), runs(1, 2), runs(1, 1)] == [
        SLOTS[0], SLOTS[1], SLOTS[0], SLOTS[1], SLOTS[0]]
    assert runs(None, None) is None


@pytest.mark.parametrize("order", ["upwards", "downwards"])
def test_power_may_go_at_any_moment(image: bytes, order: str) -> None:
    """Each erase block is first erased, then written: after each of these steps, a whole slot is there, old or new."""
    manifest = Manifest(version=6, files=(ManifestFile(name=f"/{BOARD}.payload", size=1, sha256=bytes(32)),))
    from shim.cli.rom_update import updated

    for before in (image, updated(image, manifest.replace(version=6), NEW)[1]):
        now = read_slots(before)[chosen(read_slots(before)) or ""]
        assert isinstance(now, Slot)
        target, after = updated(before, manifest.replace(version=now.version + 1), NEW + b"er")
        region = find_map(before).region(target)
        flash, seen = bytearray(before), set()
        starts = list(range(region.offset, region.end, BLOCK))
        for start in starts if order == "upwards" else reversed(starts):
            for data in (b"\xff" * BLOCK, after[start : start + BLOCK // 2] + b"\xff" * (BLOCK // 2),
                         after[start : start + BLOCK]):
                flash[start : start + BLOCK] = data
                slots = read_slots(bytes(flash))
                name = chosen(slots)
                assert name is not None
                found = slots[name]
                assert isinstance(found, Slot)
                assert found.payload in (now.payload, NEW + b"er")
                seen.add(found.version)
        assert bytes(flash) == after
        assert seen == {now.version, now.version + 1}


def test_another_board_and_an_older_version_are_refused(image: bytes) -> None:
    from shim.cli.rom_update import updated

    row = ManifestFile(name=f"/{BOARD}.payload", size=1, sha256=bytes(32))
    for manifest, reason in ((Manifest(version=5, files=(row,)), "not newer"),
                             (Manifest(version=4, files=(row,)), "not newer"),
                             (Manifest(version=6, files=(row.replace(name="/toaster.payload"),)), "another board")):
        with pytest.raises(VerifyError, match=reason):
            updated(image, manifest, NEW)
    with pytest.raises(FormatError, match="no slot of the image is whole"):
        updated(flash_image(), Manifest(version=6, files=(row,)), NEW)
    for names in ((), ("/a.payload", "/b.payload"), ("/a.bin",), ("/a/b.payload",)):
        with pytest.raises(FormatError, match="lists one file"):
            board_of(Manifest(version=1, files=tuple(row.replace(name=name) for name in names)))


def test_slots_that_overlap_are_not_written(image: bytes) -> None:
    from shim.cli.rom_update import updated

    lie = flash_map({**REGIONS, SLOTS[1]: (SLOT_SIZE // 2, SLOT_SIZE, 0)})
    row = ManifestFile(name=f"/{BOARD}.payload", size=1, sha256=bytes(32))
    with pytest.raises(FormatError, match="overlap"):
        updated(image[:MAP_AT] + lie + image[MAP_AT + len(lie) :], Manifest(version=6, files=(row,)), NEW)


def test_a_copy_of_the_map_in_a_payload_is_passed_over(image: bytes) -> None:
    made = image[:64] + flash_map() + image[64 + len(flash_map()) :]
    assert find_map(made).at == MAP_AT


def test_an_update_file_that_lies() -> None:
    update = Update(manifest=b"manifest", signature=b"signature", suffix=".sig", payload=b"payload")
    data = build_update(update)
    assert parse_update(data) == update
    for cut in cuts(data):
        refuses(parse_update, cut)
    refuses(parse_update, data + b"\0")
    for what, lie in mutations(HEADER, data):
        if lie != data:
            survives(parse_update, lie, what)


class Place:
    """A folder with a payload, a policy that trusts one signer, and the chip's image."""

    def __init__(self, folder: Path, tool: str, image: bytes) -> None:
        (folder / "keys").mkdir()
        self.folder, self.signer = folder, make_signer(folder / "keys", tool)
        (folder / "public").write_bytes(self.signer.public)
        (folder / f"{BOARD}.payload").write_bytes(NEW)
        (folder / "read.rom").write_bytes(image)
        (folder / "my.toml").write_text(
            f'[policy.keys]\n{self.signer.kind} = ["public"]\n[policy.manifest]\nrequire = ["{self.signer.kind}"]\n'
            'path = "/manifest.toml"\nminimum_version = 3\n[policy.kernel]\nrequire = ["manifest"]\n')

    def prepare(self, version: int, capsys: pytest.CaptureFixture[str], signer: Signer | None = None) -> Path:
        capsys.readouterr()
        assert main(["manifest", "--root", str(self.folder), "--version", str(version), f"{BOARD}.payload"]) == 0
        text = capsys.readouterr().out.encode()
        (self.folder / "update.toml").write_bytes(text)
        (self.folder / f"update.toml{self.signer.suffix}").write_bytes((signer or self.signer).sign(text))
        output = self.folder / "new.update"
        assert main(["rom", "update", "make", str(self.folder / "update.toml"), "--root", str(self.folder),
                     "--output", str(output)]) == 0
        return output

    def give(self, step: str, update: Path, *more: str) -> int:
        return main(["rom", "update", step, str(update), *more, "--policy", str(self.folder / "my.toml")])


@pytest.mark.tools
@pytest.mark.parametrize("tool", ["minisign", "ssh ed25519"])
def test_the_way_of_an_update(tool: str, tmp_path: Path, image: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path, tool, image)
    update, output = place.prepare(6, capsys), tmp_path / "write.rom"
    assert place.give("check", update) == 0
    assert place.give("apply", update, str(tmp_path / "read.rom"), "--output", str(output)) == 0
    assert f"flashrom -p internal --fmap -i BOOTSHIM_B -N -w {output}" in capsys.readouterr().out
    made = output.read_bytes()
    assert made[:SLOT_SIZE] + made[2 * SLOT_SIZE :] == image[:SLOT_SIZE] + image[2 * SLOT_SIZE :]
    assert parse_slot(made[SLOT_SIZE : 2 * SLOT_SIZE]) == Slot(version=6, board=BOARD, payload=NEW)
    assert main(["rom", "regions", str(output)]) == 0
    told = capsys.readouterr().out
    assert "BOOTSHIM_B  version 6 for coreboot-q35, runs" in told
    assert "version 5 for coreboot-q35\n" in told


@pytest.mark.tools
def test_what_is_not_trusted_is_not_applied(
    tmp_path: Path, image: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, "minisign", image)
    output = tmp_path / "write.rom"
    (tmp_path / "other").mkdir()
    stranger = make_signer(tmp_path / "other", "minisign")
    good = parse_update(place.prepare(6, capsys).read_bytes())
    made = {
        "foreign": place.prepare(6, capsys, stranger).read_bytes(),
        "payload": build_update(good.replace(payload=good.payload[:-1] + b"!")),
        "manifest": build_update(good.replace(manifest=good.manifest.replace(b"version = 6", b"version = 9"))),
        "below the policy's minimum": place.prepare(2, capsys).read_bytes(),
    }
    for what, data in made.items():
        (tmp_path / "bad.update").write_bytes(data)
        for step, more in (("check", ()), ("apply", (str(tmp_path / "read.rom"), "--output", str(output)))):
            assert place.give(step, tmp_path / "bad.update", *more) == 1, what
    told = capsys.readouterr().out
    assert told.count("NOT trusted") == 4
    assert told.count("too old: version 2, at least 3") == 2
    assert told.count("the payload is not what the manifest lists") == 2
    assert place.give("apply", place.prepare(5, capsys), str(tmp_path / "read.rom"), "--output", str(output)) == 1
    assert not output.exists()
    assert "not newer" in capsys.readouterr().out
