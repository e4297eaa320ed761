"""yaboot.conf of PowerPC machines. Spec: yaboot.conf(5) of yaboot 1.3; second/cfg.c where that is silent.

NAME=VALUE and flags; what comes before the first image= holds for every image that does not say otherwise.
"""

from __future__ import annotations

from shim.entries.located import (
    LINE_SIZE_MAX,
    NOT_UTF8,
    TITLE_SIZE_MAX,
    Menu,
    find_file,
    printable_id,
    read_menus,
    seconds_of,
)
from shim.entries.reading import CONTROLS, Reading
from shim.errors import EntryError, FormatError, ShimError
from shim.model import Entry, FileRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.model import Volume
    from shim.ports import Files

PATHS = ("/yaboot.conf", "/etc/yaboot.conf", "/yaboot.cnf", "/etc/yaboot.cnf", "/suseboot/yaboot.cnf",
         "/ppc/yaboot.conf", "/install/yaboot.conf", "/YABOOT.CONF", "/ETC/YABOOT.CONF")
IMAGES = ("image", "image[32bit]", "image[64bit]")
FLAGS = ("read-only", "read-write", "restricted", "novideo", "single-key", "initrd-prompt", "pause-after")
TENTHS = 10
BLANKS = " \t\r\n"
ENDS = BLANKS + "#="


def read_yaboot(volumes: Sequence[tuple[Volume, Files]], _architecture: str) -> Reading:
    """Return the entries of every volume's yaboot.conf, in its order; its default is the one to start."""

    def parse(found: tuple[Volume, Files, str], text: str) -> Menu:
        path = found[2]
        settings, images = _parse(text, path)
        return Menu(lines=[number for _, number in images], timeout=seconds_of(settings.get("timeout", ""), TENTHS),
                    entry=lambda at: _entry(volumes, found, settings, images[at]),
                    ordered=lambda entries: _with_default(entries, images, settings, path))

    return read_menus(volumes, PATHS, "yaboot", parse, "images")


def _parse(text: str, path: str) -> tuple[dict[str, str], list[tuple[dict[str, str], int]]]:
    """Return what holds for all images, and the images with their lines. Raises FormatError for what is no syntax."""
    settings: dict[str, str] = {}
    images: list[tuple[dict[str, str], int]] = []
    current = settings
    tokens = _tokens(text, path)
    token = next(tokens, None)
    while token is not None:
        name, number, _ = token
        if name == "=":
            raise FormatError("an equals sign without a name", file=path, line=number)
        token = next(tokens, None)
        value = ""
        if token is not None and token[0] == "=" and not token[2]:
            token = next(tokens, None)
            if token is None or (token[0] == "=" and not token[2]):
                raise FormatError("a name without a value", file=path, line=number, name=name[:64])
            value, token = token[0], next(tokens, None)
        elif name.lower() not in FLAGS:
            continue  # yaboot warns, and goes on
        name = name.lower()
        if name in IMAGES:
            current = {}
            images.append((current, number))
        current["image" if name in IMAGES else name] = value
    return settings, images


def _tokens(text: str, path: str) -> Iterator[tuple[str, int, bool]]:
    """Yield words with their lines, and whether they were in quotes. Raises FormatError for quotes that do not end."""
    at, number = 0, 1
    while at < len(text):
        letter = text[at]
        if letter in BLANKS:
            number += letter == "\n"
            at += 1
        elif letter == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif letter == "=":
            yield "=", number, False
            at += 1
        else:
            quoted = letter == '"'
            word, end = _quoted(text, at + 1, path, number) if quoted else _word(text, at, path, number)
            yield word, number, quoted
            number += text.count("\n", at, end)
            at = end


def _word(text: str, at: int, path: str, number: int) -> tuple[str, int]:
    """Return a word and where it ends: a backslash makes the next letter part of it, and takes a line's end out."""
    letters: list[str] = []
    while at < len(text) and text[at] not in ENDS:
        if text[at] == "\\":
            at += 1
            if at >= len(text):
                raise FormatError("a backslash at the end of the file", file=path, line=number)
            letters.append("" if text[at] == "\n" else " " if text[at] == "\t" else text[at])
        else:
            letters.append(text[at])
        at += 1
        if len(letters) > LINE_SIZE_MAX:
            raise FormatError("a word is too long", file=path, line=number, limit=LINE_SIZE_MAX)
    return "".join(letters), at


def _quoted(text: str, at: int, path: str, number: int) -> tuple[str, int]:
    """Return what stands in quotes and where they end: \\" and \\\\ are themselves, a line that goes on is a blank."""
    letters: list[str] = []
    while at < len(text) and text[at] != '"':
        letter = text[at]
        if letter == "\\":
            at += 1
            letter = text[at : at + 1]
            if letter == "\n":
                while text[at + 1 : at + 2] in (" ", "\t"):
                    at += 1
                letter = " "
            elif letter not in ('"', "\\"):
                raise FormatError("a backslash before what needs none", file=path, line=number)
        elif letter in "\r\n":
            raise FormatError("a line ends inside of quotes", file=path, line=number)
        letters.append(letter)
        at += 1
        if len(letters) > LINE_SIZE_MAX:
            raise FormatError("a text in quotes is too long", file=path, line=number, limit=LINE_SIZE_MAX)
    if at >= len(text):
        raise FormatError("quotes that do not end", file=path, line=number)
    return "".join(letters), at + 1


