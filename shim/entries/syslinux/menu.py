"""The menus of a configuration as entries, and which of them is started when nobody presses a key."""

from __future__ import annotations

from shim.entries.located import printable_id
from shim.entries.reading import CONTROLS
from shim.entries.syslinux.limits import CHAIN_MAX, CMDLINE_SIZE_MAX, WORDS_MAX
from shim.entries.syslinux.paths import resolve
from shim.entries.syslinux.start import Start, start_of, sysappend
from shim.entries.syslinux.syntax import Label, Menu
from shim.errors import EntryError, ShimError
from shim.model import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.entries.syslinux.read import Place
    from shim.entries.syslinux.syntax import Command, Configuration
    from shim.model import FileRef

DIALECT = "syslinux"
TIMEOUT_MAX = 3600.0
NOT_UTF8 = "\ufffd"
HIDE = "the menu does not show it (MENU HIDE)"


def timeout_of(configuration: Configuration) -> float | None:
    """Return how long the loader would wait, in seconds; None where nothing is said that it goes by."""
    shows = configuration.ui is not None or configuration.shows_menu or _is_menu(configuration.default)
    if configuration.timeout is None and configuration.prompt is None and not shows and not configuration.totaltimeout:
        return None
    if not shows and not configuration.prompt:
        return 0.0
    tenths = configuration.timeout or configuration.totaltimeout
    return min(tenths / 10, TIMEOUT_MAX) if tenths else TIMEOUT_MAX


def _is_menu(command: Command | None) -> bool:
    return command is not None and start_of("kernel", command.text[:CMDLINE_SIZE_MAX]).is_menu


