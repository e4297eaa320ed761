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
    "extract_entries_configfile": menus.extract,
    "extract_entries_source": menus.extract,
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
    "normal_exit": booting.leave,
    "probe": volumes.probe,
    "read": basic.read,
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
    "time": basic.time,
    "true": basic.true,
    "uki": menus.uki,
    "unset": basic.unset,
    "xen_hypervisor": booting.multiboot,
    "xen_module": booting.module,
}
# What changes nothing of what is booted. The status is 0; a function of the script by the same name comes first.
IGNORED = (
    "915resolution", "all_functional_test", "background_color", "background_image", "backtrace", "badram", "blocklist",
    "cat", "cbmemc", "clear", "cmosdump", "coreboot_boottime", "cpuid", "cryptomount", "date", "echo",
    "efiemu_loadcore", "efiemu_prepare", "efiemu_unload", "efitextmode", "fix_video", "functional_test", "gdbstub",
    "gdbstub_break", "gdbstub_stop", "gettext", "hdparm", "hello", "help", "hexdump", "hexdump_random", "insmod",
    "keymap", "legacy_password", "list_trusted", "loadfont", "ls", "lsacpi", "lsapm", "lscoreboot", "lsefi",
    "lsefimmap", "lsefisystab", "lsfonts", "lsmmap", "lsmod", "lspci", "lssal", "nativedisk", "net_ls_addr",
    "net_ls_cards", "net_ls_dns", "net_ls_routes", "password", "password_pbkdf2", "pcidump", "play", "rmmod", "sendkey",
    "serial", "terminal_input", "terminal_output", "terminfo", "test_blockarg", "testload", "testspeed", "usb",
    "vbeinfo", "vbetest", "videoinfo", "videotest", "zfsinfo", "zfskey",
)
# What asks about keys, firmware, networks, digests or signatures, or reads other formats. Nobody answers here: the
# status is that of a failure, so that no script takes a check for done.
UNANSWERED = (
    "authenticate", "cmostest", "cmp", "crc", "extract_legacy_entries_configfile", "extract_legacy_entries_source",
    "extract_syslinux_entries_configfile", "extract_syslinux_entries_source", "file", "getenv", "hashsum", "hwmatch",
    "keystatus", "legacy_check_password", "legacy_configfile", "legacy_source", "md5sum", "net_add_addr",
    "net_add_dns", "net_add_route", "net_bootp", "net_bootp6", "net_del_addr", "net_del_dns", "net_del_route",
    "net_dhcp", "net_get_dhcp_option", "net_ipv6_autoconf", "net_nslookup", "sha1sum", "sha256sum", "sha512sum",
    "smbios", "syslinux_configfile", "syslinux_source", "tr", "verify_detached", "zfs-bootfs",
)
# What would change what can be trusted, or memory, or disks. Never done; the status is that of a failure.
REFUSED = (
    "acpi", "cmosclean", "cmosset", "cutmem", "distrust", "drivemap", "dump", "fakebios", "gptsync", "inb", "inl",
    "inw", "legacy_initrd", "legacy_initrd_nounzip", "legacy_kernel", "loadbios", "macppcbless", "mactelbless", "outb",
    "outl", "outw", "parttool", "rdmsr", "read_byte", "read_dword", "read_word", "setpci", "trust", "write_byte",
    "write_dword", "write_word", "wrmsr",
)
# Kernels and loaders of other systems: the entry is explained, and not started.
OTHER_SYSTEMS = (
    "appleloader", "freedos", "kfreebsd", "knetbsd", "kopenbsd", "ntldr", "plan9", "pxechainloader", "truecrypt",
    "xnu_kernel", "xnu_kernel64", "xnu_resume",
)
# What such a kernel takes with it.
OTHER_MODULES = (
    "kfreebsd_loadenv", "kfreebsd_module", "kfreebsd_module_elf", "knetbsd_module", "knetbsd_module_elf",
    "kopenbsd_ramdisk", "xnu_devprop_load", "xnu_kext", "xnu_kextdir", "xnu_mkext", "xnu_ramdisk", "xnu_splash",
    "xnu_uuid",
)


def _ignored(run: Interpreter, args: list[str], node: Command) -> int:
    name = run.expand(node.words[:1])[0] if node.words else ""
    function = run.functions.get(name)
    return OK if function is None else run.call_function(function, args)


def _unanswered(run: Interpreter, _args: list[str], node: Command) -> int:
    return run.fail(node, f"{_name(node)} is not answered here")


def _refused(run: Interpreter, _args: list[str], node: Command) -> int:
    return run.fail(node, f"{_name(node)} is refused: it is never done here")


def _name(node: Command) -> str:
    return " ".join(word for word in node.words[:1] if isinstance(word, str))[:64] or "a command"


def commands() -> dict[str, Builtin]:
    """Return every command by its name."""
    return {
        **dict.fromkeys((*IGNORED, *OTHER_MODULES), _ignored), **dict.fromkeys(UNANSWERED, _unanswered),
        **dict.fromkeys(REFUSED, _refused), **dict.fromkeys(OTHER_SYSTEMS, booting.other_kernel), **UNDERSTOOD,
    }
