"""The grammar of the SYSLINUX family: text in, a `Configuration` out; whoever calls reads the files it includes.

Spec: syslinux.cfg(5), menu.txt; what com32/elflink/ldlinux/readconfig.c does where they are silent: keywords in any
case, the last of several directives counts, files are as if they stood in each other. U-Boot's own words, too.
"""

from __future__ import annotations

from shim.entries.syslinux.limits import DEEP_MAX, FILE_SIZE_MAX, NOTES_MAX, TITLE_SIZE_MAX
from shim.entries.syslinux.syntax import KINDS, Command, Configuration, Label, Menu
from shim.errors import EntryError, FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shim.entries.syslinux.limits import Budget

    # Takes a path as it was written; returns the file's name for people and its bytes, None where there is no file.
    Include = Callable[[str], tuple[str, bytes] | None]

BOM = "\ufeff"
BLANKS = " \t\v\f"
NUMBER_SIZE_MAX = 9
# Words about the looks of a loader's own menu, its console, or its network.
PASSED_OVER = frozenset((
    "#", "allowoptions", "implicit", "onerror", "serial", "console", "display", "font", "kbdmap", "say", "noescape",
    "nocomplete", "nohalt", "path", "pxeretry", "sendcookies", "kaslrseed", "title", "none",
    *(f"f{number}" for number in range(13)),
))
MENU_PASSED_OVER = frozenset((
    "background", "hidden", "shiftkey", "save", "nosave", "onerror", "color", "colour", "msgcolor", "msgcolour",
    "width", "margin", "passwordmargin", "rows", "tabmsgrow", "cmdlinerow", "endrow", "passwordrow", "timeoutrow",
    "helpmsgrow", "helpmsgendrow", "hshift", "vshift", "hiddenrow", "autoboot", "tabmsg", "notabmsg", "passprompt",
    "immediate", "noescape", "resolution", "clear", "help",
))


def parse_configuration(name: str, data: bytes, include: Include, budget: Budget) -> Configuration:
    """Return what a configuration says, with everything that it includes.

    Raises FormatError for what is no text, EntryError for what uses up more than `budget` has; both name file and line.
    """
    parser = _Parser(include, budget)
    parser.read(name, data)
    parser.close()
    return parser.configuration


