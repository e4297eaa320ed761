"""GRUB's commands that make menus: menuentry, submenu, other configuration files, and BLS entries (blscfg)."""

from __future__ import annotations

from functools import cmp_to_key

from shim.entries.grub.devices import Place
from shim.entries.grub.lexer import Lexer, ScriptError
from shim.entries.grub.limits import ENTRIES_MAX
from shim.entries.grub.options import FLAG, VALUE, parse_options
from shim.entries.grub.parser import Parser
from shim.entries.grub.status import BAD_ARGUMENT, MISSING, OK
from shim.errors import ShimError
from shim.formats.bls import FILE_SIZE_MAX, parse_lines
from shim.formats.vercmp import compare_versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.entries.grub.environment import Environment
    from shim.entries.grub.interpreter import Interpreter
    from shim.entries.grub.syntax import Command, Node

MENUENTRY = {"class": VALUE, "users": VALUE, "hotkey": VALUE, "source": VALUE, "id": VALUE, "unrestricted": FLAG}
BLSCFG = {"path": VALUE, "enable-fallback": FLAG, "show-default": FLAG, "show-non-default": FLAG, "entry": VALUE}
BLSCFG_LETTERS = {"p": "path", "f": "enable-fallback", "d": "show-default", "n": "show-non-default", "e": "entry"}
BLS_DIRECTORIES = ("/loader/entries", "/boot/loader/entries")
BLS_SUFFIX = ".conf"
UKI_DIRECTORIES = ("/EFI/Linux", "/efi/Linux")
SCRIPT_SIZE_MAX = 64 << 10


class Item:
    """An entry of a menu as it was defined. `users` is None where anybody may boot it; `bls` its file's path."""

    __slots__ = ("args", "bls", "body", "id", "is_submenu", "node", "users")

    def __init__(self, node: Node, args: list[str], body: Sequence[Node], item_id: str, users: str | None,
                 is_submenu: bool = False, bls: str | None = None) -> None:
        self.node, self.args, self.body, self.id = node, args, body, item_id
        self.users, self.is_submenu, self.bls = users, is_submenu, bls


def menuentry(run: Interpreter, args: list[str], node: Command) -> int:
    """menuentry TITLE [ARGUMENT]… [--class C]… [--users U | --unrestricted] [--hotkey K] [--id ID] { BODY }."""
    return _define(run, args, node, is_submenu=False)


def submenu(run: Interpreter, args: list[str], node: Command) -> int:
    """submenu, likewise: its body makes a menu of its own, with the variables that are exported."""
    return _define(run, args, node, is_submenu=True)


def _define(run: Interpreter, args: list[str], node: Command, *, is_submenu: bool) -> int:
    given = parse_options(args, MENUENTRY, lax=True)
    if given.wrong or not given.words:
        return run.fail(node, f"menuentry: {given.wrong or 'no title'}: no entry is made", BAD_ARGUMENT)
    body: Sequence[Node]
    if node.block is not None and not given.has("source"):
        body = node.block
    elif node.block is None and given.has("source"):
        body = _parsed(run, Lexer(node.path, given.get("source") or "", run.budget, node.line))
    else:
        return run.fail(node, "menuentry takes one body: no entry is made", BAD_ARGUMENT)
    users = None if given.has("unrestricted") and not given.has("users") else given.get("users") or ""
    add(run, Item(node, given.words, body, given.get("id") or given.words[0], users, is_submenu))
    return OK


def add(run: Interpreter, item: Item) -> None:
    """Put an entry into the menu that is being made; more than there may be are passed over."""
    run.budget.entries += 1
    run.budget.spend(sum(map(len, item.args)))
    if run.budget.entries > ENTRIES_MAX:
        run.problem(item.node.path, item.node.line, f"only the first {ENTRIES_MAX} entries are read")
        return
    run.menu.items.append(item)


