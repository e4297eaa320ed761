"""What lies in a UKI and beside it reaches the kernel as systemd-stub hands it over.

WITNESS: systemd-stub itself (systemd 257, Debian trixie): the firmware starts the same file from the same ESP.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from shim.cli import main as bootshim
from shim.cli.qemu import Disk, MachineSpec
from shim.formats.cpio import CpioEntry, build_cpio
from shim.units import MIB
from tests.builders import debian
from tests.builders.devicetree import devicetree, hardware_id, write_hwids
from tests.builders.disk import Content, Partition, make_disk
from tests.builders.filesystems import run
from tests.builders.measured import BANKS, pcrs_of
from tests.builders.swtpm import Swtpm
from tests.builders.target import Facts, make_token, second_initrd, target_initrd
from tests.builders.uki import ADDON_STUB, make_uki, sign_pe, ukify
from tests.vm.scene import OVERRIDES, make_authority, overrides
from tests.vm.shimmed import Outcome, Shim, boot, boot_spec, config_text, make_shim, policy_text

pytestmark = [pytest.mark.vm]
CMDLINE = "console=ttyS0 quiet"
UNAME = "6.1.0-witness"
IMAGE = "EFI/BOOT/BOOTX64.EFI"
BESIDE = f"{IMAGE}.extra.d"
COUNTED = "EFI/Linux/counted.efi.extra.d"
# A machine that is known by its texts. What `bootshim measure --smbios` reads of it is told by sysfs like this.
SMBIOS = {"sys_vendor": " Acme ", "product_name": "0042 Pro", "product_family": "Rocket", "board_vendor": "Acme"}
SMBIOS_WORDS = ("-smbios", "type=1,manufacturer= Acme ,product=0042 Pro,family=Rocket", "-smbios",
                "type=2,manufacturer=Acme")
# The command line, as the stub puts it together: the UKI's, global add-ons, then its own, each by name.
WHOLE = f"{CMDLINE} global=1  global=2 own=B own=a"
MORE_POLICY = """
[policy.addon]
require = ["authenticode"]
[policy.credential]
require = ["unsigned"]
[policy.extension]
require = ["unsigned"]
"""


class Scene(NamedTuple):
    """An ESP from which firmware starts the UKI, and from which the boot shim starts it, too."""

    token: str
    disk: Path
    shim: Shim


class Addons:
    """Makes add-ons with ukify, signed or not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, make_authority(folder, "test")

    def make(self, name: str, *arguments: str, signed: bool = True) -> Path:
        made = self.folder / f"{name}.unsigned"
        ukify(*arguments, "--output", str(made), stub=ADDON_STUB)
        return sign_pe(made, self.folder / name, self.authority.signer) if signed else made

    def cmdline(self, text: str, name: str, *more: str, signed: bool = True) -> Path:
        return self.make(name, "--cmdline", text, *more, signed=signed)


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def make_image(addons: Addons, token: str) -> Path:
    """Make a UKI with everything in it that ends in /.extra; two profiles."""
    folder = addons.folder
    initrd = folder / "initrd"
    initrd.write_bytes(target_initrd(token))
    key = folder / "pcr.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True).stdout
    signature = b'{"sha256":[{"pcrs":[11],"pkfp":"00","pol":"00","sig":"AA=="}]}'
    made = make_uki(
        folder / "image.unsigned", debian.kernel().image, [initrd], CMDLINE, profiles={"other": "console=ttyS0 other"},
        more=["--uname", UNAME, "--pcrpkey", write(folder / "pcr.pub", public),
              "--section", f".pcrsig:@{write(folder / 'pcrsig', signature)}",
              "--microcode", write(folder / "ucode", microcode(b"\x01")),
              "--devicetree-auto", write(folder / "other.dtb", devicetree("other,board")),
              "--devicetree-auto", write(folder / "ours.dtb", devicetree("acme,rocket")),
              "--hwids", str(make_hwids(folder / "hwids"))],
    )  # fmt: skip
    return sign_pe(made, folder / "image", addons.authority.signer)


def make_hwids(folder: Path) -> Path:
    """Write hardware IDs of two boards; the less specific one of ours is the other's, too."""
    write_hwids(folder, "other,board", [hardware_id("Acme", "Rocket")])
    return write_hwids(folder, "acme,rocket", [hardware_id("Acme", "42 Pro")])