class _Parser:
    """The state of a reading, which goes through all files as if they were one."""

    def __init__(self, include: Include, budget: Budget) -> None:
        self.configuration = Configuration()
        self.include, self.budget = include, budget
        self.menu = self.configuration.menu
        self.depth = 0  # of menus
        self.label: Label | None = None
        self.is_default = False  # MENU DEFAULT was said of the label
        self.sysappend = 0
        self.chain: list[str] = []  # files that are being read
        self.line = 0

    def read(self, name: str, data: bytes) -> None:
        """Read a file to its end, where it does not include itself."""
        if name in self.chain:
            self.note(f"{name} includes itself: it is not read again")
            return
        if len(self.chain) >= DEEP_MAX:
            raise self.refusal("files are nested too deep", limit=DEEP_MAX)
        self.budget.file(name, len(data))
        self.chain.append(name)
        if name not in self.configuration.files:
            self.configuration.files.append(name)
        above = self.line
        rows = enumerate(_text(name, data).split("\n"), 1)
        for self.line, row in rows:
            self.budget.line(name, self.line, len(row))
            word, rest = _split(row)
            if word == "text":
                self.skip_text(rows)
            elif word:
                self.take(word, rest)
        self.line = above
        self.chain.pop()

    def skip_text(self, rows: Iterator[tuple[int, str]]) -> None:
        """Pass over TEXT ... ENDTEXT, which ends with its file at the latest."""
        for self.line, row in rows:
            self.budget.line(self.chain[-1], self.line, len(row))
            if _split(row)[0] == "endtext":
                return

    def take(self, word: str, rest: str) -> None:
        """Take one line in."""
        if word in KINDS:
            if self.label is not None:
                self.label.kind, self.label.kernel = word, rest
        elif word in DIRECTIVES:
            DIRECTIVES[word](self, rest)
        elif word not in PASSED_OVER and not word.startswith("#"):
            self.note(f"{word[:64]} is not known and was passed over")

    def close(self) -> None:
        """Put the label that was being read into its menu."""
        label, self.label = self.label, None
        if label is not None:
            self.menu.items.append(label)
            if self.is_default and not label.leads and not label.disabled:
                self.menu.default = label
        self.is_default = False

    def place(self) -> str:
        return f"{self.chain[-1]}:{self.line}" if self.chain else ""

    def note(self, sentence: str) -> None:
        """Keep a sentence for people; there is a limit to what people read."""
        if len(self.configuration.notes) < NOTES_MAX:
            self.configuration.notes.append((self.place(), sentence))

    def refusal(self, reason: str, **facts: object) -> EntryError:
        return EntryError(reason, file=self.chain[-1] if self.chain else "", line=self.line, **facts)

    def take_label(self, rest: str) -> None:
        self.close()
        self.budget.label(self.chain[-1], self.line)
        if rest:
            self.label = Label(rest, self.chain[-1], self.line, self.sysappend)

    def take_append(self, rest: str) -> None:
        if self.label is not None:
            self.label.append = rest
        else:
            self.configuration.append = rest

    def take_sysappend(self, rest: str) -> None:
        mask = _mask(rest)
        if mask is None:
            self.note(f"SYSAPPEND takes a number: {rest[:64]}")
        elif self.label is not None:
            self.label.sysappend = mask
        else:
            self.sysappend = mask

    def take_command(self, word: str, rest: str) -> None:
        setattr(self.configuration, word, Command(word, rest, self.chain[-1], self.line) if rest else None)

    def take_number(self, word: str, rest: str) -> None:
        """Take TIMEOUT and its like as atoi does: what is no number is 0."""
        digits = len(rest) - len(rest.lstrip("0123456789"))
        setattr(self.configuration, word, int(rest[: min(digits, NUMBER_SIZE_MAX)] or "0"))

    def take_include(self, rest: str, tag: str = "") -> None:
        """Read a file at this place."""
        self.budget.include(self.chain[-1], self.line)
        path = (rest.split(None, 1) or [""])[0]
        found = self.include(path) if path else None
        if found is None:
            if len(self.configuration.missing) < NOTES_MAX:
                self.configuration.missing.append(f"{path[:256]} ({self.place()})")
            return
        if tag:
            self.begin(tag)
        self.read(*found)
        if tag:
            self.end()

    def take_menu_include(self, rest: str) -> None:
        """Read a file at this place; where a tag stands behind its name, as a menu of that name."""
        self.take_include(rest, " ".join(rest.split(None, 1)[1:]))

    def take_menu(self, rest: str) -> None:
        word, rest = _split(rest)
        if word in MENU_DIRECTIVES:
            MENU_DIRECTIVES[word](self, rest)
        elif word and word not in MENU_PASSED_OVER:
            self.note(f"MENU {word[:64]} is not known and was passed over")
        if self.label is None:
            self.configuration.shows_menu = True

    def begin(self, tag: str) -> None:
        self.close()
        if self.depth >= DEEP_MAX:
            raise self.refusal("menus are nested too deep", limit=DEEP_MAX)
        menu = Menu(tag[:TITLE_SIZE_MAX], self.menu)
        self.menu.items.append(menu)
        self.menu, self.depth = menu, self.depth + 1

    def end(self) -> None:
        self.close()
        if self.menu.parent is not None:
            self.menu, self.depth = self.menu.parent, self.depth - 1

    def take_title(self, rest: str) -> None:
        self.menu.title = rest[:TITLE_SIZE_MAX]

    def take_menu_label(self, rest: str) -> None:
        """Name a label; outside of one, the menu that is being read, where it has no title."""
        if self.label is not None:
            self.label.title = rest
        elif not self.menu.title:
            self.menu.title = rest[:TITLE_SIZE_MAX].replace("^", "")

    def take_menu_default(self, _rest: str) -> None:
        if self.label is not None:
            self.is_default = True
        elif self.menu.parent is not None:
            self.menu.parent.default = self.menu

    def take_start(self, _rest: str) -> None:
        self.configuration.start = self.menu

    def mark(self, name: str, rest: str) -> None:
        """Note of a label what takes it out of the menu: HIDE, DISABLE, PASSWD, GOTO, EXIT, QUIT."""
        if self.label is None:
            return
        if name == "leads":
            self.label.leads = rest
        else:
            setattr(self.label, name, True)

    def assign(self, name: str, rest: str) -> None:
        if self.label is not None:
            setattr(self.label, name, rest)

    def take_separator(self, _rest: str) -> None:
        self.close()


