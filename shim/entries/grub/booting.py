"""GRUB's commands that load: what they name is remembered, and what cannot be started here is explained."""

from __future__ import annotations

from shim.entries.grub.devices import Place, exists
from shim.entries.grub.options import FLAG, parse_options
from shim.entries.grub.status import BAD_ARGUMENT, MISSING, NO_KERNEL, OK
from shim.entries.grub.syntax import QUOTED_VARIABLE, VARIABLE
from shim.errors import FormatError, ShimError
from shim.formats.pe import parse_pe
from shim.formats.uki import is_uki

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.entries.grub.interpreter import Interpreter
    from shim.entries.grub.syntax import Command

HEAD_SIZE = 16 << 10
INITRDS_MAX = 64
HEX = frozenset("0123456789abcdefABCDEF")
# What a kernel that is an EFI program too has in its head: x86's HdrS, arm64's ARM\x64, zboot's zimg.
KERNEL_SIGNS = ((0x202, b"HdrS"), (0x38, b"ARM\x64"), (0x4, b"zimg"))


class Loaded:
    """What GRUB has loaded. `kind` is a field of `Entry`, empty for what is none; `hidden` why it is not started."""

    __slots__ = ("cmdline", "devicetree", "hidden", "initrds", "kernel", "kind", "modules")

    def __init__(self, kind: str, kernel: Place | None, cmdline: str | None = None, hidden: str | None = None) -> None:
        self.kind, self.kernel, self.cmdline, self.hidden = kind, kernel, cmdline, hidden
        self.initrds: list[Place] = []
        self.modules: list[Place] = []
        self.devicetree: Place | None = None


def joined(args: list[str]) -> str:
    """Return a command line from arguments: quoted where there is a blank in one, as GRUB joins them."""
    return " ".join(map(_quoted, args))


def _quoted(word: str) -> str:
    out, at = [], 0
    while at < len(word):
        if word[at : at + 2] == "\\x" and len(word) > at + 3 and word[at + 2] in HEX and word[at + 3] in HEX:
            out.append(word[at : at + 4])
            at += 4
            continue
        out.append(f"\\{word[at]}" if word[at] in "\\'\"" else word[at])
        at += 1
    text = "".join(out)
    return f'"{text}"' if " " in word else text


def linux(run: Interpreter, args: list[str], node: Command) -> int:
    """linux KERNEL [OPTION]…. The kernel is looked for; BOOT_IMAGE= is not put in front of its options."""
    if not args:
        return run.fail(node, "linux names no kernel", BAD_ARGUMENT)
    place = run.devices.locate(args[0], run.root)
    cmdline = joined(args[1:])
    if isinstance(place, str):
        run.loaded = Loaded("", None, hidden=f"its kernel {args[0][:128]}: {place}")
        return run.fail(node, f"linux {args[0][:128]}: {place}", MISSING)
    run.loaded = Loaded("linux", place, cmdline)
    if not exists(place):
        run.loaded.hidden = f"its kernel {place} is not there"
        return run.fail(node, f"linux: no file {place}", MISSING)
    if not args[0].startswith("("):
        _tell_root(run, node)
    run.note(node, f"the kernel is {place}")
    _tell_variables(run, node)
    return OK


def _tell_root(run: Interpreter, node: Command) -> None:
    """Note where root was set, if no sentence about that line stands there already."""
    where = run.environment.place("root")
    if where is not None and where[1] and not any(line.startswith(f"{run.where(where)}: ") for line in run.trace):
        run.note(node, f"root is ({run.root}), set in {run.where(where)}")


def _tell_variables(run: Interpreter, node: Command) -> None:
    """Note where the variables in a command were set."""
    names = {text for word in node.words if not isinstance(word, str) for kind, text in word
             if kind in (VARIABLE, QUOTED_VARIABLE)}
    for name in sorted(names):
        where = run.environment.place(name)
        if where is not None:
            value = run.environment.get(name) or ""
            run.note(node, f"${name[:64]} is {value[:128]!r}, set in {run.where(where)}")
        elif name[0].isalpha() and run.environment.get(name) is None:
            run.note(node, f"${name[:64]} is not set")


def initrd(run: Interpreter, args: list[str], node: Command) -> int:
    """initrd FILE…, behind linux. A second one replaces the first, as in GRUB."""
    loaded = run.loaded
    if loaded is None or loaded.kind != "linux":
        return run.fail(node, "initrd comes before any kernel", BAD_ARGUMENT)
    if not args:
        return run.fail(node, "initrd names no file", BAD_ARGUMENT)
    places: list[Place] = []
    for arg in args:
        if arg.startswith("newc:"):
            loaded.hidden = f"its initrd is to be made from single files ({arg[:64]})"
            return run.fail(node, loaded.hidden, BAD_ARGUMENT)
        place = run.devices.locate(arg, run.root)
        if isinstance(place, str) or not exists(place) or len(places) >= INITRDS_MAX:
            loaded.hidden = loaded.hidden or f"its initrd {arg[:128]} is not there"
            return run.fail(node, f"initrd: no file {place if isinstance(place, Place) else arg[:128]}", MISSING)
        places.append(place)
    if loaded.initrds:
        run.note(node, "a second initrd command: GRUB keeps the last one's files")
    loaded.initrds = places
    _tell_variables(run, node)
    return OK