def _parsed(run: Interpreter, lexer: Lexer) -> list[Node]:
    """Return all statements of a source that is run later; what is no script is told and left out."""
    parser = Parser(lexer, run.budget)
    nodes: list[Node] = []
    while True:
        try:
            unit = parser.unit()
        except ScriptError as problem:
            run.mistake(problem)
            continue
        if unit is None:
            return nodes
        nodes += unit


def source(run: Interpreter, args: list[str], node: Command) -> int:
    """source FILE, or . FILE: the file's statements as if they stood here. An absent one costs nothing."""
    place = _file(run, args, node)
    if isinstance(place, Place):
        run.budget.deeper()
        run.run_file(place)
        run.budget.depth -= 1
    return OK


def extract(run: Interpreter, args: list[str], node: Command) -> int:
    """extract_entries_source and extract_entries_configfile: the entries of a file, and none of its variables."""
    before, run.environment = run.environment, run.environment.context()
    status = source(run, args, node)
    run.environment = before
    return status


def _file(run: Interpreter, args: list[str], node: Command) -> Place | None:
    """Return the file that a command names; note, and tell, where there is none."""
    place = run.devices.locate(args[0], run.root) if args else "no file is named"
    if isinstance(place, Place) and place.files.exists(place.path):
        return place
    why = place if isinstance(place, str) else f"there is no {place}"
    run.note(node, f"cannot be read: {why}")
    run.problem(node.path, node.line, f"cannot be read: {why}")
    return None


def configfile(run: Interpreter, args: list[str], node: Command) -> int:
    """configfile FILE: a menu of its own, with the variables that are exported. Where it has entries, it is shown."""
    return _show(run, args, node, run.environment.context())


def normal(run: Interpreter, args: list[str], node: Command) -> int:
    """normal [FILE]: likewise, with all variables."""
    return _show(run, args or [f"{run.environment.get('prefix') or ''}/grub.cfg"], node, run.environment.overlay())


def _show(run: Interpreter, args: list[str], node: Command, environment: Environment) -> int:
    from shim.entries.grub.interpreter import Menu

    place = _file(run, args, node)
    if place is None:
        return OK
    if str(place) in run.chain:
        run.note(node, f"{place} led here already: passed over")
        return OK
    before = run.environment, run.menu, run.chain
    run.environment = environment
    run.chain = (*run.chain, str(place))
    menu = run.menu = Menu(run.environment, run.chain)
    run.note(node, f"goes on in {place}")
    run.budget.deeper()
    run.run_file(place)
    run.budget.depth -= 1
    run.environment, run.menu, run.chain = before
    if menu.items or run.shown is not None:
        run.shown = run.shown or menu
        run.ended = True
    return OK


def blscfg(run: Interpreter, args: list[str], node: Command) -> int:
    """blscfg [--path DIRECTORY|FILE] [--enable-fallback] [--show-default] [--show-non-default] [--entry FILE].

    Each file of the Boot Loader Specification becomes an entry whose body is a script of GRUB, so that $kernelopts,
    $tuned_params and $tuned_initrd expand when it is run.
    """
    given = parse_options(args, BLSCFG, BLSCFG_LETTERS)
    if given.wrong:
        return run.fail(node, f"blscfg: {given.wrong}", BAD_ARGUMENT)
    folder = given.get("path") or run.environment.get("blsdir")
    folders = [folder] if folder else list(BLS_DIRECTORIES)
    if folder and given.has("enable-fallback"):
        folders += BLS_DIRECTORIES
    for name in folders:
        place = run.devices.locate(name, run.root)
        if isinstance(place, str):
            return run.fail(node, f"blscfg: {place}", MISSING)
        names = (place.path.rpartition("/")[2],) if name.endswith(BLS_SUFFIX) else place.files.names(place.path)
        found = [file for file in names or () if file.endswith(BLS_SUFFIX)]
        if found:
            at = place.path.rpartition("/")[0] if name.endswith(BLS_SUFFIX) else place.path
            _take_bls(run, node, place.replace(path=at), found, given.get("entry"))
            return OK
    run.note(node, f"blscfg: no entry in {' or '.join(folders)} of ({run.root[:64]})")
    return OK


