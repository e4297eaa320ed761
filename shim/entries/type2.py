"""Boot Loader Specification, type 2: unified kernel images in EFI/Linux. Spec: UAPI.1, "Type #2"; UAPI.5.

Only headers and small sections are read here; the kernel in the image is read when the entry is tried.
"""

from __future__ import annotations

from shim.entries.counting import split_counter
from shim.entries.reading import Reading
from shim.errors import FormatError, ShimError
from shim.formats.os_release import parse_os_release
from shim.formats.pe import parse_pe
from shim.formats.uki import SMALL, SMALL_SIZE_MAX, cmdline_text, is_uki, profile_of, profiles_of
from shim.model import Entry, FileRef, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.formats.pe import PE, Section
    from shim.formats.uki import Profile
    from shim.model import Volume
    from shim.ports import Files, Source

DIRECTORIES = ("/EFI/Linux", "/efi/Linux", "/EFI/linux", "/efi/linux", "/boot/EFI/Linux", "/boot/efi/EFI/Linux")
SUFFIX = ".efi"
HEAD_SIZE = 16 << 10
IMAGES_MAX = 200
# PE/COFF machine types in the words of UEFI 2.10, 3.5.1.1.
ARCHITECTURES = {0x14C: "ia32", 0x8664: "x64", 0x1C2: "arm", 0xAA64: "aa64", 0x5064: "riscv64", 0x6264: "loongarch64"}


def read_type2(volume: Volume, files: Files) -> Reading:
    """Return an entry for each profile of each UKI in EFI/Linux; what is no UKI is a problem."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    seen: set[tuple[str, ...]] = set()
    for directory in DIRECTORIES:
        names = tuple(name for name in files.names(directory) or () if _is_image(name))
        if not names or names in seen:  # the same directory, where the file system does not tell case apart
            continue
        seen.add(names)
        if len(names) > IMAGES_MAX:
            text = f"only the first {IMAGES_MAX} of {len(names)} images are read"
            problems.append(Problem(source=f"{volume.name}:{directory}", error=text))
        for name in names[:IMAGES_MAX]:
            try:
                entries += _read(volume, files, f"{directory}/{name}", name)
            except ShimError as problem:
                problems.append(Problem(source=f"{volume.name}:{directory}/{name}", error=str(problem)))
    return Reading(entries=tuple(entries), problems=tuple(problems))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIX) and not name.startswith(".")


def _read(volume: Volume, files: Files, path: str, name: str) -> list[Entry]:
    source = files.open(path)
    try:
        head = source.read(HEAD_SIZE)
        pe = parse_pe(head)
        if not is_uki(pe):
            raise FormatError("not a UKI: no .linux section")
        small = _read_small(source, head, pe)
    finally:
        source.close()
    plain, left, done = split_counter(name, name[-len(SUFFIX) :])
    entries = []
    for number, sections in enumerate(profiles_of(pe)):
        header = next((section for section in sections if section.name == ".profile"), None)
        profile = profile_of(number, sections, small.get(header.raw_offset) if header else None)
        entry = _entry(volume, path, profile, small).replace(
            id=_id(plain, profile, header is not None), tries_left=left, tries_done=done,
            architecture=ARCHITECTURES.get(pe.machine))
        if left is not None:
            entry = entry.traced(f"boot counting: {left} tries left, {done} done")
        entries.append(entry)
    return entries


def _id(name: str, profile: Profile, explicit: bool) -> str:
    if not explicit or profile.number == 0:
        return name
    return f"{name}@{profile.id or profile.number}"


def _entry(volume: Volume, path: str, profile: Profile, small: dict[int, bytes]) -> Entry:
    def text(name: str) -> bytes:
        section = profile.section(name)
        return small.get(section.raw_offset, b"") if section is not None else b""

    osrel = parse_os_release(text(".osrel"))
    uname = text(".uname").rstrip(b"\0").decode("utf-8", "replace").strip() or None
    name = _first(osrel, "PRETTY_NAME", "IMAGE_ID", "NAME", "ID") or path.rsplit("/", 1)[-1]
    entry = Entry(
        id=path, dialect="bls2", volume=volume.name, source=f"{path}:0",
        title=_title(name, profile),
        version=_first(osrel, "IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID") or uname,
        sort_key=_first(osrel, "IMAGE_ID", "ID"),
        uki=FileRef(volume=volume.name, path=path), profile=profile.number,
        trace=(f"a unified kernel image: {volume.name}:{path}",),
    )
    if uname:
        entry = entry.traced(f"its kernel is {uname}")
    if profile.title or profile.id or profile.number:
        entry = entry.traced(f"profile {profile.number}: {profile.id or 'without an ID'}")
    try:
        own = cmdline_text(text(".cmdline"))
    except FormatError as problem:
        return entry.traced("its command line cannot be read", hidden=str(problem))
    return entry.traced(
        f"its own command line: {own}" if own else "it has no command line of its own", own_cmdline=own)


def _first(osrel: Mapping[str, str], *names: str) -> str | None:
    """Return the first of these that says something; which, and in what order, is systemd-boot's choice."""
    return next((osrel[name] for name in names if osrel.get(name)), None)


def _title(name: str, profile: Profile) -> str:
    if not profile.title and not profile.number:
        return name
    return f"{name} ({profile.title or profile.id or f'Profile #{profile.number + 1}'})"


def _read_small(source: Source, head: bytes, pe: PE) -> dict[int, bytes]:
    """Return the bytes of the sections that describe the image, by their offsets in the file."""
    wanted = sorted((section for section in pe.sections if section.name in SMALL), key=lambda s: s.raw_offset)
    found: dict[int, bytes] = {}
    at = len(head)
    for section in wanted:
        _check(section, source.size)
        inside = head[section.raw_offset : section.raw_offset + section.size]
        if len(inside) == section.size:
            found[section.raw_offset] = inside
            continue
        rest_at = section.raw_offset + len(inside)
        if rest_at < at:
            raise FormatError("sections of the UKI overlap", section=section.name, at=section.raw_offset)
        source.skip(rest_at - at)
        rest = source.read(section.size - len(inside))
        found[section.raw_offset] = inside + rest
        at = rest_at + len(rest)
    return found


def _check(section: Section, size: int) -> None:
    if section.size > SMALL_SIZE_MAX:
        raise FormatError("the section is too long", section=section.name, limit=SMALL_SIZE_MAX, found=section.size)
    if section.raw_offset + section.size > size:
        raise FormatError("PE section lies outside the file", section=section.name, at=section.raw_offset,
                          expected=section.size, found=max(size - section.raw_offset, 0))
