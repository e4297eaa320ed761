"""What systemd-stub makes of a UKI and of what lies beside it. Spec: systemd-stub(7) of systemd 257.

The manual names the files; orders, modes and the odd cases are those of the program. The generated archives are the
same bytes as the stub's, because it measures them.
"""

from __future__ import annotations

from enum import Enum

from shim.errors import FormatError
from shim.formats.cpio import CpioEntry, build_cpio
from shim.formats.pe import parse_pe
from shim.formats.uki import SMALL_SIZE_MAX, cmdline_text
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.formats.record import Buffer
    from shim.formats.uki import Uki

EXTRA = ".extra"
NAME_SIZE_MAX = 255
GLOBAL_ADDONS, GLOBAL_CREDENTIALS = "/loader/addons", "/loader/credentials"
ADDON_SUFFIX, CREDENTIAL_SUFFIX, IMAGE_SUFFIX, CONFEXT_SUFFIX = ".addon.efi", ".cred", ".raw", ".confext.raw"
ADDON_PARTS = (".cmdline", ".dtb", ".dtbauto", ".initrd", ".ucode")
# Sections that become files of the initrd, in the stub's order.
EMBEDDED = (("pcrsig", "tpm2-pcr-signature.json"), ("pcrpkey", "tpm2-pcr-public-key.pem"), ("osrel", "os-release"),
            ("profile_text", "profile"))
UNUSED_ON_X86 = ("dtb", "dtbauto", "hwids")
DIRECTORY_MODE, FILE_MODE = 0o555, 0o444
COUNTER_MAX = 0xFFFFFFFFFFFFFFFF
COUNTER_DIGITS_MAX = 255


class ExtraKind(Enum):
    """What a file beside a UKI is. Values are the words of messages."""

    ADDON = "add-on"
    CREDENTIAL = "credential"
    GLOBAL_CREDENTIAL = "global credential"
    SYSEXT = "system extension"
    CONFEXT = "configuration extension"


class Place(Value):
    """Where the files of a kind go in the initrd, and with which modes. `stub_name` is what the stub logs it as."""

    kind: ExtraKind
    directory: str
    stub_name: str
    directory_mode: int = DIRECTORY_MODE
    file_mode: int = FILE_MODE


# In the order of the archives.
PLACES = (
    Place(kind=ExtraKind.CREDENTIAL, directory=".extra/credentials", stub_name="Credentials initrd",
          directory_mode=0o500, file_mode=0o400),
    Place(kind=ExtraKind.GLOBAL_CREDENTIAL, directory=".extra/global_credentials",
          stub_name="Global credentials initrd", directory_mode=0o500, file_mode=0o400),
    Place(kind=ExtraKind.SYSEXT, directory=".extra/sysext", stub_name="System extension initrd"),
    Place(kind=ExtraKind.CONFEXT, directory=".extra/confext", stub_name="Configuration extension initrd"),
)


class Addon(Value):
    """What an add-on brings: `cmdline` is "" and a part None where it has no such section."""

    cmdline: str
    initrd: memoryview | None
    ucode: memoryview | None
    has_devicetree: bool


def extra_directory(path: str) -> str:
    """Return the directory of what belongs to one UKI: its path without a boot counter, and `.extra.d`.

    As the stub does it, the first "+" in the path counts, and only where a counter follows, up to the end or a dot.
    """
    before, plus, after = path.partition("+")
    rest = _behind_number(after) if plus else None
    if rest is not None and rest.startswith("-"):
        rest = _behind_number(rest[1:])
    if rest is None or not (rest == "" or rest.startswith(".")):
        return f"{path}.extra.d"
    return f"{before}{rest}.extra.d"


def _behind_number(text: str) -> str | None:
    """Return what follows a number of up to 64 bits, None where there is none."""
    rest = text.lstrip("0123456789")
    digits = text[: len(text) - len(rest)]
    if not digits or len(digits) > COUNTER_DIGITS_MAX or int(digits) > COUNTER_MAX:
        return None
    return rest


def kind_of(name: str) -> ExtraKind | None:
    """Return what a file in the directory of a UKI is by its name, None for what is not looked at.

    As for the stub, every *.raw that is no *.confext.raw is a system extension, and hidden names are nothing.
    """
    if name.startswith("."):
        return None
    lower = name.lower()
    if lower.endswith(ADDON_SUFFIX):
        return ExtraKind.ADDON
    if lower.endswith(CREDENTIAL_SUFFIX):
        return ExtraKind.CREDENTIAL
    if lower.endswith(IMAGE_SUFFIX):
        return ExtraKind.CONFEXT if lower.endswith(CONFEXT_SUFFIX) else ExtraKind.SYSEXT
    return None