def _take_bls(run: Interpreter, node: Command, folder: Place, names: list[str], only: str | None) -> None:
    run.note(node, f"blscfg: {len(names)} entries in {folder}")
    for name in sorted_versions(names)[:ENTRIES_MAX]:
        if only is not None and name.removesuffix(BLS_SUFFIX) != only.rpartition("/")[2].removesuffix(BLS_SUFFIX):
            continue
        place = folder.replace(path=f"{folder.path.rstrip('/')}/{name}")
        try:
            item = _bls_item(run, node, place, name.removesuffix(BLS_SUFFIX))
        except ShimError as problem:
            run.problem(str(place), 0, str(problem))
            continue
        if item is not None:
            add(run, item)


def sorted_versions(names: Sequence[str]) -> list[str]:
    """Return file names, the newest version first."""
    return sorted(names, key=cmp_to_key(_older))


def _older(left: str, right: str) -> int:
    return -compare_versions(left.removesuffix(BLS_SUFFIX), right.removesuffix(BLS_SUFFIX))


def _bls_item(run: Interpreter, node: Command, place: Place, name: str) -> Item | None:
    """Return the entry of a BLS file: None where it starts no kernel."""
    data = run.devices.read(place, FILE_SIZE_MAX)
    run.budget.source(str(place), len(data))
    values: dict[str, list[str]] = {}
    for line in parse_lines(data):
        run.budget.spend(len(line.value))
        values.setdefault(line.key, []).append(line.value)
    if not values.get("linux"):
        run.note(node, f"{place} names no kernel: passed over")
        return None
    kernel = _below_boot(place, values["linux"][0])
    script = [f"linux {kernel} {' '.join(values.get('options', ()))}"]
    if values.get("initrd"):
        initrds = " ".join(word for value in values["initrd"] for word in value.split())
        script.append("initrd " + " ".join(_below_boot(place, word) for word in initrds.split()))
    if values.get("devicetree"):
        script.append(f"devicetree {_below_boot(place, values['devicetree'][0])}")
    text = "\n".join(script)
    run.files[str(place)] = place
    body = _parsed(run, Lexer(str(place), text[:SCRIPT_SIZE_MAX], run.budget))
    title = (values.get("title") or [kernel])[0]
    users = " ".join(values.get("grub_users", ()))
    if users.startswith("$"):
        users = run.environment.get(users[1:]) or ""
    args = [title, *values.get("grub_arg", ())]
    # A variable that Fedora sets to --unrestricted stands among the arguments.
    expanded = [run.environment.get(arg[1:]) or "" if arg.startswith("$") else arg for arg in args]
    unrestricted = "--unrestricted" in expanded or not users
    words = [arg for arg in expanded if arg != "--unrestricted"]
    return Item(node, words, body, name, None if unrestricted else users, bls=str(place))


def _below_boot(place: Place, path: str) -> str:
    """Take a path as one below /boot, where the files are there and not at the root of the volume."""
    if not path.startswith("/") or not place.path.startswith("/boot/") or path.startswith("/boot/"):
        return path
    return path if place.files.exists(path) or not place.files.exists(f"/boot{path}") else f"/boot{path}"


def uki(run: Interpreter, args: list[str], node: Command) -> int:
    """blsuki (uki): an entry for each unified kernel image in EFI/Linux."""
    words = [word for word in args if not word.startswith("-")]
    for name in words or UKI_DIRECTORIES:
        place = run.devices.locate(name, run.root)
        names = () if isinstance(place, str) else place.files.names(place.path) or ()
        images = [file for file in names if file.lower().endswith(".efi")]
        if isinstance(place, Place) and images:
            for file in sorted_versions(images)[:ENTRIES_MAX]:
                device = run.devices.name_of(place.volume)
                quoted = f"({device}){place.path}/{file}".replace("'", "'\\''")
                body = _parsed(run, Lexer(node.path, f"chainloader '{quoted}'", run.budget, node.line))
                add(run, Item(node, [file], body, file, None))
            break
    return OK

