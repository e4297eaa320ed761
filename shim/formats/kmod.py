"""Kernel modules: name and dependencies from the module itself. Spec: Linux include/linux/moduleinfo.h (.modinfo)."""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shim.formats.record import Buffer

ELF_HEADER = Record("ELF header", 64, """
    0x00  4s  e_magic
    0x04  B   e_class
    0x05  B   e_data
    0x28  Q   e_shoff
    0x3a  H   e_shentsize
    0x3c  H   e_shnum
    0x3e  H   e_shstrndx
""")
SECTION_HEADER = Record("ELF section header", 64, """
    0x00  I   sh_name
    0x04  I   sh_type
    0x18  Q   sh_offset
    0x20  Q   sh_size
""")
MAGIC = b"\x7fELF"
MODINFO_SIZE_MAX = 1 << 20
DEPTH_MAX = 64


class Module(Value):
    """What a module says of itself; names with _ for -, as the kernel has them.

    `soft_before` are to be loaded first where they are there; they are names or `aliases` of modules.
    """

    name: str
    depends: tuple[str, ...]
    soft_before: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    vermagic: str = ""


def parse_module(data: Buffer) -> Module:
    """Return what the .modinfo section of a module says. Raises FormatError when there is none."""
    fields: dict[str, list[str]] = {}
    for item in bytes(_section(data, b".modinfo")).split(b"\0"):
        key, equals, value = item.decode("utf-8", "replace").partition("=")
        if equals:
            fields.setdefault(key, []).append(value)
    if not fields.get("name"):
        raise FormatError("the module does not say its name")
    depends = ",".join(fields.get("depends", ())).split(",")
    return Module(
        name=normalised(fields["name"][0]),
        depends=tuple(normalised(name) for name in depends if name),
        soft_before=tuple(name for text in fields.get("softdep", ()) for name in _before(text)),
        aliases=tuple(normalised(alias) for alias in fields.get("alias", ())),
        vermagic=(fields.get("vermagic") or [""])[0],
    )


def load_order(wanted: Iterable[str], find: Callable[[str], Module | None]) -> tuple[Module, ...]:
    """Return the modules to be loaded, each after what it depends on.

    `find` returns a module by its name, None where there is no such file (then it is built in, or missing). Raises
    FormatError for a wanted module that is not there and for modules that depend on each other.
    """
    order: dict[str, Module] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in order:
            return
        if name in path or len(path) > DEPTH_MAX:
            raise FormatError("modules depend on each other", names=" ".join((*path, name)))
        module = find(name)
        if module is None:
            if not path:
                raise FormatError("no such kernel module", name=name)
            return
        for needed in (*module.soft_before, *module.depends):
            add(needed, (*path, name))
        order.setdefault(module.name, module)

    for name in wanted:
        add(normalised(name), ())
    return tuple(order.values())


def normalised(name: str) -> str:
    """Return a module's name as the kernel has it."""
    return name.strip().replace("-", "_")


def _before(softdep: str) -> list[str]:
    names, before = [], False
    for word in softdep.split():
        if word in ("pre:", "post:"):
            before = word == "pre:"
        elif before:
            names.append(normalised(word))
    return names


def _section(data: Buffer, name: bytes) -> memoryview:
    header = ELF_HEADER.parse(data)
    if header["e_magic"] != MAGIC or header["e_class"] != 2 or header["e_data"] != 1:
        raise FormatError("not a 64-bit ELF file", found=header["e_magic"])
    if header["e_shentsize"] != SECTION_HEADER.size or header["e_shstrndx"] >= header["e_shnum"]:
        raise FormatError("the ELF file has no sensible sections", size=header["e_shentsize"],
                          found=header["e_shstrndx"])
    rows = [SECTION_HEADER.parse(data, header["e_shoff"] + n * SECTION_HEADER.size) for n in range(header["e_shnum"])]
    strings = _content(data, rows[header["e_shstrndx"]])
    for row in rows:
        if bytes(strings[row["sh_name"] : row["sh_name"] + len(name) + 1]) == name + b"\0":
            return _content(data, row)
    raise FormatError("the ELF file has no such section", section=name.decode())


def _content(data: Buffer, row: dict[str, int]) -> memoryview:
    start, size = row["sh_offset"], row["sh_size"]
    if size > MODINFO_SIZE_MAX or start + size > len(data):
        raise FormatError("an ELF section lies outside the file", at=start, expected=size,
                          found=max(len(data) - start, 0))
    return memoryview(data)[start : start + size]
