"""What a configuration of the SYSLINUX family says, before anybody asked for a file: labels, menus, defaults."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Directives that name what a label starts; the word is the kind. "kernel" goes by the file's name.
KINDS = ("kernel", "linux", "boot", "bss", "pxe", "fdimage", "comboot", "com32", "config", "localboot")


class Label:
    """A label as it was written. `kernel` is what its last KERNEL-like directive says, options and all."""

    __slots__ = ("append", "disabled", "fdt", "fdtdir", "fdtoverlays", "file", "hide", "initrd", "kernel", "kind",
                 "leads", "line", "name", "password", "sysappend", "text", "title")

    def __init__(self, text: str, file: str, line: int, sysappend: int) -> None:
        words = text.split(None, 1)
        self.text, self.name = text, words[0] if words else ""
        self.file, self.line = file, line
        self.kind, self.kernel = "kernel", self.name  # a label without a KERNEL names it itself
        self.append: str | None = None
        self.initrd: str | None = None
        self.fdt: str | None = None
        self.fdtdir: str | None = None
        self.fdtoverlays: str | None = None
        self.title: str | None = None
        self.sysappend = sysappend
        self.hide = self.disabled = self.password = False
        self.leads = ""  # "goto", "exit", "quit": it leads about in the menus, and starts nothing


class Menu:
    """A menu: labels and menus in their order. `default` is the one that it starts with."""

    __slots__ = ("default", "items", "parent", "tag", "title")

    def __init__(self, tag: str = "", parent: Menu | None = None) -> None:
        self.tag, self.parent = tag, parent
        self.title = ""
        self.items: list[Label | Menu] = []
        self.default: Label | Menu | None = None

    def labels(self) -> Iterator[tuple[Menu, Label]]:
        """Yield all labels with their menus, those of a menu in it at its place."""
        for item in self.items:
            if isinstance(item, Label):
                yield self, item
            else:
                yield from item.labels()

    def path(self) -> tuple[str, ...]:
        """Return the titles from the outermost menu's first submenu to this one."""
        return (*self.parent.path(), self.title or self.tag) if self.parent is not None else ()


class Command:
    """A command line with the place where it was written: of DEFAULT, UI or ONTIMEOUT."""

    __slots__ = ("file", "line", "text", "word")

    def __init__(self, word: str, text: str, file: str, line: int) -> None:
        self.word, self.text, self.file, self.line = word, text, file, line


class Configuration:
    """All that the files of one configuration say. `missing` are includes that are not there, each with its place."""

    __slots__ = ("_named", "append", "default", "files", "menu", "missing", "notes", "ontimeout", "prompt",
                 "shows_menu", "start", "timeout", "totaltimeout", "ui")

    def __init__(self) -> None:
        self.menu = Menu()
        self.start = self.menu
        self.append: str | None = None
        self.default: Command | None = None
        self.ui: Command | None = None
        self.ontimeout: Command | None = None
        self.timeout: int | None = None  # tenths of seconds
        self.totaltimeout = 0
        self.prompt: int | None = None
        self.shows_menu = False  # a MENU line outside of labels: U-Boot shows a menu then
        self.files: list[str] = []
        self.missing: list[str] = []
        self._named: dict[str, Label] | None = None
        self.notes: list[tuple[str, str]] = []  # the place, and the sentence

    def find(self, text: str) -> Label | None:
        """Return the label that a command line begins with, the first of its name; a name with blanks in it first.

        Only once everything was read.
        """
        if self._named is None:
            self._named = {}
            for _, label in self.menu.labels():
                self._named.setdefault(label.name, label)
            for _, label in self.menu.labels():
                self._named.setdefault(label.text, label)
        words = text.split(None, 1)
        return self._named.get(text) or (self._named.get(words[0]) if words else None)
