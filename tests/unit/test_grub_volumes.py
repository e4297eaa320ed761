"""GRUB's configurations on several volumes: where they are looked for, where they lead, and what that costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shim.cli import main
from shim.entries import read_entries
from shim.errors import SystemError_
from shim.model import PartitionKind, Volume
from shim.system.files import TreeFiles
from shim.system.memory_files import MemoryFiles
from tests.builders import debian
from tests.builders.grubconfig import UUID, make_grub_cfg
from tests.builders.uki import make_uki
from tests.unit.grub import SIMPLE, boot_files, read_all, volume

pytestmark = [pytest.mark.tools]


@pytest.mark.parametrize("going_on", [
    "configfile $prefix/grub.cfg", "insmod normal; normal", "normal $prefix/grub.cfg"])
def test_a_stub_leads_to_another_partition_once(going_on: str) -> None:
    """The configuration that it leads to is not read a second time for its own sake."""
    stub = f"search.fs_uuid {UUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\n{going_on}\n"
    main_cfg = "if [ -n \"$root\" ]; then menuentry x { linux /vmlinuz a; }; fi\n"
    found = read_all(
        (volume("vda1", kind=PartitionKind.ESP), {"/EFI/debian/grub.cfg": stub.encode(),
                                                  "/EFI/BOOT/grub.cfg": stub.encode()}),
        (volume(uuid=UUID), {"/boot/grub/grub.cfg": main_cfg.encode(), "/vmlinuz": b"k"}))
    entry, = found.entries
    assert (entry.volume, entry.source, str(entry.linux)) == ("vda2", "/boot/grub/grub.cfg:1", "vda2:/vmlinuz")
    assert entry.trace[1] == "/EFI/debian/grub.cfg:3: goes on in vda2:/boot/grub/grub.cfg"


def test_the_same_file_under_two_names_is_read_once() -> None:
    text = b"menuentry x { linux /vmlinuz a; }\n"
    found = read_all((volume(), {"/boot/grub2/grub.cfg": text, "/grub2/grub.cfg": text, "/vmlinuz": b"k"}))
    assert len(found.entries) == 1


@pytest.mark.parametrize("path", ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub/grub.cfg", "/grub2/grub.cfg",
                                  "/EFI/ubuntu/grub.cfg", "/EFI/BOOT/grub.cfg", "/efi/boot/grub.cfg",
                                  "/@/boot/grub/grub.cfg", "/root/boot/grub2/grub.cfg"])
def test_every_place_of_a_configuration(path: str) -> None:
    found = read_all((volume(), {path: b"menuentry x { linux $prefix/vmlinuz; }\n",
                                 f"{path.rpartition('/')[0]}/vmlinuz": b"k"}))
    assert [entry.hidden for entry in found.entries] == [None]


def test_a_volume_cannot_hold_up_the_others() -> None:
    """Nor the boot: what its configurations may use up, they share."""
    endless = {f"/EFI/v{number}/grub.cfg": b"while true; do true; done # %d\n" % number for number in range(30)}
    good = {"/grub/grub.cfg": b"menuentry x { linux /vmlinuz; }\n", "/vmlinuz": b"k"}
    begun = time.process_time()
    found = read_all((volume("vda1", kind=PartitionKind.ESP), endless), (volume("vdb1"), good))
    assert [str(entry.linux) for entry in found.entries] == ["vdb1:/vmlinuz"]
    assert len(found.problems) == 30
    assert time.process_time() - begun < 1.0


def test_a_uuid_on_two_volumes_is_told() -> None:
    text = f"search --fs-uuid --set=root {UUID}\nmenuentry x {{ linux /vmlinuz; }}\n"
    menu = f"menuentry x {{\nsearch --fs-uuid --set=root {UUID}\nlinux /vmlinuz\n}}\n"
    for script, traced in ((text, False), (menu, True)):
        found = read_all((volume("vda1", uuid=UUID), {"/boot/grub/grub.cfg": script.encode(), "/vmlinuz": b"k"}),
                         (volume("vdb1", uuid=UUID), {"/vmlinuz": b"k"}))
        assert str(found.entries[0].linux) == "vda1:/vmlinuz"
        assert any("the first of 2 that have it" in sentence for sentence in found.entries[0].trace) is traced


def test_a_uki_that_a_menu_chains_to_is_one_entry(tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"initrd")
    image = make_uki(tmp_path / "x.efi", debian.kernel().image, [initrd], "console=ttyS0").read_bytes()
    menu = (b"menuentry 'The image' { chainloader /EFI/Linux/x.efi; }\n"
            b"menuentry other { chainloader /EFI/Linux/x.efi a; }\n")
    found = read_all((volume(), {"/EFI/Linux/x.efi": image, "/grub/grub.cfg": menu}))
    assert [(entry.dialect, entry.cmdline, entry.hidden) for entry in found.entries] == [
        ("bls2", None, None), ("grub", "a", None)]
    assert found.entries[0].default
    assert any("grub has it, too" in sentence for sentence in found.entries[0].trace)
    found = read_all((volume(), {"/EFI/Linux/x.efi": image, "/grub/grub.cfg": b"uki\n"}))
    assert [entry.dialect for entry in found.entries] == ["bls2"]


def test_a_volume_that_cannot_be_read_costs_only_itself() -> None:
    class Broken(MemoryFiles):
        def names(self, path: str) -> tuple[str, ...] | None:
            raise SystemError_("cannot read the directory", 5, path=path)

    good = MemoryFiles({"/boot/grub/grub.cfg": b"menuentry x { linux /vmlinuz; }", "/vmlinuz": b"k"})
    found = read_entries([(volume("vda1"), Broken({})), (volume(), good)], dialects=["grub"])
    assert len(found.entries) == 1
    assert found.problems[0].source == "vda1 (grub)"


def test_ten_thousand_lines_and_five_hundred_files_are_read_in_a_second(tmp_path: Path) -> None:
    """In one volume, with the time that Python takes to start."""
    tree, entries = tmp_path / "tree", 1000
    body = "\n".join(f"  {line}" for line in (
        "load_video", "insmod gzio", "if [ x$grub_platform = xxen ]; then insmod xzio; fi", "insmod part_gpt",
        "search --no-floppy --fs-uuid --set=root 1234", "linux /vmlinuz-{0} root=UUID=1 ro quiet", "initrd /initrd-{0}",
        "echo 'Loading Linux {0} ...'"))
    text = "function load_video { insmod all_video; }\n" + "".join(
        f"menuentry 'Linux {number}' --class gnu --id linux-{number} {{\n{body.format(number % 10)}\n}}\n"
        for number in range(entries))
    assert text.count("\n") > 10_000
    for path, content in {
        "boot/grub/grub.cfg": text,
        **{f"{name}-{number}": "x" for number in range(10) for name in ("vmlinuz", "initrd")},
        **{f"loader/entries/e{number}.conf": f"title e{number}\nversion {number}\nlinux /vmlinuz-1\noptions {number}\n"
           for number in range(500)},
    }.items():
        Path(tree, path).parent.mkdir(parents=True, exist_ok=True)
        Path(tree, path).write_text(content)
    times = []
    for _ in range(3):
        begun = time.process_time()
        found = read_entries([(Volume(name="vda1"), TreeFiles(str(tree)))])
        times.append(time.process_time() - begun)
    assert len(found.entries) == entries + 500
    assert all(entry.hidden is None for entry in found.entries)
    assert min(times) < 1.0


def test_the_host_names_volumes_and_what_is_known_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = f"search.fs_uuid {UUID} root\nconfigfile ($root)/boot/grub/grub.cfg\n"
    for path, content in {"esp/EFI/debian/grub.cfg": stub, "root/boot/grub/grub.cfg": make_grub_cfg(),
                          **{f"root{path}": data.decode() for path, data in boot_files().items()}}.items():
        Path(tmp_path, path).parent.mkdir(parents=True, exist_ok=True)
        Path(tmp_path, path).write_text(content)
    options = ["--volume", f"vda1={tmp_path}/esp,disk=vda,number=1,table=gpt,kind=esp",
               "--volume", f"vda2={tmp_path}/root,disk=vda,number=2,table=gpt,uuid={UUID.upper()}"]
    assert main(["entries", "--json", *options]) == 0
    first = json.loads(capsys.readouterr().out)["entries"][0]
    assert (first["id"], first["linux"], first["default"]) == (SIMPLE, "/boot/vmlinuz-6.1.0-27-amd64", True)
    assert main(["entries"]) == 2
    for wrong in ("nothing", "a=", "=x", "a=/,color=red", "a=/,number=two", "a=/,kind=other-one"):
        assert main(["entries", "--volume", wrong]) == 2, wrong


MODULES = """
import sys
from shim.entries import read_entries
from shim.model import Volume
from shim.system.files import TreeFiles
before = set(sys.modules)
read_entries([(Volume(name="x"), TreeFiles(sys.argv[1]))])
print(*(name for name in sorted(set(sys.modules) - before) if name.startswith("shim.")))
"""


def test_the_interpreter_is_imported_only_where_there_is_a_configuration(tmp_path: Path) -> None:
    """What a boot imports costs it time."""
    Path(tmp_path, "loader/entries").mkdir(parents=True)
    Path(tmp_path, "loader/entries/x.conf").write_text("linux /l\n")

    def imported() -> list[str]:
        done = subprocess.run([sys.executable, "-c", MODULES, str(tmp_path)], capture_output=True, text=True,
                              check=True, cwd=Path(__file__).parents[2])
        return done.stdout.split()

    assert imported() == []
    Path(tmp_path, "grub").mkdir()
    Path(tmp_path, "grub/grub.cfg").write_text("menuentry x { linux /l; }\n")
    assert "shim.entries.grub.interpreter" in imported()
    shutil.rmtree(tmp_path / "grub")
    assert imported() == []
