"""From a menu of GRUB to entries: each body is run on its own, as if somebody had chosen it.

The default comes first, then what `fallback` names, then the others in the order of the menu.
"""

from __future__ import annotations

from shim.entries.grub.conditions import is_number, number
from shim.entries.grub.interpreter import Menu
from shim.entries.grub.limits import MENUS_DEEP_MAX, TRACE_MAX
from shim.entries.reading import CONTROLS
from shim.model import Entry, FileRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.entries.grub.booting import Loaded
    from shim.entries.grub.devices import Place
    from shim.entries.grub.environment import Environment
    from shim.entries.grub.interpreter import Interpreter
    from shim.entries.grub.menus import Item

TIMEOUT_MAX = 3600.0
DIALECT = "grub"
NOT_UTF8 = "\ufffd"


class Choice:
    """A line of the menu that was run: an entry, or a menu of more lines with its own default."""

    __slots__ = ("default", "entry", "item", "lines")

    def __init__(self, item: Item, entry: Entry | None, lines: Sequence[Choice] = (), default: str = "") -> None:
        self.item, self.entry, self.lines, self.default = item, entry, lines, default


def read_menu(run: Interpreter, menu: Menu) -> list[Entry]:
    """Return the entries of a menu and of all that it opens, in the order in which GRUB would try them."""
    lines = _lines(run, menu, "", (), 0, None)
    default = menu.environment.get("default") or ""
    first = _pick(lines, default)
    ordered: list[Choice] = []
    if first is not None and first.entry is not None:
        first.entry = first.entry.replace(menu_default=_who_says(run, menu, default))
        ordered.append(first)
    for word in _fallbacks(menu):
        more = _pick(lines, word, strict=True)
        if more is not None and more.entry is not None and more not in ordered:
            more.entry = more.entry.traced(f"a fallback: {_where(run, menu, 'fallback')} names {word[:128]}")
            ordered.append(more)
    taken = set(map(id, ordered))
    ordered += (choice for choice in _flat(lines) if id(choice) not in taken)
    return [choice.entry for choice in ordered if choice.entry is not None]


def _fallbacks(menu: Menu) -> list[str]:
    text = menu.environment.get("fallback") or ""
    return [text] if any(item.args[0] == text for item in menu.items) else text.split()


def _who_says(run: Interpreter, menu: Menu, default: str) -> str:
    if not default:
        return f"the first entry of {run.shown_path(menu.items[0].node.path)}, which names no default"
    return f"{_where(run, menu, 'default')} says {default[:256]}"


def _where(run: Interpreter, menu: Menu, name: str) -> str:
    """Return where a variable was set, and what that took from the environment block of a boot before."""
    place = menu.environment.place(name)
    if place is None:
        return "GRUB"
    origin = run.origins.get(place)
    return run.where(place) if origin is None else f"{run.where(place)} ({origin}, which stays as it is)"


def timeout_of(menu: Menu) -> float | None:
    """Return how long GRUB would wait, in seconds; None where the script does not say."""
    text = menu.environment.get("timeout")
    if text == "-1":
        return TIMEOUT_MAX
    if not text or not is_number(text[0]):
        return None
    return min(float(number(text)), TIMEOUT_MAX)


def _lines(run: Interpreter, menu: Menu, prefix: str, notes: tuple[str, ...], depth: int,
           hidden: str | None) -> list[Choice]:  # fmt: skip
    return [_line(run, menu, item, prefix, notes, depth, hidden) for item in menu.items]


def _line(run: Interpreter, menu: Menu, item: Item, prefix: str, notes: tuple[str, ...], depth: int,
          hidden: str | None) -> Choice:  # fmt: skip
    """Run one body, and what it shows or has loaded."""
    environment, run.chain = menu.environment, menu.chain
    path = f"{prefix}{item.id.replace('>', '>>')}"
    hidden = hidden or _restricted(environment, item)
    functions = run.functions
    run.clear_flow()
    run.environment = environment.context() if item.is_submenu else environment.overlay()
    run.environment.set("chosen", path, (item.node.path, item.node.line))
    inner = run.menu = Menu(run.environment, menu.chain)
    run.loaded, run.shown, run.trace, run.parameters = None, None, [], list(item.args)
    images = dict(run.devices.images)
    run.run(item.body)
    loaded, trace, shown = run.loaded, run.trace, run.shown or (inner if inner.items else None)
    kept = (*notes, _opening(run, item), *trace)[:TRACE_MAX]
    if shown is not None and depth < MENUS_DEEP_MAX:
        lines = _lines(run, shown, f"{path}>", kept, depth + 1, hidden)
        choice = Choice(item, None, lines, shown.environment.get("default") or "")
    elif shown is not None:
        choice = Choice(item, None)
        run.problem(item.node.path, item.node.line, f"menus in menus are read {MENUS_DEEP_MAX} deep")
    else:
        choice = Choice(item, _entry(run, item, path, loaded, kept, hidden, is_menu=item.is_submenu))
    run.functions, run.devices.images = functions, images
    return choice