def _assigns(name: str) -> Callable[[_Parser, str], None]:
    return lambda parser, rest: parser.assign(name, rest)


def _marks(name: str, value: str = "") -> Callable[[_Parser, str], None]:
    return lambda parser, _rest: parser.mark(name, value)


def _commands(word: str) -> Callable[[_Parser, str], None]:
    return lambda parser, rest: parser.take_command(word, rest)


def _numbers(word: str) -> Callable[[_Parser, str], None]:
    return lambda parser, rest: parser.take_number(word, rest)


DIRECTIVES: dict[str, Callable[[_Parser, str], None]] = {
    "label": _Parser.take_label,
    "append": _Parser.take_append,
    "initrd": _assigns("initrd"),
    "fdt": _assigns("fdt"),
    "devicetree": _assigns("fdt"),
    "fdtdir": _assigns("fdtdir"),
    "devicetreedir": _assigns("fdtdir"),
    "fdtoverlays": _assigns("fdtoverlays"),
    "devicetree-overlay": _assigns("fdtoverlays"),
    "ipappend": _Parser.take_sysappend,
    "sysappend": _Parser.take_sysappend,
    "default": _commands("default"),
    "ui": _commands("ui"),
    "ontimeout": _commands("ontimeout"),
    "timeout": _numbers("timeout"),
    "totaltimeout": _numbers("totaltimeout"),
    "prompt": _numbers("prompt"),
    "include": _Parser.take_include,
    "menu": _Parser.take_menu,
}
MENU_DIRECTIVES: dict[str, Callable[[_Parser, str], None]] = {
    "begin": _Parser.begin,
    "end": lambda parser, _rest: parser.end(),
    "include": _Parser.take_menu_include,
    "title": _Parser.take_title,
    "label": _Parser.take_menu_label,
    "default": _Parser.take_menu_default,
    "start": _Parser.take_start,
    "separator": _Parser.take_separator,
    "hide": _marks("hide"),
    "disable": _marks("disabled"),
    "disabled": _marks("disabled"),
    "passwd": _marks("password"),
    "master": lambda parser, _rest: None,  # guards what is typed, not what is chosen
    "indent": lambda parser, _rest: None,
    "goto": _marks("leads", "goto"),
    "exit": _marks("leads", "exit"),
    "quit": _marks("leads", "quit"),
}


def _text(name: str, data: bytes) -> str:
    """Return a file as text; what is not UTF-8 in it stays visible. Raises FormatError for one that is no text."""
    if len(data) > FILE_SIZE_MAX:
        raise FormatError("the file is too long for a boot configuration", file=name, limit=FILE_SIZE_MAX,
                          found=len(data))
    if b"\0" in data:
        at = data.index(b"\0")
        raise FormatError("a NUL byte in a boot configuration", file=name, line=data.count(b"\n", 0, at) + 1, at=at)
    return data.decode("utf-8", "replace").removeprefix(BOM)


def _split(row: str) -> tuple[str, str]:
    """Return the first word of a line in lower case, and the rest without the blanks around it; \\r ends a line."""
    row = row.partition("\r")[0].strip(BLANKS)
    for at, letter in enumerate(row):
        if letter in BLANKS:
            return row[:at].lower(), row[at:].strip(BLANKS)
    return row.lower(), ""


def _mask(text: str) -> int | None:
    """Return a number as strtoul reads it: 0x for hexadecimal, 0 for octal."""
    word = (text.split() or [""])[0].lower()
    if not word.isascii() or not word.isalnum() or len(word) > NUMBER_SIZE_MAX + 2:
        return None
    base = 16 if word.startswith("0x") else 8 if word.startswith("0") and len(word) > 1 else 10
    try:
        return int(word, base)
    except ValueError:
        return None
