"""GRUB's commands that look at devices, and those that read what a boot left behind (grubenv)."""

from __future__ import annotations

from shim.entries.grub.conditions import number
from shim.entries.grub.devices import Place
from shim.entries.grub.options import FLAG, MAYBE, VALUE, parse_options
from shim.entries.grub.status import BAD_ARGUMENT, MISSING, NO_DEVICE, OK
from shim.errors import ShimError
from shim.formats.grubenv import SIZE_MAX, parse_grubenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.entries.grub.interpreter import Interpreter
    from shim.entries.grub.syntax import Command
    from shim.model import Volume

HINTS = ("hint", "hint-efi", "hint-bios", "hint-baremetal", "hint-ieee1275", "hint-arc")
SEARCH = {**dict.fromkeys(HINTS, VALUE), "file": FLAG, "label": FLAG, "fs-uuid": FLAG, "set": MAYBE,
          "no-floppy": FLAG, "efidisk-only": FLAG, "root-dev-only": FLAG}
SEARCH_LETTERS = {"f": "file", "l": "label", "u": "fs-uuid", "s": "set", "n": "no-floppy", "h": "hint",
                  "r": "root-dev-only"}
KINDS = {"label": "label", "fs-uuid": "uuid", "file": "file"}
# GRUB's names for file systems, where they are not the kernel's.
FILE_SYSTEMS = {"vfat": "fat", "ext3": "ext2", "ext4": "ext2", "squashfs": "squash4"}
PROBES: dict[str, Callable[[Volume], str | None]] = {
    "driver": lambda _volume: "efidisk",
    "partmap": lambda volume: {"gpt": "gpt", "dos": "msdos"}.get(volume.table or "", "none"),
    "fs": lambda volume: FILE_SYSTEMS.get(volume.fstype or "", volume.fstype),
    "fs-uuid": lambda volume: volume.uuid,
    "label": lambda volume: volume.label,
    "part-uuid": lambda volume: volume.partuuid or "none",
}
PROBE = {**dict.fromkeys(PROBES, FLAG), "set": VALUE}
PROBE_LETTERS = {"s": "set", "d": "driver", "p": "partmap", "f": "fs", "u": "fs-uuid", "l": "label"}


def search(run: Interpreter, args: list[str], node: Command) -> int:
    """search --file|--label|--fs-uuid [--set [NAME]] [--hint… DEVICE]… [--no-floppy] KEY.

    `--set KEY` without anything more sets root.
    """
    given = parse_options(args, SEARCH, SEARCH_LETTERS, lax=True)
    given.words = [word for word in given.words if not word.startswith("--hint-")]  # of platforms to come
    name = given.get("set")
    if given.wrong or not (given.words or name):
        return run.fail(node, f"search: {given.wrong or 'for nothing'}", BAD_ARGUMENT)
    kind = next((KINDS[option] for option in KINDS if given.has(option)), None)
    if kind is None:
        return run.fail(node, "search does not say what it searches for", BAD_ARGUMENT)
    hints = [hint for option in HINTS for hint in given.all(option)]
    variable = ((name if given.words else None) or "root") if given.has("set") else None
    key = given.words[0] if given.words else name or ""
    beside = run.root.partition(",")[0] if given.has("root-dev-only") else ""
    return _search(run, node, kind, key, variable, hints, beside)


def search_for(kind: str) -> Callable[[Interpreter, list[str], Command], int]:
    """Return the command search.fs_uuid, search.fs_label or search.file: KEY [NAME [HINT]…]."""

    def command(run: Interpreter, args: list[str], node: Command) -> int:
        if not args:
            return run.fail(node, "search: for nothing", BAD_ARGUMENT)
        return _search(run, node, kind, args[0], args[1] if len(args) > 1 else None, args[2:])

    return command


