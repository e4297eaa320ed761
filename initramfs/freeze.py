"""Freeze modules: run by the CPython that was just built, so that its own compiler makes the code objects.

    python freeze.py OUTPUT-DIRECTORY STDLIB-DIRECTORY STDLIB-LIST PROJECT-ROOT

Writes frozen.bin (all marshalled code), frozen_modules.S (takes it in) and frozen_modules.h (the table). Docstrings
and asserts are left out; a code object's file name is its path in the project or the library. The caller fixes the
hash seed: the order of a frozen set is part of the bytes.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Source = tuple[str, str, str, bool]  # module, file, name that is shown, whether it is a package

HOST_ONLY = ("shim.cli", "shim.purgatory.build", "shim.purgatory.flatten", "shim.system.edge_build",
             "shim.system.recording", "shim.ports", "shim.images", "shim.formats.ext_inode",
             "shim.formats.iso9660_directory", "shim.formats.vfat_directory")


def main(output: str, library: str, list_file: str, project: str) -> None:
    """Freeze everything."""
    blob = bytearray()
    rows: list[tuple[str, int, int, bool]] = []
    sources = [*library_sources(library, list_file), *project_sources(project)]
    for name, path, shown, is_package in sorted(sources):
        with open(path, "rb") as stream:
            code = compile(stream.read(), shown, "exec", dont_inherit=True, optimize=2)
        data = marshal.dumps(code)
        rows.append((name, len(blob), len(data), is_package))
        blob += data + bytes(-len(data) % 16)
    write(output, bytes(blob), rows)
    print(f"{len(rows)} modules, {len(blob)} bytes")


def library_sources(library: str, list_file: str) -> Iterator[Source]:
    """Yield the modules of the standard library that are named in the list."""
    with open(list_file, encoding="ascii") as stream:
        names = [name for line in stream for name in line.split("#")[0].split()]
    for name in names:
        yield find(library, name)


def project_sources(project: str) -> Iterator[Source]:
    """Yield the project's modules, those that only run on a host left out."""
    for folder, folders, files in os.walk(os.path.join(project, "shim")):
        folders.sort()
        for file in sorted(files):
            if file.endswith(".py"):
                relative = os.path.relpath(os.path.join(folder, file), project)
                name = relative.removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")
                if not any(name == host or name.startswith(host + ".") for host in HOST_ONLY):
                    yield name, os.path.join(folder, file), relative, file == "__init__.py"


def find(library: str, name: str) -> Source:
    """Return a module of the standard library."""
    relative = name.replace(".", "/")
    for candidate, is_package in ((f"{relative}/__init__.py", True), (f"{relative}.py", False)):
        path = os.path.join(library, candidate)
        if os.path.exists(path):
            return name, path, candidate, is_package
    raise SystemExit(f"freeze: the standard library has no module {name}")


def write(output: str, blob: bytes, rows: list[tuple[str, int, int, bool]]) -> None:
    """Write the code, and the table that main.c compiles."""
    with open(f"{output}/frozen.bin", "wb") as stream:
        stream.write(blob)
    with open(f"{output}/frozen_modules.S", "w", encoding="ascii") as stream:
        stream.write('\t.section .rodata\n\t.balign 16\n\t.globl frozen_code\nfrozen_code:\n'
                     '\t.incbin "frozen.bin"\n\t.section .note.GNU-stack,"",@progbits\n')
    with open(f"{output}/frozen_modules.h", "w", encoding="ascii") as stream:
        stream.write("extern const unsigned char frozen_code[];\n\nstatic struct _frozen frozen_modules[] = {\n")
        for name, start, size, is_package in rows:
            stream.write(f'\t{{ "{name}", frozen_code + {start}, {size}, {int(is_package)} }},\n')
        stream.write("\t{ 0 }\n};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