def microcode(byte: bytes) -> bytes:
    above = [CpioEntry.directory(path) for path in ("kernel", "kernel/x86", "kernel/x86/microcode")]
    return build_cpio([*above, CpioEntry.file("kernel/x86/microcode/GenuineIntel.bin", byte * 2048)])


def make_files(addons: Addons, image: Path) -> dict[str, Content]:
    """Return the files of the ESP. What the stub passes over is there, too."""
    second = write(addons.folder / "second", second_initrd("from an add-on"))
    blank = write(addons.folder / "blank", b" \n")
    ucode = write(addons.folder / "more-ucode", microcode(b"\x02"))
    return {
        IMAGE: image,
        "loader/addons/10-first.addon.efi": addons.cmdline("global=1", "10"),
        "loader/addons/15-empty.addon.efi": addons.make("15", "--section", f".cmdline:@{blank}", "--uname", UNAME),
        "loader/addons/20-second.ADDON.EFI": addons.cmdline("\tglobal=2\n", "20", "--uname", UNAME),
        f"{BESIDE}/Big.addon.efi": addons.cmdline("own=B", "Big"),
        f"{BESIDE}/a.addon.efi": addons.cmdline("own=a", "a", "--initrd", second, "--microcode", ucode),
        f"{BESIDE}/foreign.addon.efi": addons.cmdline("foreign=1", "foreign", "--uname", "6.1.0-other"),
        f"{BESIDE}/image.addon.efi": image, f"{BESIDE}/.hidden.addon.efi": b"hidden",
        f"{BESIDE}/one.cred": b"first", f"{BESIDE}/Two.CRED": b"second" * 1000, f"{BESIDE}/notes.txt": b"nothing",
        f"{BESIDE}/ext.sysext.raw": bytes(range(256)) * 33, f"{BESIDE}/plain.raw": b"plain",
        f"{BESIDE}/conf.confext.raw": b"configuration",
        "loader/credentials/all.cred": b"for all", "loader/credentials/.hidden.cred": b"hidden",
        "loader/entries/witness.conf": f"title Witness\nuki /{IMAGE}\n",
        "loader/entries/profile.conf": f"title Profile\nuki /{IMAGE}\nprofile 1\n",
        "EFI/Linux/counted+3-1.efi": image, f"{COUNTED}/counted.cred": b"of a counted name",
        f"{COUNTED}/evil.addon.efi": addons.cmdline("init=/evil", "evil", signed=False),
    }  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("stub")
    addons, token = Addons(folder), make_token()
    disk = make_disk(folder / "disk.img", [Partition("esp", "vfat", make_files(addons, make_image(addons, token)))])
    policy = policy_text(anchors=["ca.der"], cmdlines=[]) + MORE_POLICY
    shim = make_shim(folder / "shim", config_text(policy, more=OVERRIDES),
                     {"ca.der": addons.authority.ca.der.read_bytes()})
    return Scene(token, disk, shim)


@pytest.fixture(scope="module")
def witness(scene: Scene) -> Facts:
    """What systemd-stub hands over."""
    facts = boot_spec(MachineSpec(disks=(Disk(path=scene.disk),), firmware="uefi")).facts
    assert facts is not None
    assert facts.token == scene.token
    return facts


def start(scene: Scene, entry: str, engine: str = "load", extra: Sequence[str] = ()) -> Outcome:
    outcome = boot(scene.shim, Disk(path=scene.disk), extra=extra,
                   cmdline=overrides({"load.engine": engine, "boot.entry": entry}))
    assert outcome.facts is not None
    assert outcome.facts.token == scene.token
    assert outcome.errors() == {}
    return outcome


def tree(facts: Facts) -> dict[str, str]:
    """Return what the target found below /.extra, but for the boot shim's report."""
    found = {name.removeprefix("tree:"): what for name, what in facts.lines.items() if name.startswith("tree:")}
    return {path: what for path, what in found.items() if not path.startswith("/.extra/bootshim")}


