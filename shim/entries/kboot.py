"""kboot.conf: one line an entry, as kboot and petitboot take it. Spec: petitboot, discover/kboot-parser.c.

LABEL='[DEVICE:]KERNEL [initrd=[DEVICE:]FILE] [WORD]…'; root= and initrd= on lines of their own hold for all labels
that name none. default= is a label, timeout= is in seconds (kboot; petitboot has its own settings for both).
"""

from __future__ import annotations

from shim.entries.located import (
    LINE_SIZE_MAX,
    NOT_UTF8,
    TITLE_SIZE_MAX,
    Menu,
    find_file,
    find_volume,
    printable_id,
    read_menus,
    seconds_of,
)
from shim.entries.reading import CONTROLS, Reading
from shim.errors import EntryError, FormatError, ShimError
from shim.model import Entry, FileRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Volume
    from shim.ports import Files

PATHS = ("/kboot.conf", "/kboot.cnf", "/etc/kboot.conf", "/etc/kboot.cnf", "/KBOOT.CONF", "/KBOOT.CNF",
         "/ETC/KBOOT.CONF", "/ETC/KBOOT.CNF")
SETTINGS = ("default", "timeout", "root", "initrd")
PASSED_OVER = ("delay", "message", "video")
STRIPPED = "\"' \t\r\v\f"


def read_kboot(volumes: Sequence[tuple[Volume, Files]], _architecture: str) -> Reading:
    """Return the entries of every volume's kboot.conf, in its order; its default is the one to start."""

    def parse(found: tuple[Volume, Files, str], text: str) -> Menu:
        path = found[2]
        settings, labels = _parse(text, path)
        return Menu(lines=[number for _, _, number in labels], timeout=seconds_of(settings.get("timeout", "")),
                    entry=lambda at: _entry(volumes, found, settings, labels[at]),
                    ordered=lambda entries: _with_default(entries, settings, path))

    return read_menus(volumes, PATHS, "kboot", parse)


def _parse(text: str, path: str) -> tuple[dict[str, str], list[tuple[str, str, int]]]:
    """Return the settings, and the labels with what they start and their lines."""
    settings: dict[str, str] = {}
    labels: list[tuple[str, str, int]] = []
    for number, row in enumerate(text.split("\n"), 1):
        if len(row) > LINE_SIZE_MAX:
            raise FormatError("the line is too long", file=path, line=number, limit=LINE_SIZE_MAX, found=len(row))
        name, equals, value = row.replace("\t", " ").partition("=")
        name, value = name.strip(STRIPPED), value.strip(STRIPPED)
        if not equals or not name or not value or name.startswith("#") or value.startswith("#"):
            continue
        if name in SETTINGS:
            settings[name] = value
        elif name not in PASSED_OVER:
            labels.append((name, value, number))
    return settings, labels


def _entry(volumes: Sequence[tuple[Volume, Files]], found: tuple[Volume, Files, str], settings: dict[str, str],
           label: tuple[str, str, int]) -> Entry:  # fmt: skip
    volume, _, path = found
    name, value, number = label
    kernel, *words = value.split(" ")
    initrd, root = settings.get("initrd"), settings.get("root")
    rest: list[str] = []
    for word in words:
        if word.startswith("initrd="):
            initrd = word.removeprefix("initrd=").strip(STRIPPED)
        elif word.startswith("root="):
            root = word.removeprefix("root=")
        elif word:
            rest.append(word)
    cmdline = " ".join(([f"root={root}"] if root else []) + rest)
    entry = Entry(
        id=printable_id(name), dialect="kboot", volume=volume.name, source=f"{path}:{number}",
        title=name[:TITLE_SIZE_MAX], cmdline=cmdline, configuration=(FileRef(volume=volume.name, path=path),),
        menu_path=printable_id(name), trace=(f"{path}:{number}: {name[:TITLE_SIZE_MAX]}",))
    hidden = None
    if not CONTROLS.isdisjoint(cmdline) or not name.isprintable():
        hidden = "a control character in its command line or its name"
    elif NOT_UTF8 in name + value:
        hidden = "its command line or its name is not UTF-8"
    try:
        ref, note = _find(volumes, found, kernel, "kernel")
        initrds = (_find(volumes, found, initrd, "initrd")[0],) if initrd else ()
    except ShimError as problem:
        return entry.replace(hidden=hidden or str(problem))
    entry = entry.replace(linux=ref, initrd=initrds, hidden=hidden)
    return entry.traced(note) if note else entry


def _find(volumes: Sequence[tuple[Volume, Files]], found: tuple[Volume, Files, str], name: str, key: str
          ) -> tuple[FileRef, str]:  # fmt: skip
    """Return a file: of the volume before its colon, else of the configuration's own."""
    device, colon, path = name.rpartition(":")
    if colon and "/" in device.removeprefix("/dev/"):
        raise EntryError("no file of a volume", file=name[:256])
    volume, files = find_volume(volumes, device) if colon else found[:2]
    return find_file(volume, files, path, key)


def _with_default(entries: list[Entry], settings: dict[str, str], path: str) -> list[Entry]:
    """Put the default first: the label that default= names, else the first."""
    name = settings.get("default")
    at = next((at for at, entry in enumerate(entries) if entry.title == name), 0)
    if not entries:
        return entries
    said = f"{path} says default={name}" if entries[at].title == name else f"the first entry of {path}"
    first = entries.pop(at)
    return [first.replace(menu_default=said), *entries]
