"""The formats of OS packages: descriptors, manifests and archives, whole, broken, and cut at every byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.errors import FormatError
from shim.formats.ospkg import parse_descriptor, parse_package_manifest, unpack_package
from tests.builders.ospkg import (
    PackageSigner,
    descriptor,
    descriptor_of,
    go_json,
    make_archive,
    make_package,
    make_package_signer,
    make_root,
    manifest,
)
from tests.unit.hostile import cuts, refuses, survives

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("ospkg")]
KERNEL, INITRAMFS = b"kernel " * 500, b"070701 initramfs" * 90
LIMIT = 1 << 20


class Shop(NamedTuple):
    """A package and two signers."""

    archive: bytes
    signers: tuple[PackageSigner, PackageSigner]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("ospkg")
    root = make_root(folder, "root")
    one, two = (make_package_signer(folder, f"signer{number}", root) for number in range(2))
    return Shop(make_package(folder / "package", KERNEL, INITRAMFS), (one, two))


def test_a_descriptor_is_what_openssl_signed(shop: Shop) -> None:
    found = parse_descriptor(descriptor(shop.archive, *shop.signers))
    assert found.os_pkg_url == "https://example.org/a.zip"
    for pair, signer in zip(found.pairs, shop.signers, strict=True):
        assert pair.certificate == signer.der
        assert signer.verifies(shop.archive, pair.signature)


DESCRIPTORS = {
    "a list": b"[]", "a text": b'"x"', "no version": b"{}", "a true version": b'{"version": true}',
    "more certificates": descriptor_of([], certificates=["AAAA"]), "no base64": descriptor_of([(b"a", b"b")],
                                                                                              signatures=["!"]),
    "numbers": descriptor_of([], certificates=[1], signatures=[1]), "a table": descriptor_of([], signatures={"a": "b"}),
    "an address that is none": descriptor_of([], os_pkg_url=1),
    "a long certificate": descriptor_of([(b"x" * 20000, b"y")]),
    "not base64 but nearly": descriptor_of([(b"a", b"b")], signatures=["é==="]),
    "an empty PEM": descriptor_of([(b"-----BEGIN CERTIFICATE-----", b"b")]),
    "a key instead": descriptor_of([(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", b"b")]),
}  # fmt: skip


@pytest.mark.parametrize("case", DESCRIPTORS)
def test_broken_descriptors_are_refused(case: str) -> None:
    assert isinstance(refuses(parse_descriptor, DESCRIPTORS[case]), FormatError)


def test_a_descriptor_cut_anywhere_is_refused(shop: Shop) -> None:
    whole = descriptor(shop.archive, shop.signers[0])
    for cut in cuts(whole):
        refuses(parse_descriptor, cut)
    for at in range(len(whole)):
        survives(parse_descriptor, whole[:at] + b"\xff" + whole[at + 1 :])
        survives(parse_descriptor, whole[:at] + whole[at + 1 :])


def test_a_manifest_says_what_is_started() -> None:
    found = parse_package_manifest(manifest(os_version="unknown keys are let be", cmdline=None))
    assert (found.label, found.kernel, found.initramfs, found.cmdline) == (
        "A test", "boot/kernel", "boot/initramfs", "")


@pytest.mark.parametrize("changes", [
    {"version": 2}, {"version": "1"}, {"version": None}, {"kernel": ""}, {"kernel": None}, {"initramfs": ""},
    {"cmdline": 1}, {"cmdline": "a\nb"}, {"cmdline": "a\0b"}, {"cmdline": "x" * 70000}, {"kernel": ["a"]},
    {"Kernel": "b"},
])  # fmt: skip
def test_broken_manifests_are_refused(changes: dict[str, object]) -> None:
    refuses(parse_package_manifest, manifest(**changes))


def test_a_manifest_cut_anywhere_is_refused() -> None:
    for cut in cuts(manifest()):
        refuses(parse_package_manifest, cut)


@pytest.mark.parametrize("options", [(), ("-0",), ("-",)])
def test_a_package_is_unpacked(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = unpack_package(make_package(tmp_path, KERNEL, INITRAMFS, *options), LIMIT)
    assert (found.kernel, found.initramfs) == (KERNEL, INITRAMFS)
    assert found.manifest.cmdline == "console=ttyS0"


@pytest.mark.parametrize(("files", "why"), [
    ({"boot/kernel": KERNEL}, "file=manifest.json"),
    ({"manifest.json": manifest(), "boot/kernel": KERNEL}, "file=boot/initramfs"),
    ({"manifest.json": manifest(), "boot/initramfs": INITRAMFS}, "file=boot/kernel"),
    ({"manifest.json": manifest(kernel="/boot/kernel"), "boot/kernel": KERNEL}, "no such file"),
    ({"manifest.json": manifest(kernel="boot/../boot/kernel"), "boot/kernel": KERNEL}, "no such file"),
    ({"manifest.json": manifest(), "boot/kernel": KERNEL, "boot/initramfs": b""}, "empty file"),
    ({"manifest.json": manifest(kernel="boot/"), "boot/kernel": KERNEL, "boot/initramfs": INITRAMFS}, "no such file"),
    ({"manifest.json": manifest() + b" " * (1 << 16), "boot/kernel": KERNEL, "boot/initramfs": INITRAMFS}, "too large"),
])  # fmt: skip
def test_packages_that_lack_something_are_refused(tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    data = make_archive(tmp_path, files)
    with pytest.raises(FormatError, match=why):
        unpack_package(data, LIMIT)


def test_kernel_and_initramfs_share_one_limit(shop: Shop) -> None:
    size = len(KERNEL) + len(INITRAMFS)
    unpack_package(shop.archive, size)
    for limit in (0, len(KERNEL), size - 1):
        with pytest.raises(FormatError, match="too large"):
            unpack_package(shop.archive, limit)


def test_a_package_cut_anywhere_is_refused(shop: Shop) -> None:
    for cut in cuts(shop.archive):
        refuses(lambda data: unpack_package(data, LIMIT), cut)


def test_the_json_of_the_builder_is_what_go_writes() -> None:
    assert json.loads(go_json({"a": 1})) == {"a": 1}
    assert b"null" in descriptor_of([])
    assert base64.b64decode(json.loads(descriptor_of([(b"c", b"s")]))["signatures"][0]) == b"s"