class Menus:
    """The labels of one configuration, with those of all that it leads to."""

    def __init__(self, place: Place, configuration: Configuration, base: str, path: str,
                 above: tuple[str, ...] = (), notes: tuple[str, ...] = (), refs: tuple[FileRef, ...] = ()) -> None:
        self.place, self.configuration, self.base, self.path = place, configuration, base, path
        self.above, self.notes = above, notes
        own = (place.ref(file) for file in configuration.files)
        self.refs = tuple(dict.fromkeys((*refs, *own)))  # with those that led here: they say where paths begin
        self.found: dict[Label, list[Entry]] = {}  # of each label, and in `lines` what the menu shows of it
        self.lines: dict[Label, list[Entry]] = {}
        self.opening: set[Label] = set()  # labels that open a menu of another file
        self.more: list[Entry] = []  # of a menu that is read in place of this one

    def entries(self) -> list[Entry]:
        """Return the entries: what is started by itself first."""
        for menu, label in self.configuration.menu.labels():
            if not label.leads:
                hidden = _hidden(label)
                found = self.found[label] = self._label(label, (*self.above, *menu.path()))
                self.lines[label] = [entry.replace(hidden=hidden) for entry in found] if hidden else list(found)
        first = self._default()
        # What is read from another file comes last: such menus lead back to where they come from.
        lines = sorted(self.lines.items(), key=lambda line: line[0] in self.opening)
        rest = [entry for _, entries in lines for entry in entries] + self.more
        return rest if first is None else [first, *(entry for entry in rest if entry is not first)]

    def _label(self, label: Label, prefix: tuple[str, ...]) -> list[Entry]:
        """Return the entry of a label, or all those of the menu that it reads."""
        title = (label.title or label.text).replace("^", "")
        place = f"{label.file}:{label.line}"
        notes = (*self.notes, f"{place}: LABEL {label.name[:128]}")
        start = self._start(label)
        if start.menus:
            self.opening.add(label)
        entries = self._started(start, label.name, title, prefix, notes, place)
        return [self._with_devicetree(entry.replace(menu_default=None), label) for entry in entries]

    def _start(self, label: Label) -> Start:
        """Return what a label starts, with the APPEND of all labels where it has none of its own."""
        append = label.append if label.append is not None else self.configuration.append
        initrd = "initrd=" + ",".join(label.initrd.split()) if label.initrd else ""
        known = {"FSUUID": self.place.volume.uuid} if self.place.volume.uuid else {}
        added, unknown = sysappend(label.sysappend, known)
        words = (label.kernel, "" if append == "-" else append, initrd, *added)
        start = start_of(label.kind, " ".join(word for word in words if word), self.place.system)
        if unknown is not None and start.kind:
            return start.replace(notes=(*start.notes, f"SYSAPPEND asks for {unknown}, which is not known here"))
        return start

    def _started(self, start: Start, name: str, title: str, prefix: tuple[str, ...], notes: tuple[str, ...],
                 source: str, depth: int = 0) -> list[Entry]:  # fmt: skip
        """Return the entry of what is started; all those of a menu that is read instead."""
        notes = (*notes, *start.notes)
        if start.menus:
            return self._read_menus(start, (*prefix, title) if title else prefix, notes, source)
        if start.leads_to is not None:
            label = self.configuration.find(start.leads_to)
            if label is not None and depth < CHAIN_MAX:
                notes = (*notes, f"{label.file}:{label.line}: LABEL {label.name[:128]}")
                return self._started(self._start(label), name, title, prefix, notes, source, depth + 1)
            start = Start(hidden=f"it leads to {start.leads_to[:64] or 'nothing'}, which is no label")
        if start.is_menu:
            return []
        entry = Entry(id=printable_id(name), dialect=DIALECT, volume=self.place.volume.name, source=source, title=title,
                      configuration=self.refs, menu_path=printable_id(">".join((*prefix, title))), trace=notes)
        return [self._with_files(entry, start)]

    def _read_menus(self, start: Start, prefix: tuple[str, ...], notes: tuple[str, ...], source: str) -> list[Entry]:
        """Return the entries of configurations that are read in place of what was asked for."""
        entries: list[Entry] = []
        place = self.place
        for name in start.menus:
            if name == "~":  # back to where the loader began
                continue
            try:
                path = resolve(name, self.base)
                base = resolve(start.directory, self.base) if start.directory else self.base
                configuration = place.parse(path, base)
            except ShimError as problem:
                place.problem(source, f"the menu {name[:256]} is not read: {problem}")
                continue
            if configuration is None:
                continue
            place.depth += 1
            try:
                led = (*notes, f"reads the menu {path}")
                entries += Menus(place, configuration, base, path, prefix, led, self.refs).entries()
            finally:
                place.depth -= 1
        return entries

    def _with_files(self, entry: Entry, start: Start) -> Entry:
        """Return the entry with what it starts; hidden where a file is not there, or nothing can be started."""
        if not start.kind:
            return entry.replace(hidden=start.hidden or "it names no kernel")
        try:
            kernel, notes = self._file(start.kernel)
            initrds = [self._file(name) for name in start.initrds]
            modules = [self._file(name) for name in start.modules]
        except EntryError as problem:
            return entry.replace(hidden=start.hidden or str(problem), cmdline=start.cmdline)
        hidden = start.hidden
        if not CONTROLS.isdisjoint(start.cmdline):
            hidden = hidden or "a control character in its command line"
        if NOT_UTF8 in start.cmdline + kernel.path:
            hidden = hidden or "its command line or its kernel's name is not UTF-8"
        entry = entry.replace(
            **{start.kind: kernel}, initrd=tuple(ref for ref, _ in initrds), cmdline=start.cmdline, hidden=hidden,
            modules=tuple(ref for ref, _ in modules))
        return entry.traced(notes) if notes else entry

    def _file(self, name: str) -> tuple[FileRef, str]:
        """Return a file of the volume, and how it was found where that is not by its name alone.

        Raises EntryError for one that is not there, or that is no file of a volume.
        """
        path = resolve(name, self.base)
        if self.place.exists(path):
            return self.place.ref(path), ""
        if self.place.exists(f"/boot{path}"):
            return self.place.ref(f"/boot{path}"), "its paths are relative to /boot, which is no volume of its own"
        raise EntryError("a file is not there", file=path)

    def _with_devicetree(self, entry: Entry, label: Label) -> Entry:
        try:
            if label.fdt and entry.hidden is None:
                entry = entry.replace(devicetree=self._file(label.fdt)[0])
            if label.fdtoverlays and entry.hidden is None:
                overlays = tuple(self._file(name)[0] for name in label.fdtoverlays.split(None, WORDS_MAX)[:WORDS_MAX])
                entry = entry.replace(devicetree_overlay=overlays)
        except EntryError as problem:
            return entry.replace(hidden=str(problem))
        if label.fdtdir and not label.fdt:
            entry = entry.traced(f"FDTDIR {label.fdtdir[:128]}: which file in it is this board's, only U-Boot knows")
        return entry

    def _default(self) -> Entry | None:
        """Return the entry that is started when nobody presses a key, with who says so."""
        configuration = self.configuration
        ui, default = configuration.ui, configuration.default
        for command in (configuration.ontimeout, default if ui is None else None):
            chosen = self._commanded(command) if command is not None else None
            if chosen is not None:
                return chosen
        instead = self._commanded(ui) if ui is not None else None
        if instead is not None:
            return instead
        label = configuration.find(default.text) if ui is not None and default is not None else None
        if label is not None and default is not None:
            return self._chosen(label, f"{_where(default)} says {label.name[:128]}")
        return self._first_of(configuration.start)

    def _commanded(self, command: Command) -> Entry | None:
        """Return the entry of DEFAULT, ONTIMEOUT or UI; None where it is a menu, whose own default counts."""
        label = self.configuration.find(command.text) if command.word != "ui" else None
        if label is not None:
            more = "" if command.text == label.text else command.text[len(label.name) :].strip()
            return self._chosen(label, f"{_where(command)} says {command.text[:256]}", more)
        name, rest = (*command.text.split(None, 1), "")[:2]
        is_module = command.word == "ui" or name.lower().endswith(".c32")
        append = self.configuration.append if not is_module and self.configuration.append != "-" else ""
        line = " ".join(word for word in (name, append, rest) if word)
        start = start_of("com32" if is_module else "kernel", line, self.place.system)
        place = f"{command.file}:{command.line}"
        notes = (*self.notes, f"{place}: {command.word.upper()} {command.text[:128]}")
        entries = self._started(start, name, "" if start.menus else name, self.above, notes, place)
        if start.menus:
            self.more += entries
            return entries[0] if entries else None
        if start.is_menu or command.word == "ui" or not entries:
            return None
        entry = entries[0].replace(menu_default=f"{_where(command)}, which names a kernel and no label")
        self.more.append(entry)
        return entry if entry.hidden is None else None

    def _chosen(self, label: Label, said: str, more: str = "") -> Entry | None:
        """Return the first entry of a label as the default; with words more it is an entry of its own."""
        entries = self.lines.get(label)
        if not entries:
            return None
        entry = entries[0].replace(menu_default=said)
        if label.hide and not label.disabled and not label.password:
            entry = self.found[label][0].traced(HIDE, menu_default=said)
        if more and entry.hidden is None:
            return entry.replace(cmdline=f"{entry.cmdline or ''} {more}".strip(), title=f"{entry.title} {more}")
        entries[0] = entry
        return entry

    def _first_of(self, menu: Menu) -> Entry | None:
        """Return what a menu starts with: its MENU DEFAULT, or the first of it that starts anything."""
        item, said = menu.default, f"MENU DEFAULT of {self.path}"
        if item is None:
            item = next((one for one in menu.items if isinstance(one, Menu) or self._starts(one)), None)
            said = f"the first entry of {self.path} that starts anything; it names no default"
        if isinstance(item, Menu):
            return self._first_of(item)
        return self._chosen(item, said) if item is not None else None

    def _starts(self, label: Label) -> bool:
        entries = self.lines.get(label)
        return bool(entries) and any(entry.hidden is None for entry in entries or ())


def _hidden(label: Label) -> str | None:
    if label.password:
        return "SYSLINUX asks for a password for it"
    if label.disabled:
        return "the menu does not offer it (MENU DISABLE)"
    return HIDE if label.hide else None


def _where(command: Command) -> str:
    return f"{command.word.upper()} of {command.file}:{command.line}"