def _entry(volumes: Sequence[tuple[Volume, Files]], found: tuple[Volume, Files, str], settings: dict[str, str],
           image: tuple[dict[str, str], int]) -> Entry:  # fmt: skip
    volume, _, path = found
    own, number = image
    given = {**settings, **own}
    label = _label(own)
    cmdline = _cmdline(given)
    entry = Entry(
        id=printable_id(label), dialect="yaboot", volume=volume.name, source=f"{path}:{number}", title=label,
        cmdline=cmdline, configuration=(FileRef(volume=volume.name, path=path),), menu_path=printable_id(label),
        trace=(f"{path}:{number}: image={own['image'][:TITLE_SIZE_MAX]}",))
    hidden = None
    if "password" in settings and "restricted" not in given:
        hidden = "yaboot asks for a password for it"
    elif not CONTROLS.isdisjoint(cmdline) or not label.isprintable():
        hidden = "a control character in its command line or its label"
    elif NOT_UTF8 in cmdline + label + own["image"]:
        hidden = "its command line, its label or its image is not UTF-8"
    try:
        ref, notes = _find(volumes, found, own["image"], given, "image")
        initrds = (_find(volumes, found, given["initrd"], given, "initrd")[0],) if given.get("initrd") else ()
    except ShimError as problem:
        return entry.replace(hidden=hidden or str(problem))
    entry = entry.replace(linux=ref, initrd=initrds, hidden=hidden)
    for note in notes:
        entry = entry.traced(note)
    return entry


def _label(own: dict[str, str]) -> str:
    return (own.get("label") or own["image"].rpartition("/")[2] or "image")[:TITLE_SIZE_MAX]


def _cmdline(given: dict[str, str]) -> str:
    """Return the command line as yaboot makes it, in its order."""
    if "literal" in given:
        return given["literal"].strip()
    words = [f"root={given['root']}"] if given.get("root") else []
    words += [word for flag, word in (("read-only", "ro"), ("read-write", "rw")) if flag in given]
    words += [f"{word}={given[key]}" for key, word in (("ramdisk", "ramdisk"), ("initrd-size", "ramdisk_size"))
              if given.get(key)]
    words += ["video=ofonly"] if "novideo" in given else []
    return " ".join([*words, given.get("append", "")]).strip()


def _find(volumes: Sequence[tuple[Volume, Files]], found: tuple[Volume, Files, str], name: str,
          given: dict[str, str], key: str) -> tuple[FileRef, list[str]]:  # fmt: skip
    """Return a file of the partition that is named, else of the configuration's own volume, and how it was found.

    Only the number of a partition is gone by: names of Open Firmware say nothing of the kernel's.
    """
    own, files, path = found
    before, slash, _ = name.partition("/") if not name.startswith("/") else ("", "", "")
    device, colon, behind = name.partition(":") if name.startswith("/") and ":" in name else ("", "", "")
    if colon:  # /pci/…/disk@0:3,/boot/vmlinux
        before, slash = behind.partition("/")[:2]
        name = "/" + behind.partition("/")[2]
    elif slash:
        name = name[len(before) :]
    elif not name.startswith("/"):
        name = f"{path.rpartition('/')[0]}/{name}"  # openSUSE: beside the configuration
    if "[" in before or (colon and not slash):
        raise EntryError("a range of blocks is no file", image=(device or name)[:128])
    digits = "".join(letter for letter in before.rpartition(":")[2] if letter in "0123456789")
    number = digits or given.get("partition", "")
    notes: list[str] = []
    if number.isdecimal() and len(number) < 4 and int(number) not in (0, own.number):
        other = next((pair for pair in volumes if pair[0].number == int(number) and pair[0].disk == own.disk), None)
        if other is not None:
            ref, note = find_file(*other, name, key)
            return ref, [f"partition {int(number)} is {other[0].name}", *filter(None, [note])]
        notes.append(f"no partition {int(number)} on its disk: its own volume is looked at")
    ref, note = find_file(own, files, name, key)
    return ref, [*notes, *filter(None, [note])]


def _with_default(entries: list[Entry], images: Sequence[tuple[dict[str, str], int]], settings: dict[str, str],
                  path: str) -> list[Entry]:  # fmt: skip
    """Put the default first: the image whose label or alias default= is, else the first."""
    if not entries:
        return entries
    name = settings.get("default")
    named = [at for at in range(len(entries)) if name in (entries[at].title, images[at][0].get("alias"))]
    said = f"{path} says default={name}" if named else f"the first image of {path}"
    first = entries.pop(named[0] if named else 0)
    return [first.replace(menu_default=said), *entries]
