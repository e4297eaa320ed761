"""Freeze modules: run by the CPython that was just built, so that its own compiler makes the code objects.

    python freeze.py OUTPUT-DIRECTORY STDLIB-DIRECTORY STDLIB-LIST PROJECT-ROOT

Writes frozen.bin (all marshalled code), frozen_modules.S (takes it in) and frozen_modules.h (the table). Docstrings
and asserts are left out; a code object's file name is its path in the project or the library. The caller fixes the
hash seed: the order of a frozen set is part of the bytes.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Source = tuple[str, str, str, bool]  # module, file, name that is shown, whether it is a package

START = "shim.init"


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
    """Yield the project's modules that PID 1 can come to: what it imports, now or later, and what that imports."""
    waiting, known = [START], set[str]()
    while waiting:
        name = waiting.pop()
        source = _project_source(project, name)
        if name in known or source is None:
            continue
        known.add(name)
        waiting += [name.rpartition(".")[0], *imported(source[1])]
        yield source


def imported(path: str) -> Iterator[str]:
    """Yield the names that a file imports, wherever in it; what only a type checker imports is left out."""
    with open(path, "rb") as stream:
        waiting: list[ast.AST] = [ast.parse(stream.read())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            waiting += ast.iter_child_nodes(node)


def _project_source(project: str, name: str) -> Source | None:
    """Return a module of the project, None for a name that is none."""
    relative = name.replace(".", os.sep)
    for candidate, is_package in ((f"{relative}.py", False), (f"{relative}{os.sep}__init__.py", True)):
        path = os.path.join(project, candidate)
        if name.startswith("shim") and os.path.exists(path):
            return name, path, candidate, is_package
    return None


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