def _search(run: Interpreter, node: Command, kind: str, key: str, variable: str | None, hints: Sequence[str],
            beside: str = "") -> int:  # fmt: skip
    run.budget.spend(len(run.devices.device_names()) * 64)
    matching = run.devices.search(kind, key, hints, beside)
    if not matching:
        return run.fail(node, f"no volume with the {kind} {key[:128]}", MISSING)
    volume = run.devices.volume(matching[0])
    more = f", the first of {len(matching)} that have it" if len(matching) > 1 and kind != "file" else ""
    run.note(node, f"the {kind} {key[:128]} is on {volume[0].name if volume else ''}, "
                   f"which GRUB calls ({matching[0]}){more}")
    if variable is not None:
        run.environment.set(variable, matching[0], (node.path, node.line))
    return OK


def probe(run: Interpreter, args: list[str], node: Command) -> int:
    """probe [--set NAME] --fs|--fs-uuid|--label|--partmap|--part-uuid|--driver DEVICE."""
    given = parse_options(args, PROBE, PROBE_LETTERS)
    kind = next((name for name in PROBES if given.has(name)), None)
    if given.wrong or not given.words or kind is None:
        return run.fail(node, f"probe: {given.wrong or 'of what?'}", BAD_ARGUMENT)
    device = given.words[0]
    found = run.devices.volume(device[1:-1] if device[:1] == "(" and device[-1:] == ")" else device)
    if found is None:
        return run.fail(node, f"probe: {device[:64]} is no volume that is mounted here", NO_DEVICE)
    value = PROBES[kind](found[0])
    if value is None:
        return run.fail(node, f"{found[0].name} has no {kind} that is known", NO_DEVICE)
    name = given.get("set")
    if name:
        run.environment.set(name, value, (node.path, node.line))
    return OK


def loopback(run: Interpreter, args: list[str], node: Command) -> int:
    """loopback [-d] DEVICE IMAGE: the image is remembered, and not opened."""
    given = parse_options(args, {"delete": FLAG, "decompress": FLAG}, {"d": "delete", "D": "decompress"})
    words = given.words
    if given.has("delete") and words:
        run.devices.images.pop(words[0], None)
        return OK
    if len(words) < 2:
        return run.fail(node, "loopback takes a device and an image", BAD_ARGUMENT)
    place = run.devices.locate(words[1], run.root)
    if isinstance(place, str) or not place.files.exists(place.path):
        return run.fail(node, f"loopback: no image {words[1][:128]}", MISSING)
    if len(run.devices.images) < 64:
        run.devices.images[words[0]] = str(place)
    run.note(node, f"({words[0][:32]}) is the image {place}")
    return OK


def load_env(run: Interpreter, args: list[str], node: Command) -> int:
    """load_env [--file FILE] [--skip-sig] [NAME]…: all variables of the block, or those that are named."""
    given = parse_options(args, {"file": VALUE, "skip-sig": FLAG}, {"f": "file", "s": "skip-sig"})
    if given.wrong:
        return run.fail(node, f"load_env: {given.wrong}", BAD_ARGUMENT)
    place = _grubenv(run, given.get("file"))
    if isinstance(place, str):
        return run.fail(node, f"load_env: {place}", MISSING)
    try:
        variables = parse_grubenv(run.devices.read(place, SIZE_MAX))
    except ShimError as problem:
        return run.fail(node, f"load_env: {problem}", MISSING)
    for name, value in variables.items():
        if not given.words or name in given.words:
            run.environment.set(name, value, (str(place), 0))
    return OK


def _grubenv(run: Interpreter, path: str | None) -> Place | str:
    if path is None:
        prefix = run.environment.get("prefix")
        if not prefix:
            return "the variable prefix is not set"
        path = f"{prefix}/grubenv"
    return run.devices.locate(path, run.root)


def save_env(run: Interpreter, args: list[str], node: Command) -> int:
    """save_env: nothing is written. What a boot would have used up is used again in the next."""
    run.note(node, f"save_env {' '.join(args)[:128]} is not done: nothing is written")
    return OK


def list_env(_run: Interpreter, _args: list[str], _node: Command) -> int:
    return OK


def sleep(run: Interpreter, args: list[str], node: Command) -> int:
    """sleep: nobody waits; the status is that of a time that ran out without a key."""
    words = [word for word in args if not word.startswith("-")]
    return OK if words and number(words[0]) >= 0 else run.fail(node, "sleep takes a number", BAD_ARGUMENT)