def _opening(run: Interpreter, item: Item) -> str:
    word = "submenu" if item.is_submenu else "menuentry" if item.bls is None else "blscfg"
    return f"{run.shown_path(item.node.path)}:{item.node.line}: {word} {item.args[0][:128]!r}"


def _restricted(environment: Environment, item: Item) -> str | None:
    """Return why an entry may not be booted by everybody: GRUB would ask for a name and a password."""
    superusers = environment.get("superusers")
    if item.users is None or not superusers:
        return None
    return f"GRUB asks for a password for it (users: {' '.join(filter(None, (superusers, item.users)))[:128]})"


def _entry(run: Interpreter, item: Item, path: str, loaded: Loaded | None, trace: tuple[str, ...],
           hidden: str | None, *, is_menu: bool) -> Entry | None:  # fmt: skip
    if is_menu and (loaded is None or not loaded.kind):
        return None  # an empty submenu
    place = run.files.get(item.bls or item.node.path)
    source = item.node.path if place is None else place.path
    line = 1 if item.bls else item.node.line
    entry = Entry(
        id=printable_id(path), dialect=DIALECT, volume=place.volume.name if place else "", source=f"{source}:{line}",
        title=item.args[0], trace=trace, menu_path=path)
    return with_loaded(entry, loaded, hidden)


def with_loaded(entry: Entry, loaded: Loaded | None, hidden: str | None) -> Entry:
    """Return an entry that starts what is loaded, or says why it does not."""
    if loaded is None:
        return entry.replace(hidden=hidden or "it loads no kernel")
    hidden = hidden or loaded.hidden
    if loaded.kind == "linux" and not CONTROLS.isdisjoint(loaded.cmdline or ""):
        hidden = hidden or "a control character in its command line"
    if NOT_UTF8 in (loaded.cmdline or "") + (loaded.kernel.path if loaded.kernel else ""):
        hidden = hidden or "its command line or its kernel's name is not UTF-8"
    kernel = {loaded.kind: _ref(loaded.kernel)} if loaded.kernel is not None and loaded.kind else {}
    return entry.replace(
        **kernel, cmdline=loaded.cmdline, hidden=hidden,
        initrd=tuple(_ref(place) for place in loaded.initrds), modules=tuple(_ref(place) for place in loaded.modules),
        devicetree=None if loaded.devicetree is None else _ref(loaded.devicetree))


def printable_id(text: str) -> str:
    """Return an id without what would break a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:512]


def _ref(place: Place) -> FileRef:
    return FileRef(volume=place.volume.name, path=place.path)


def _flat(lines: Sequence[Choice]) -> Iterator[Choice]:
    for line in lines:
        yield line
        yield from _flat(line.lines)


def _pick(lines: Sequence[Choice], spec: str, *, strict: bool = False) -> Choice | None:
    """Return the line that a default names: a title, an id or a number, with > before what is in a submenu.

    One that names nothing is the first line, as in GRUB; `strict` wants it named.
    """
    while lines:
        at, rest = _find(lines, spec)
        if at is None and strict:
            return None
        line = lines[at or 0]
        if line.entry is not None or not line.lines:
            return line
        lines, spec, strict = line.lines, rest or line.default, False
    return None


def _find(lines: Sequence[Choice], spec: str) -> tuple[int | None, str]:
    """Return the number of the line that a default begins with, and what comes behind its >."""
    head, rest = _split(spec)
    for at, line in enumerate(lines):
        if head and head in (line.item.id, line.item.args[0]):
            return at, rest
    if is_number(head[:1]) and number(head) < len(lines):
        return number(head), rest
    return None, rest


def _split(spec: str) -> tuple[str, str]:
    """Return what stands before the first single >, with >> for one that is meant, and the rest."""
    head: list[str] = []
    at = 0
    while at < len(spec):
        if spec[at] == ">":
            if spec[at + 1 : at + 2] != ">":
                return "".join(head), spec[at + 1 :]
            at += 1
        head.append(spec[at])
        at += 1
    return "".join(head), ""
