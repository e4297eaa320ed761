"""The commands of GRUB: one line each. docs/dialects.md has the same table, and a test holds it to this one."""

from __future__ import annotations

from shim.entries.grub import basic, booting, menus, volumes
from shim.entries.grub.status import OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.entries.grub.interpreter import Builtin, Interpreter
    from shim.entries.grub.syntax import Command

UNDERSTOOD: dict[str, Builtin] = {
    ".": menus.source,
    "[": basic.test,
    "[[": basic.test,
    "blscfg": menus.blscfg,
    "blsuki": menus.uki,
    "boot": booting.boot,
    "break": basic.break_,
    "chainloader": booting.chainloader,
    "configfile": menus.configfile,
    "continue": basic.continue_,
    "decrement": basic.decrement,
    "devicetree": booting.devicetree,
    "eval": basic.eval_,
    "exit": booting.leave,
    "export": basic.export,
    "false": basic.false,
    "fwsetup": booting.leave,
    "halt": booting.leave,
    "increment": basic.increment,
    "initrd": booting.initrd,
    "initrd16": booting.initrd,
    "initrdefi": booting.initrd,
    "linux": booting.linux,
    "linux16": booting.linux,
    "linuxefi": booting.linux,
    "list_env": volumes.list_env,
    "load_env": volumes.load_env,
    "loopback": volumes.loopback,
    "menuentry": menus.menuentry,
    "module": booting.module,
    "module2": booting.module,
    "multiboot": booting.multiboot,
    "multiboot2": booting.multiboot,
    "normal": menus.normal,
    "probe": volumes.probe,
    "reboot": booting.leave,
    "regexp": basic.regexp,
    "return": basic.return_,
    "save_env": volumes.save_env,
    "search": volumes.search,
    "search.file": volumes.search_for("file"),
    "search.fs_label": volumes.search_for("label"),
    "search.fs_uuid": volumes.search_for("uuid"),
    "set": basic.set_,
    "setparams": basic.setparams,
    "shift": basic.shift,
    "sleep": volumes.sleep,
    "source": menus.source,
    "submenu": menus.submenu,
    "test": basic.test,
    "true": basic.true,
    "uki": menus.uki,
    "unset": basic.unset,
    "xen_hypervisor": booting.multiboot,
    "xen_module": booting.module,
}
# What changes nothing of what is booted. The status is 0; a function of the script by the same name comes first.
IGNORED = (
    "authenticate", "background_color", "background_image", "badram", "clear", "cls", "cryptomount", "echo",
    "efitextmode", "gettext", "gptsync", "hdparm", "help", "insmod", "keymap", "loadfont", "ls", "lsmod", "lspci",
    "nativedisk", "password", "password_pbkdf2", "play", "pxe_unload", "rmmod", "serial", "smbios", "terminal",
    "terminal_input", "terminal_output", "trust", "usb_keyboard", "verify_detached", "vbeinfo", "videoinfo",
    "zfskey",
)
# What would change what can be trusted, or memory, or disks. Never done; the status is that of a failure.
REFUSED = (
    "acpi", "cmosset", "cmosclean", "cutmem", "distrust", "dd", "drivemap", "eficall", "fakebios", "inb", "inl",
    "inw", "legacy_initrd", "legacy_kernel", "loadbios", "macppcbless", "mactelbless", "memrw", "outb", "outl",
    "outw", "parttool", "rdmsr", "read_byte", "read_dword", "read_word", "setpci", "write_byte", "write_dword",
    "write_word", "wrmsr",
)
# Kernels and loaders of other systems: the entry is explained, and not started.
OTHER_SYSTEMS = (
    "appleloader", "freedos", "kfreebsd", "knetbsd", "kopenbsd", "ntldr", "plan9", "pxechainloader", "truecrypt",
    "xnu_kernel", "xnu_kernel64",
)
FAILED = 1


def _ignored(run: Interpreter, args: list[str], node: Command) -> int:
    name = run.expand(node.words[:1])[0] if node.words else ""
    function = run.functions.get(name)
    return OK if function is None else run.call_function(function, args)


def _refused(run: Interpreter, args: list[str], node: Command) -> int:
    return run.fail(node, f"{' '.join(map(str, node.words[:1]))[:64]} is refused: it is never done here", FAILED)


def commands() -> dict[str, Builtin]:
    """Return every command by its name."""
    return {
        **dict.fromkeys(IGNORED, _ignored), **dict.fromkeys(REFUSED, _refused),
        **dict.fromkeys(OTHER_SYSTEMS, booting.other_kernel), **UNDERSTOOD,
    }
