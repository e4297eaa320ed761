"""SBAT: rows and levels as shim reads them, images below the level refused, whatever else speaks for them.

WITNESS: shim 16.1 of Debian bookworm (.sbat, .sbatlevel), systemd-stub 257 and ukify of trixie; objcopy.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from shim.errors import ConfigError
from shim.formats.pe import SECTION_HEADER, parse_pe
from shim.formats.sbat import (
    LEVEL_SECTION,
    ROWS_MAX,
    SIZE_MAX,
    image_sbat,
    parse_level,
    parse_level_section,
    parse_sbat,
)
from shim.model import Role, Verdict
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from tests.builders.debian import kernel, package
from tests.builders.signing import Signing, identity, key, signed_pe, small_pe
from tests.builders.uki import STUB, SUITE, make_uki
from tests.unit.hostile import bounded, cuts, mutations, refuses, survives, with_memory
from tests.unit.judging import judge

FIRST = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
ROWS = FIRST + b"boot,3,The makers,boot,6.1,https://boot.example\nboot.debian,1,Debian,boot,6.1-2,https://debian.org\n"
LEVEL = b"sbat,1,2025021800\nshim,4\nboot,3\n"
UNSIGNED = {"require": ["unsigned"]}


def image(sbat: bytes | None, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PE image with a section .sbat, and others."""
    parts = [*([] if sbat is None else [(b".sbat", sbat)]), *more]
    pe = bytearray(small_pe([max(-(-len(data) // 0x200) * 0x200, 0x200) for _, data in parts]))
    at = parse_pe(pe).headers_end - len(parts) * SECTION_HEADER.size
    raw_at = 0x200
    for number, (name, data) in enumerate(parts):
        header = at + number * SECTION_HEADER.size
        struct.pack_into("<8sI", pe, header, name, len(data))
        size = struct.unpack_from("<I", pe, header + 16)[0]
        pe[raw_at : raw_at + size] = data.ljust(size, b"\0")
        raw_at += size
    return bytes(pe)


def rules(level: bytes = LEVEL, *, role: str = "kernel", files: Mapping[str, bytes] | None = None,
          **rule: object) -> Policy:  # fmt: skip
    held = {"level": level, **(files or {})}
    return parse_policy({"sbat": list(held), role: {**UNSIGNED, **rule}}, held.__getitem__)


def verdict(data: bytes, level: bytes = LEVEL, role: Role = Role.KERNEL, **rule: object) -> Verdict:
    return judge(data, rules(level, role=role.value, **rule), role)


def test_the_rows_of_an_image() -> None:
    found = image_sbat(parse_pe(image(ROWS)), image(ROWS))
    assert [(row.component, row.generation, row.version) for row in found] == [
        ("sbat", 1, "1"), ("boot", 3, "6.1"), ("boot.debian", 1, "6.1-2"),
    ]  # fmt: skip
    assert found[2].as_dict() == {
        "component": "boot.debian", "generation": 1, "vendor": "Debian", "package": "boot", "version": "6.1-2",
        "url": "https://debian.org",
    }  # fmt: skip
    assert parse_sbat(ROWS.replace(b"\n", b"\r\n")) == parse_sbat(b"\xef\xbb\xbf\n" + ROWS + b"\n\0\0") == found
    assert parse_sbat(b"a,1,b,c,d,https://e/f,g")[0].url == "https://e/f,g"
    assert image_sbat(parse_pe(small_pe()), small_pe()) == ()


def test_a_part_below_the_level_is_refused_whatever_else_speaks_for_it() -> None:
    root = identity("Root", key("p256"), ca=True)
    old = signed_pe(image(ROWS.replace(b"boot,3", b"boot,2")), Signing(root))
    good = signed_pe(image(ROWS), Signing(root))
    table = {
        "anchors": ["root"], "sbat": ["level"],
        "kernel": {
            "require": ["sha256", "authenticode", "unsigned"], "sha256": [hashlib.sha256(old).hexdigest()],
        },
    }  # fmt: skip
    policy = parse_policy(table, {"root": root.der, "level": LEVEL}.__getitem__)
    told = judge(old, policy)
    assert (told.accepted, told.rule) == (False, "sbat")
    assert told.reason == "its SBAT component boot is of generation 2: the policy demands 3 at least"
    assert judge(good, policy).reason == "signed by Root, which is an anchor itself (SHA-256)"


@pytest.mark.parametrize("found", [1, 2, 3, 4, 65535])
@pytest.mark.parametrize("demanded", [1, 2, 3, 4, 65535])
def test_generations_are_numbers(found: int, demanded: int) -> None:
    data = image(ROWS.replace(b"boot,3", b"boot,%d" % found))
    assert verdict(data, b"sbat,1,2025021800\nboot,%d\n" % demanded).accepted == (found >= demanded)


def test_only_components_of_the_same_name_are_compared() -> None:
    for level in (b"boot.debian.x,9", b"boo,9", b"Boot,9", b"boot.debian,1"):
        assert verdict(image(ROWS), b"sbat,1,2025021800\n" + level).accepted
    assert "boot.debian is of generation 1" in verdict(image(ROWS), b"sbat,1,2025021800\nboot.debian,2").reason
    assert "component sbat is of generation 1" in verdict(image(ROWS), b"sbat,2,2025021800").reason


def test_several_levels_demand_what_each_demands() -> None:
    later = b"sbat,1,2026010100\nboot,2\nboot.debian,2\n"
    joined = rules(files={"later": later}).sbat
    assert joined is not None
    assert (joined.date, joined.generations) == ("2026010100", {"sbat": 1, "shim": 4, "boot": 3, "boot.debian": 2})


def test_an_image_without_sbat() -> None:
    bare, elf = image(None, (b".text", b"x")), b"\x7fELF" + bytes(100)
    for data in (bare, elf, b"", b"MZ", b"MZ" + bytes(600)):
        assert verdict(data).accepted
        assert verdict(data, sbat="optional").accepted
        told = verdict(data, sbat="required")
        assert (told.rule, told.reason) == ("sbat", "it has no SBAT, which the policy requires")
    assert verdict(image(ROWS), sbat="required").accepted


@pytest.mark.parametrize(
    ("sbat", "reason"),
    [
        (b"", "no row"),
        (b"\n\n", "no row"),
        (b"boot,3\n", "too few (line=1, expected=6, found=2)"),
        (FIRST + b"boot,3,,boot,6,url\n", "empty column or too few (line=2"),
        (FIRST + b"boot,0,m,b,6,url\n", "generation is not a number from 1 to 65535 (line=2, found=0)"),
        (FIRST + b"boot,65536,m,b,6,url\n", "not a number from 1"),
        (FIRST + b"boot,-1,m,b,6,url\n", "not a number from 1"),
        (FIRST + b"boot, 9,m,b,6,url\n", "not a number from 1"),
        (FIRST + b"boot,9x,m,b,6,url\n", "not a number from 1"),
        (FIRST + "boot,٣,m,b,6,url\n".encode(), "not a number from 1"),
        (FIRST + b"boot,000003,m,b,6,url\n", "not a number from 1"),
        (FIRST + b"\0" + ROWS, "NUL inside"),
        (FIRST + b"\xff,1,a,b,c,d", "not UTF-8"),
        (ROWS * 300, "too many lines"),
        (ROWS * 100, "no row, or too many"),
        (b"a" * (SIZE_MAX + 1), "section is too long"),
    ],
)
def test_sbat_that_cannot_be_read_is_refused(sbat: bytes, reason: str) -> None:
    told = verdict(image(sbat))
    assert told.reason.startswith("its SBAT cannot be read: ") and reason in told.reason
    assert judge(image(sbat), parse_policy({"kernel": UNSIGNED}, {}.__getitem__)).accepted


def test_every_sbat_section_counts() -> None:
    old = ROWS.replace(b"boot,3", b"boot,2")
    for parts in ((ROWS, old), (old, ROWS)):
        assert "generation 2" in verdict(image(parts[0], (b".sbat", parts[1]))).reason


def test_the_kernel_in_a_uki_is_asked_too() -> None:
    old, bare = ROWS.replace(b"boot,3", b"boot,2"), image(None, (b".text", b"x"))
    for kernels in ([image(old)], [image(ROWS), image(old)], [bare, image(old)]):
        uki = image(ROWS, *((b".linux", one) for one in kernels))
        assert "boot is of generation 2" in verdict(uki, role=Role.UKI).reason
    assert verdict(image(ROWS, (b".linux", bare)), role=Role.UKI, sbat="required").accepted
    assert "has no SBAT" in verdict(image(None, (b".linux", image(ROWS))), role=Role.UKI, sbat="required").reason


def test_a_level_speaks_of_programs_only() -> None:
    old = image(ROWS.replace(b"boot,3", b"boot,2"))
    assert verdict(old, role=Role.INITRD).accepted
    for role in ("initrd", "cmdline", "devicetree"):
        with pytest.raises(ConfigError, match="unknown key") as caught:
            rules(role=role, sbat="required")
        assert caught.value.facts["key"] == f"policy.{role}.sbat"


@pytest.mark.parametrize("level", [
    b"", b"\n", b"boot,3\n", b"sbat,1\n", b"sbat,1,today\n", b"sbat,1,20250218\n", b"boot,3\n" + LEVEL, LEVEL + LEVEL,
    LEVEL + b"boot,4\n", LEVEL + b"x\n", LEVEL + b"x,\n", LEVEL + b",1\n", LEVEL + b"x,-1\n", LEVEL + b"x,1,y,z\n",
    ROWS, b"SbatLevel", b"\xff\xfe", LEVEL + b"\0x,1", b"\0" * 12,
])  # fmt: skip
def test_a_level_that_is_none_stops_the_build(level: bytes) -> None:
    with pytest.raises(ConfigError, match="not a usable SBAT level") as caught:
        rules(level)
    assert (caught.value.facts["key"], caught.value.facts["name"]) == ("policy.sbat", "level")


def test_the_keys_of_the_policy() -> None:
    with pytest.raises(ConfigError, match="no level to hold it to") as caught:
        parse_policy({"kernel": {**UNSIGNED, "sbat": "required"}}, {}.__getitem__)
    assert caught.value.facts["key"] == "policy.kernel.sbat"
    for wrong in (True, "yes", 1, ["required"], ""):
        with pytest.raises(ConfigError, match="neither of two words"):
            rules(sbat=wrong)
    with pytest.raises(ConfigError, match="wrong type"):
        parse_policy({"sbat": "level"}, {}.__getitem__)


def test_hostile_input_ends_in_a_value_or_a_typed_error() -> None:
    section = LEVEL_SECTION.build(automatic=8, latest=9 + len(LEVEL)) + LEVEL + b"\0" + LEVEL + b"\0"
    assert parse_level(section) == parse_level(LEVEL) == parse_level_section(section)[0]
    for cut in cuts(section):
        refuses(parse_level_section, cut)
        survives(parse_level, cut)
    for what, data in mutations(LEVEL_SECTION, section):
        survives(parse_level_section, data, what)
    for parse, good in ((parse_sbat, ROWS), (parse_level, LEVEL), (parse_level, section)):
        for cut in cuts(good):
            survives(parse, cut)
        for at in range(len(good)):
            for value in (0, 0x0A, 0x2C, 0xFF, good[at] ^ 1):
                survives(parse, good[:at] + bytes([value]) + good[at + 1 :])
        for bomb in (b"," * SIZE_MAX, b"\n" * SIZE_MAX, b"a,1\n" * (SIZE_MAX // 4), b"9" * SIZE_MAX, bytes(SIZE_MAX)):
            with with_memory():
                survives(parse, bomb)
            survives(parse, LEVEL + bomb[: -len(LEVEL)])
    assert ROWS_MAX <= 256


def test_a_section_header_that_lies() -> None:
    data = image(ROWS)
    header = parse_pe(data).headers_end - SECTION_HEADER.size
    for what, lie in mutations(SECTION_HEADER, data, header):
        with bounded():
            told = verdict(lie, sbat="required")
        assert told.accepted or "SBAT" in told.reason, what
    huge = data[: header + 8] + struct.pack("<IIII", 0xFFFFFFFF, 0, 0xFFFFFFFF, 0x200) + data[header + 24 :]
    assert "SBAT section is too long" in verdict(huge).reason


def section_of(path: Path, name: str, directory: Path) -> bytes:
    """Return a section by its long name, which stands in the file's table of strings: objcopy looks there."""
    target = directory / "section"
    subprocess.run(["objcopy", "-O", "binary", "-j", name, path, target], check=True, capture_output=True)
    return target.read_bytes()


@pytest.mark.tools
def test_debians_shim_and_the_level_that_it_brings(tmp_path: Path) -> None:
    path = package("shim-unsigned") / "usr/lib/shim/shimx64.efi"
    data = path.read_bytes()
    raw = section_of(path, ".sbatlevel", tmp_path)
    automatic, latest = parse_level_section(raw)
    assert automatic.date <= latest.date and automatic.generations["sbat"] == 1
    assert all(latest.generations[name] >= least for name, least in automatic.generations.items())
    texts = raw[LEVEL_SECTION.size :].split(b"\0")
    assert parse_level(texts[0]) == automatic and parse_level(texts[1]) == latest == parse_level(raw)
    found = {row.component: row.generation for row in image_sbat(parse_pe(data), data)}
    assert found["shim"] >= latest.generations["shim"] and "shim.debian" in found
    assert bytes(section_of(path, ".sbat", tmp_path)).startswith(FIRST)
    assert verdict(data, raw, sbat="required").accepted
    told = verdict(data, b"sbat,1,2030010100\nshim,%d\n" % (found["shim"] + 1))
    generation = found["shim"]
    assert told.reason == (
        f"its SBAT component shim is of generation {generation}: the policy demands {generation + 1} at least"
    )
    for name in ("mmx64.efi", "fbx64.efi"):
        assert verdict(path.with_name(name).read_bytes(), raw, sbat="required").accepted


@pytest.mark.tools
def test_a_uki_by_ukify(tmp_path: Path) -> None:
    stub = (package("systemd-boot-efi", suite=SUITE) / STUB).read_bytes()
    (tmp_path / "initrd").write_bytes(b"initrd")
    mine = "mine,7,Me,mine,1,https://mine.example"
    uki = make_uki(tmp_path / "uki", kernel().image, [tmp_path / "initrd"], "quiet",
                   more=["--sbat", f"sbat,1,SBAT Version,sbat,1,https://x\n{mine}\n"]).read_bytes()  # fmt: skip
    names = [row.component for row in image_sbat(parse_pe(uki), uki)]
    assert names[: len(image_sbat(parse_pe(stub), stub))] == ["sbat", "systemd-stub", "systemd-stub.debian"]
    assert "mine" in names
    for level, good in ((b"systemd-stub,1\nmine,7", True), (b"systemd-stub,2", False), (b"mine,8", False)):
        told = verdict(uki, b"sbat,1,2025021800\n" + level, Role.UKI, sbat="required")
        assert told.accepted == good, told.reason