def is_plain(name: str) -> bool:
    """Say whether the stub would take a name: ASCII, as long as Linux allows. It meets no controls: FAT has none."""
    return len(name) <= NAME_SIZE_MAX and name.isascii() and name.isprintable() and "/" not in name


def parse_addon(data: Buffer, uname: bytes | None, machine: int) -> Addon:
    """Return what an add-on brings to a UKI with this `.uname` (None: it has none) for this machine.

    Raises FormatError for what the stub passes over: a file that is no PE, is for another machine, holds a kernel,
    has none of an add-on's sections, or names another kernel in `.uname`.
    """
    pe = parse_pe(data)
    if pe.machine != machine:
        raise FormatError("the add-on is for another machine", expected=machine, found=pe.machine)
    sections: dict[str, memoryview] = {}
    for section in pe.sections:
        if section.name == ".profile":
            break
        if section.size:
            sections.setdefault(section.name, section.data(data))
    if ".linux" in sections:
        raise FormatError("a UKI is no add-on")
    if not any(name in sections for name in ADDON_PARTS):
        raise FormatError("the add-on has nothing to add", known=" ".join(ADDON_PARTS))
    for name in (".cmdline", ".uname"):
        if len(sections.get(name, b"")) > SMALL_SIZE_MAX:
            raise FormatError("the section is too long", section=name, limit=SMALL_SIZE_MAX)
    own = sections.get(".uname")
    if own is not None and uname is not None and _until_nul(own) != _until_nul(uname):
        raise FormatError("the add-on is for another kernel", expected=_shown(uname), found=_shown(own))
    return Addon(
        cmdline=cmdline_text(bytes(sections.get(".cmdline", b""))), initrd=sections.get(".initrd"),
        ucode=sections.get(".ucode"), has_devicetree=".dtb" in sections or ".dtbauto" in sections,
    )


def _until_nul(raw: Buffer) -> bytes:
    return bytes(raw).partition(b"\0")[0]


def _shown(raw: Buffer) -> str:
    return _until_nul(raw[:NAME_SIZE_MAX]).decode("utf-8", "replace")


def fitting_addons(uki: Uki, given: Iterable[tuple[str, Buffer]]) -> tuple[list[tuple[str, Addon]], list[str]]:
    """Return those add-ons, given with their names, that fit a UKI; and sentences on all of them."""
    uname = bytes(uki.uname) if uki.uname else None
    found, told = [], []
    for name, data in given:
        try:
            addon = parse_addon(data, uname, uki.machine)
        except FormatError as problem:
            told.append(f"the add-on {name} was left out: {problem}")
            continue
        found.append((name, addon))
        told.append(f"the add-on {name} was applied")
        if addon.has_devicetree:
            told.append(f"its device tree is not used on this architecture: {name}")
    return found, told


def extend_cmdline(cmdline: str, addons: Iterable[Addon]) -> str:
    """Return the command line with those of add-ons behind it, in their order."""
    added = ""
    for addon in addons:
        added = f"{added} {addon.cmdline}" if added else addon.cmdline
    added = added.strip(" ")
    return " ".join(part for part in (cmdline, added) if part)


def pack_embedded(uki: Uki) -> bytes:
    """Return the archives that are made of a UKI's own sections, one after another."""
    found = [(name, getattr(uki, part)) for part, name in EMBEDDED]
    files = [CpioEntry.file(f"{EXTRA}/{name}", data, FILE_MODE) for name, data in found if data]
    return b"".join(pack_archive(EXTRA, DIRECTORY_MODE, [file]) for file in files)


def pack_place(place: Place, files: Sequence[tuple[str, Buffer]]) -> bytes:
    """Return the archive of files, by their names, for a place of the initrd; in the order given."""
    members = [CpioEntry.file(f"{place.directory}/{name}", memoryview(data), place.file_mode) for name, data in files]
    return pack_archive(place.directory, place.directory_mode, members)


def pack_archive(directory: str, mode: int, members: Sequence[CpioEntry]) -> bytes:
    """Return an archive as the stub writes it: the directories above first, each with one link."""
    parts = directory.split("/")
    above = [CpioEntry.directory("/".join(parts[:end]), DIRECTORY_MODE) for end in range(1, len(parts))]
    directories = [*above, CpioEntry.directory(directory, mode)]
    return build_cpio([*(entry.replace(nlink=1) for entry in directories), *members])
