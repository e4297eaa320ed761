"""Unified kernel images. Spec: UAPI.5, Unified Kernel Image, "UKI Components" and "Multi-Profile UKIs".

Sections before the first `.profile` are the base; each `.profile` section opens a profile, and the sections that
follow it, up to the next one, replace those of the base.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.os_release import parse_os_release
from shim.formats.pe import parse_pe
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.formats.pe import PE, Section
    from shim.formats.record import Buffer

PARTS = ("linux", "initrd", "cmdline", "osrel", "uname", "sbat", "ucode", "dtb", "dtbauto", "hwids", "pcrsig",
         "pcrpkey", "splash")
SMALL = (".osrel", ".cmdline", ".uname", ".profile")
SMALL_SIZE_MAX = 256 << 10
PROFILES_MAX = 64


class Profile(Value):
    """A profile: its number from 0, and what its `.profile` section says. `implicit` where there is no section."""

    number: int
    id: str | None = None
    title: str | None = None
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section | None:
        """Return the section of that name that holds in this profile."""
        return next((section for section in self.sections if section.name == name), None)


class Uki(Value):
    """The parts of a UKI in one profile; None where it has no such section."""

    machine: int
    profile: Profile
    profile_text: memoryview | None
    linux: memoryview
    initrd: memoryview | None
    cmdline: memoryview | None
    osrel: memoryview | None
    uname: memoryview | None
    sbat: memoryview | None
    ucode: memoryview | None
    dtb: memoryview | None
    dtbauto: memoryview | None
    hwids: memoryview | None
    pcrsig: memoryview | None
    pcrpkey: memoryview | None
    splash: memoryview | None

    def command_line(self) -> str:
        """Return `.cmdline` as text, without what trails it. Raises FormatError when it is not UTF-8."""
        return cmdline_text(bytes(self.cmdline or b""))


def is_uki(pe: PE) -> bool:
    """Say whether a PE image holds a kernel to be taken out of it."""
    return pe.section(".linux") is not None


def has_linux_section(data: Buffer) -> bool:
    """Say whether bytes are a UKI; False for everything that is not even PE."""
    try:
        return is_uki(parse_pe(data))
    except FormatError:
        return False


def section_ranges(pe: PE) -> tuple[tuple[Section, ...], tuple[tuple[Section, ...], ...]]:
    """Return the sections of the base, and those of each profile; no profile where no `.profile` section is."""
    base: list[Section] = []
    groups: list[list[Section]] = []
    for section in pe.sections:
        if section.name == ".profile":
            groups.append([])
        (groups[-1] if groups else base).append(section)
    if len(groups) > PROFILES_MAX:
        raise FormatError("the UKI has too many profiles", limit=PROFILES_MAX, found=len(groups))
    return tuple(base), tuple(tuple(group) for group in groups)


def profiles_of(pe: PE) -> tuple[tuple[Section, ...], ...]:
    """Return the sections of each profile, those of the base included where the profile has none of its own."""
    base, groups = section_ranges(pe)
    return tuple((*group, *base) for group in groups) or (base,)


def profile_of(number: int, sections: tuple[Section, ...], text: bytes | None) -> Profile:
    """Return a profile with what its `.profile` section, if any, says: ID= and TITLE= as in os-release."""
    said = parse_os_release(text) if text is not None else {}
    return Profile(number=number, id=said.get("ID") or None, title=said.get("TITLE") or None, sections=sections)


def split_uki(data: Buffer, profile: int | None = None) -> Uki:
    """Return the parts of a UKI in a profile (0 where none is named), as views into `data`.

    Raises FormatError when there is no kernel in it, no such profile, or a part lies outside the file.
    """
    pe = parse_pe(data)
    groups = profiles_of(pe)
    number = profile or 0
    if not 0 <= number < len(groups):
        raise FormatError("the UKI has no such profile", profile=number, found=len(groups))
    header = next((section for section in groups[number] if section.name == ".profile"), None)
    chosen = profile_of(number, groups[number], None if header is None else bytes(header.data(data)[:SMALL_SIZE_MAX]))
    parts: dict[str, Any] = {name: _part(chosen, name, data) for name in PARTS}
    if not parts["linux"]:
        raise FormatError("the UKI holds no kernel", section=".linux")
    return Uki(machine=pe.machine, profile=chosen, profile_text=_part(chosen, "profile", data), **parts)


def cmdline_text(raw: bytes) -> str:
    """Return a `.cmdline` section as systemd-stub gives it to a kernel: no NUL at its end, no blanks around it, and
    blanks for the control characters inside."""
    try:
        text = raw.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError("the UKI's command line is not UTF-8", section=".cmdline", at=problem.start) from problem
    if "\0" in text:
        raise FormatError("the UKI's command line has a NUL inside", section=".cmdline")
    return "".join(letter if letter > " " else " " for letter in text).strip(" ")


def _part(profile: Profile, name: str, data: Buffer) -> memoryview | None:
    section = profile.section(f".{name}")
    return None if section is None else section.data(data)
