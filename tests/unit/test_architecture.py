"""The architecture text in shim/__init__.py is true: layers, purity, sizes, and one maker of `Verified`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shim

ROOT = Path(shim.__file__).parent
LAYERS = (
    ("errors", "units", "values"),
    ("ranges",),
    ("formats",),
    ("model", "ports"),
    ("tpm",),
    ("discover", "entries", "fetch", "verify", "measure", "memory", "load", "ui", "purgatory", "system"),
    ("config", "report"),
    ("images",),
    ("boot",),
    ("cli", "init"),
    ("testing",),
)
# The load stage is where the memory plan and the purgatory come together.
ALLOWED_SIBLINGS = {("load", "memory"), ("load", "purgatory")}
HEAVY = {
    "dataclasses", "typing", "re", "pathlib", "json", "subprocess", "tempfile", "hashlib", "logging", "inspect",
    "socket", "asyncio", "argparse", "shutil", "urllib",
}  # fmt: skip
HOST_ONLY = ("cli/", "images/", "purgatory/build.py", "purgatory/flatten.py", "system/edge_build.py", "testing.py")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.name != "_blob.py")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def layer_of(part: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if part in names)


def runtime_imports(tree: ast.AST) -> list[str]:
    """Return the modules that a file imports when it runs, those under TYPE_CHECKING left out."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found += [name for branch in node.orelse for name in runtime_imports(branch)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
        else:
            found += runtime_imports(node)
    return found


def import_time_imports(tree: ast.Module) -> list[str]:
    """Return the modules imported by the statements of the module itself, not inside functions."""
    kept = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Try)]
    return runtime_imports(ast.Module(body=kept, type_ignores=[]))


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_module_imports_its_own_package_or_a_lower_layer(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    for name in runtime_imports(ast.parse(path.read_text())):
        pieces = name.split(".")
        if pieces[0] != "shim" or len(pieces) < 2 or pieces[1] == part or (part, pieces[1]) in ALLOWED_SIBLINGS:
            continue
        assert layer_of(pieces[1]) < layer_of(part), f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_what_runs_at_boot_imports_nothing_heavy(path: Path) -> None:
    if relative(path).startswith(HOST_ONLY) or part_of(path) == "ports":
        return
    heavy = HEAVY.intersection(name.split(".")[0] for name in import_time_imports(ast.parse(path.read_text())))
    assert not heavy, f"{relative(path)} imports {heavy}"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_file_and_no_function_needs_scrolling(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{relative(path)}: {node.name}"


def test_only_verify_makes_verified() -> None:
    makers = {
        relative(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Verified"
    }
    assert makers
    assert all(maker.startswith("verify/") for maker in makers), makers


def test_input_is_never_checked_by_assert() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not found


def test_the_architecture_text_names_every_part() -> None:
    words = set((shim.__doc__ or "").split())
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__"} <= words
    assert parts - {"__init__", "__pycache__"} == {name for names in LAYERS for name in names}


def test_only_the_edge_makes_system_calls() -> None:
    for path in modules():
        if part_of(path) in ("system", "cli", "purgatory"):
            continue
        tree = ast.parse(path.read_text())
        assert not {"os", "fcntl", "_socket", "select", "mmap"} & set(runtime_imports(tree)) or part_of(path) in (
            "errors",
        ), relative(path)