def devicetree(run: Interpreter, args: list[str], node: Command) -> int:
    if not args or run.loaded is None:
        return run.fail(node, "devicetree takes a file, behind a kernel", BAD_ARGUMENT)
    place = run.devices.locate(args[0], run.root)
    if isinstance(place, str) or not exists(place):
        return run.fail(node, f"devicetree: no file {args[0][:128]}", MISSING)
    run.loaded.devicetree = place
    return OK


def chainloader(run: Interpreter, args: list[str], node: Command) -> int:
    """chainloader FILE [OPTION]…: a UKI or a kernel with an EFI stub is taken; all else only firmware can start."""
    given = parse_options(args, {"force": FLAG, "bpb": FLAG}, {"f": "force"})
    if not given.words:
        return run.fail(node, "chainloader names no file", BAD_ARGUMENT)
    path, *options = given.words
    place = run.devices.locate(path, run.root)
    if isinstance(place, str):
        run.loaded = Loaded("", None, hidden=f"it chains to {path[:128]}: {place}")
        return run.fail(node, f"chainloader {path[:128]}: {place}", MISSING)
    if "+" in path and not exists(place):
        run.loaded = Loaded("", None, hidden=f"it chains to sectors of a disk ({path[:64]}), another loader's")
        return OK
    if not exists(place):
        run.loaded = Loaded("", None, hidden=f"it chains to {place}, which is not there")
        return run.fail(node, f"chainloader: no file {place}", MISSING)
    kind = _program_kind(place)
    cmdline = joined(options) if options or kind == "linux" else None
    run.loaded = Loaded(kind, place, cmdline)
    if kind == "efi":
        run.loaded.hidden = f"{place} is an EFI program that only firmware can start"
    run.note(node, {"uki": f"{place} is a unified kernel image", "linux": f"{place} is a kernel with an EFI stub"}.get(
        kind, f"{place} is no kernel"))
    return OK


def _program_kind(place: Place) -> str:
    try:
        source = place.files.open(place.path)
        try:
            head = source.read(HEAD_SIZE)
        finally:
            source.close()
        if is_uki(parse_pe(head)):
            return "uki"
    except FormatError:
        pass
    except ShimError:
        return "efi"
    return "linux" if any(head[at : at + len(sign)] == sign for at, sign in KERNEL_SIGNS) else "efi"


def multiboot(run: Interpreter, args: list[str], node: Command) -> int:
    """multiboot, multiboot2, xen_hypervisor: remembered with its modules, and not started."""
    words = [word for word in args if not word.startswith("--")]
    place = run.devices.locate(words[0], run.root) if words else "it names no file"
    if isinstance(place, str):
        run.loaded = Loaded("", None, hidden=f"a multiboot kernel: {place}")
        return run.fail(node, place, MISSING)
    run.loaded = Loaded("multiboot", place, joined(words[1:]), "multiboot kernels are not started")
    return OK


def module(run: Interpreter, args: list[str], node: Command) -> int:
    words = [word for word in args if not word.startswith("--")]
    if run.loaded is None or not words:
        return run.fail(node, "module takes a file, behind a kernel", BAD_ARGUMENT)
    place = run.devices.locate(words[0], run.root)
    if isinstance(place, Place) and len(run.loaded.modules) < INITRDS_MAX:
        run.loaded.modules.append(place)
    return OK


def other_kernel(run: Interpreter, args: list[str], _node: Command) -> int:
    """The kernels of other systems (kfreebsd, xnu_kernel, ntldr, …): explained, and not started."""
    run.loaded = Loaded("", None, hidden=f"it is no Linux: {' '.join(args)[:128]}")
    return OK


def boot(run: Interpreter, _args: list[str], node: Command) -> int:
    if run.loaded is None:
        return run.fail(node, "boot comes before any kernel", NO_KERNEL)
    run.ended = True
    return OK


def leave(run: Interpreter, args: list[str], node: Command) -> int:
    """halt, reboot, exit, fwsetup: GRUB would be gone. Here the script ends."""
    if "--is-supported" in args:
        return run.fail(node, "a boot shim sets no firmware up")
    text = node.words[0] if node.words and isinstance(node.words[0], str) else "a command"
    run.loaded = Loaded("", None, hidden=f"it starts no kernel: {text}")
    run.note(node, f"{text} ends the script")
    run.ended = True
    return OK