@pytest.mark.parametrize("engine", ["load", "file"])
def test_the_kernel_gets_what_the_stub_would_give_it(scene: Scene, witness: Facts, engine: str) -> None:
    facts = start(scene, "witness.conf", engine).facts
    assert facts is not None
    assert tree(facts) == tree(witness)
    assert {path.removeprefix("/.extra/") for path in tree(witness)} == {
        "/.extra", "credentials", "credentials/one.cred", "credentials/Two.CRED", "global_credentials",
        "global_credentials/all.cred", "sysext", "sysext/ext.sysext.raw", "sysext/plain.raw", "confext",
        "confext/conf.confext.raw", "tpm2-pcr-signature.json", "tpm2-pcr-public-key.pem", "profile", "os-release"}
    assert facts.lines["cmdline"] == witness.lines["cmdline"] == WHOLE
    assert facts.lines["second_initrd"] == witness.lines["second_initrd"] == "from an add-on"


def test_the_stub_itself_leaves_the_same_pcrs(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything beside the UKI included: a secret that is sealed to one boot opens behind the other.

    And `bootshim measure` predicts them from a copy of the ESP.
    """
    with Swtpm() as tpm:
        extra = (*tpm.arguments, *SMBIOS_WORDS)
        theirs = boot_spec(MachineSpec(disks=(Disk(path=scene.disk),), firmware="uefi", extra=extra)).facts
    with Swtpm() as tpm:
        outcome = start(scene, "witness.conf", extra=(*tpm.arguments, *SMBIOS_WORDS))
        ours = outcome.facts
    assert outcome.report is not None
    events = [event["description"] for event in outcome.report["attempts"][-1]["events"]]
    assert events.count("section .dtbauto") == 1
    for bank in BANKS:
        expected, found = ({pcr: pcrs_of(facts)[bank][pcr] for pcr in (11, 12, 13)} for facts in (theirs, ours))
        assert found == expected, bank
        assert all(value.strip("0") for value in found.values())
    esp = tmp_path / "esp"
    esp.mkdir()
    run("mcopy", "-s", "-Q", "-i", f"{scene.disk}@@{MIB}", "::*", str(esp))
    for field, text in SMBIOS.items():
        write(tmp_path / field, text.encode() + b"\n")
    capsys.readouterr()
    assert bootshim(["measure", f"/{IMAGE}", "--root", str(esp), "--smbios", str(tmp_path), "--json",
                     *(f"--bank={bank}" for bank in BANKS)]) == 0
    told = json.loads(capsys.readouterr().out)["pcrs"]
    assert told == {bank: {str(pcr): pcrs_of(ours)[bank][pcr] for pcr in (11, 12, 13)} for bank in BANKS}


def test_what_was_left_out_is_told(scene: Scene) -> None:
    report = start(scene, "witness.conf").report
    assert report is not None
    why = report["attempts"][-1]["why"]
    assert f"the add-on vda1:/{BESIDE}/foreign.addon.efi was left out: the add-on is for another kernel" in why
    assert f"the add-on vda1:/{BESIDE}/image.addon.efi was left out: a UKI is no add-on" in why
    roles = [artifact["role"] for artifact in report["attempts"][-1]["artifacts"]]
    assert roles == ["uki", *["addon"] * 7, *["credential"] * 3, *["extension"] * 3]


def test_another_profile_of_an_entry_of_type_1_has_the_same_extras(scene: Scene, witness: Facts) -> None:
    facts = start(scene, "profile.conf").facts
    assert facts is not None
    assert facts.lines["cmdline"] == WHOLE.replace("quiet", "other")
    differing = {path for path, what in tree(witness).items() if tree(facts).get(path) != what}
    assert differing == {"/.extra/profile"}


def test_an_unsigned_addon_beside_a_counted_name_is_left_out(scene: Scene) -> None:
    outcome = start(scene, "counted.efi")
    assert outcome.facts is not None
    assert outcome.facts.lines["cmdline"] == f"{CMDLINE} global=1  global=2"
    assert "/.extra/credentials/counted.cred" in tree(outcome.facts)
    assert outcome.report is not None
    note, = (note for note in outcome.report["notes"] if note.startswith("left out"))
    assert note == f"left out: vda1:/{COUNTED}/evil.addon.efi is not trusted: it carries no signature"
