"""What a command line of the SYSLINUX family starts: a kernel with its files, another menu, or nothing we can start.

Pure: names of files stay as they were written. Spec: syslinux.cfg(5), "KERNEL-LIKE DIRECTIVES"; the modules' own texts.
"""

from __future__ import annotations

from shim.entries.syslinux.limits import CMDLINE_SIZE_MAX, MENUS_MAX, WORDS_MAX
from shim.values import Value

# What SYSAPPEND asks for, by its bits.
NAMES = ("ip", "BOOTIF", "SYSUUID", "CPU", "SYSVENDOR", "SYSPRODUCT", "SYSVERSION", "SYSSERIAL", "SYSSKU", "SYSFAMILY",
         "MBVENDOR", "MBPRODUCT", "MBVERSION", "MBSERIAL", "MBASSET", "BIOSVENDOR", "BIOSVERSION", "SYSFF", "FSUUID")

# What KERNEL takes a file for by its name; anything else is Linux.
EXTENSIONS = {".c32": "com32", ".0": "pxe", ".bin": "boot", ".bs": "boot", ".bss": "bss", ".com": "comboot",
              ".cbt": "comboot"}
REFUSED = {
    "localboot": "LOCALBOOT leaves the boot to the firmware's next device",
    "boot": "a boot sector needs a BIOS",
    "bss": "a boot sector needs a BIOS",
    "pxe": "a network boot program needs the PXE stack of a BIOS",
    "fdimage": "a floppy disk image needs a BIOS",
    "comboot": "a COMBOOT program needs a BIOS",
}
MENUS = ("menu.c32", "vesamenu.c32")
MODULES = {
    "chain.c32": "chain.c32 starts a boot sector or another loader, which needs a BIOS",
    "reboot.c32": "it restarts the machine",
    "poweroff.c32": "it switches the machine off",
    "memdisk": "memdisk emulates a disk for a BIOS",
    "gfxboot.c32": "gfxboot.c32 is a menu in a format of its own",
    "pxechn.c32": "pxechn.c32 starts a network boot program, which needs the PXE stack of a BIOS",
}


class Start(Value):
    """What is started: `kind` is "linux" or "multiboot", and "" where nothing is; `hidden` says why nothing can be.

    `menus` are configurations to read instead, `directory` what their paths begin at, where that changes; `is_menu`
    says that it is the loader's own menu. `leads_to` is the command line that it goes on with.
    """

    kind: str = ""
    kernel: str = ""
    initrds: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    cmdline: str = ""
    menus: tuple[str, ...] = ()
    directory: str | None = None
    is_menu: bool = False
    leads_to: str | None = None
    notes: tuple[str, ...] = ()
    hidden: str | None = None


def start_of(kind: str, line: str, system: str = "sys") -> Start:
    """Return what a command line starts: a file's name and what it is given, INITRD and SYSAPPEND included.

    `system` is the kind of medium that whichsys.c32 asks for: sys, iso or pxe.
    """
    if kind in REFUSED:
        return Start(hidden=REFUSED[kind])
    name, rest = _first(line)
    if not name:
        return Start(hidden="it names no kernel")
    if len(line) > CMDLINE_SIZE_MAX:
        return Start(hidden=f"its command line is too long: {len(line)} characters")
    if kind == "config":
        directory, _ = _first(rest)
        return Start(menus=(name,), directory=directory or None)
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    if kind == "kernel":
        dot = base.rfind(".")
        kind = EXTENSIONS.get(base[dot:], "linux") if dot >= 0 else "linux"
    if kind == "com32":
        return _module(base if base.endswith(".c32") else f"{base}.c32", rest, system)
    if kind in REFUSED:
        return Start(hidden=f"{base[:64]}: {REFUSED[kind]}")
    if base in MODULES:
        return Start(hidden=MODULES[base])
    return _linux(name, rest)


def sysappend(mask: int, known: dict[str, str]) -> tuple[list[str], str | None]:
    """Return what SYSAPPEND adds to a command line, of what is `known` by name, and what is asked for and is not."""
    asked = [name for bit, name in enumerate(NAMES) if mask >> bit & 1]
    unknown = [name for name in asked if name not in known] + (["more"] if mask >> len(NAMES) else [])
    return [f"{name}={known[name]}" for name in asked if name in known], " ".join(unknown) or None


def _linux(name: str, rest: str) -> Start:
    """Return a kernel with the files of the last initrd= of its command line, which says nothing to the kernel."""
    notes: list[str] = []
    if "#" in name:
        return Start(hidden="a configuration of a FIT image, which is not read")
    words = rest.replace("\t", " ").split(" ")
    initrd = [word for word in words if word.startswith("initrd=")]
    if len(initrd) > 1:
        notes.append(f"of {len(initrd)} times initrd=, the last counts")
    files = tuple(file for file in initrd[-1].removeprefix("initrd=").split(",") if file) if initrd else ()
    cmdline = " ".join(word for word in words if not word.startswith("initrd=")).strip()
    if len(files) > WORDS_MAX:
        return Start(hidden=f"it has {len(files)} initrds")
    return Start(kind="linux", kernel=name, initrds=files, cmdline=cmdline, notes=tuple(notes))


def _module(name: str, rest: str, system: str) -> Start:
    """Return what a COM32 module does."""
    words = rest.split()
    if name in MENUS:
        return Start(menus=tuple(words[:MENUS_MAX]), is_menu=not words)
    if name == "config.c32" and words:
        return Start(menus=(words[0],), directory=words[1] if len(words) > 1 else None)
    if name == "mboot.c32":
        return _multiboot(rest)
    if name == "linux.c32" and words:
        given = [word for word in words if not word.startswith("-")]
        start = _linux(given[0], rest.partition(given[0])[2].strip()) if given else Start(hidden="it names no kernel")
        return start.replace(notes=(*start.notes, "linux.c32 starts a kernel as LINUX does"))
    if name in ("ifcpu64.c32", "ifcpu.c32"):
        return Start(leads_to=rest.partition("--")[0].strip(), notes=(f"{name}: for a processor of 64 bits",))
    if name == "whichsys.c32":
        return _which_system(words, system)
    return Start(hidden=MODULES.get(name, f"{name[:64]} is a program that only SYSLINUX can run"))


def _multiboot(rest: str) -> Start:
    parts = [_first(part.strip()) for part in rest.split("---")]
    kernel, cmdline = parts[0]
    modules = tuple(name for name, _ in parts[1 : WORDS_MAX + 1] if name)
    return Start(kind="multiboot" if kernel else "", kernel=kernel, cmdline=cmdline, modules=modules,
                 hidden="mboot.c32: multiboot kernels are not started")


def _which_system(words: list[str], system: str) -> Start:
    """Return what follows -sys-, -iso- or -pxe- up to the next of them."""
    flags = ("-sys-", "-iso-", "-pxe-")
    if f"-{system}-" not in words:
        return Start(hidden=f"whichsys.c32 has nothing for -{system}-")
    behind = words[words.index(f"-{system}-") + 1 :]
    end = next((at for at, word in enumerate(behind) if word in flags), len(behind))
    return Start(leads_to=" ".join(behind[:end]), notes=(f"whichsys.c32: -{system}-",))


def _first(line: str) -> tuple[str, str]:
    words = line.split(None, 1)
    return (words[0], words[1] if len(words) > 1 else "") if words else ("", "")
