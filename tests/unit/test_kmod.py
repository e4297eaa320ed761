"""Kernel modules come with what they depend on, in an order in which each can be loaded."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from initramfs.pack import find_modules
from shim.errors import FormatError, ShimError
from shim.formats.kmod import ELF_HEADER, SECTION_HEADER, Module, load_order, normalised, parse_module
from tests.builders import debian
from tests.unit.hostile import mutations, refuses, survives

pytestmark = pytest.mark.tools


@cache
def modules() -> dict[str, Path]:
    return {normalised(path.stem): path for path in debian.kernel().modules.rglob("*.ko")}


def test_modules_say_what_modinfo_says() -> None:
    """WITNESS: modinfo (kmod 30)."""
    for name in ("virtio_net", "xfs", "btrfs", "dm_mod", "vfat"):
        said = subprocess.run(["modinfo", "--field=depends", str(modules()[name])], check=True, capture_output=True,
                              text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}).stdout.strip()
        module = parse_module(modules()[name].read_bytes())
        assert module.name == name
        assert set(module.depends) == {normalised(word) for word in said.split(",") if word}
        assert module.vermagic.startswith(debian.kernel().release)


def test_dependencies_come_first() -> None:
    wanted = ["virtio-net", "xfs", "virtio_pci", "virtio_blk", "vfat"]
    order = [name for name, _data in find_modules(debian.kernel().modules, wanted)]
    assert len(order) == len(set(order))
    for name in order:
        for needed in parse_module(modules()[name].read_bytes()).depends:
            assert order.index(needed) < order.index(name)
    assert order.index("failover") < order.index("net_failover") < order.index("virtio_net")


def order_of(kernel: debian.Kernel, *wanted: str) -> list[str]:
    return [name for name, _data in find_modules(kernel.modules, wanted)]


def test_an_algorithm_is_found_by_its_alias() -> None:
    """ext4 asks for crypto-crc32c, Btrfs for xxhash64 and blake2b-256: no file has such a name."""
    kernel = debian.kernel("")
    assert order_of(kernel, "ext4")[-1] == "ext4"
    assert "crc32c_generic" in order_of(kernel, "ext4")
    assert {"crc32c_generic", "xxhash_generic", "blake2b_generic", "libcrc32c"} <= set(order_of(kernel, "btrfs"))
    assert "crc32_generic" in order_of(kernel, "f2fs")


def test_what_a_driver_would_have_fetched_comes_along() -> None:
    kernel = debian.kernel("")
    assert {"nls_cp437", "nls_ascii"} <= set(order_of(kernel, "vfat"))
    assert "sd_mod" in order_of(kernel, "usb-storage")
    assert "sd_mod" in order_of(kernel, "ahci")


def test_a_module_that_is_not_there_is_said() -> None:
    with pytest.raises(FormatError, match="no such kernel module"):
        find_modules(debian.kernel().modules, ["warp_drive"])


def test_a_directory_without_modules_is_said(tmp_path: Path) -> None:
    with pytest.raises(ShimError, match="no kernel modules"):
        find_modules(tmp_path, ["ext4"])


def finder(**graph: tuple[str, ...]) -> Callable[[str], Module | None]:
    return lambda name: Module(name=name, depends=graph[name]) if name in graph else None


def test_modules_that_depend_on_each_other_are_refused() -> None:
    with pytest.raises(FormatError, match="depend on each other"):
        load_order(["a"], finder(a=("b",), b=("c",), c=("a",)))


def test_what_is_built_in_is_passed_over() -> None:
    assert [module.name for module in load_order(["a"], finder(a=("built_in",)))] == ["a"]


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    for name, tool in (("failover", "xz"), ("net_failover", "zstd")):
        data = subprocess.run([tool, "-c", str(modules()[name])], check=True, capture_output=True).stdout
        Path(tmp_path, f"{name}.ko.{'xz' if tool == 'xz' else 'zst'}").write_bytes(data)
    found = dict(find_modules(tmp_path, ["net_failover"]))
    assert found == {name: modules()[name].read_bytes() for name in ("failover", "net_failover")}


def test_every_number_may_lie() -> None:
    data = modules()["failover"].read_bytes()
    for what, lie in mutations(ELF_HEADER, data):
        survives(parse_module, lie, what)
    table = ELF_HEADER.parse(data)
    for number in range(table["e_shnum"]):
        at = table["e_shoff"] + number * SECTION_HEADER.size
        for what, lie in mutations(SECTION_HEADER, data, at):
            survives(parse_module, lie, what)
    for end in range(0, table["e_shoff"] + table["e_shnum"] * SECTION_HEADER.size, 101):
        refuses(parse_module, data[:end])
