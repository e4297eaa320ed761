"""Build the frozen runtime: `python -m initramfs.runtime` writes build/init, one static program.

Three steps: CPython as a static library and the interpreter that freezes (minutes; cached by what goes into it),
cffi's backend (seconds; cached), and the project's own code frozen and linked (seconds; cached by its text). The
same inputs give the same bytes: no date, path or build id gets in.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from initramfs.sources import HERE, cached, fetch_source, read_lock, unpack
from initramfs.steps import compiler_version, put, run
from shim.errors import ShimError

ROOT = HERE.parent
SIZE_FLAGS = ("-Os", "-g0", "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables",
              "-fno-unwind-tables")
OBJECT_FLAGS = (*SIZE_FLAGS, "-DNDEBUG", "-w")
CONFIGURE = (
    "--prefix=/bootshim", "--disable-shared", "--without-doc-strings", "--disable-test-modules", "--disable-ipv6",
    "--without-ensurepip", "--without-readline", "LDFLAGS=-static", "LINKFORSHARED= ", "ac_cv_file__dev_ptmx=no",
    "ac_cv_file__dev_ptc=no",
)
MAKE = ("ARFLAGS=rcsD", "MODULE_BINASCII_CFLAGS=", "MODULE_BINASCII_LDFLAGS=")  # its own CRC-32, not zlib's
LINK = ("-static", "-no-pie", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,norelro",
        "-Wl,--hash-style=gnu")
HACL = "Modules/_hacl/libHacl_Hash_SHA2.a"  # what _sha2 calls
NATIVE = ("shim/system/edge.c", "shim/purgatory/sha256.c")


def build_runtime(output: Path) -> Path:
    """Build /init and put it at `output`. Raises SystemError_ where a step fails, with the end of its output."""
    made = cached("init", _inputs_of_init(), _build_init) / "init"
    put(made.read_bytes(), output, 0o755)
    return output


def build_cpython() -> Path:
    """Return the directory with CPython's static library, headers, library modules and interpreter."""
    return cached("cpython", _inputs_of_cpython(), _build_cpython)


def _build_cpython(work: Path) -> None:
    pinned = read_lock()["cpython"]
    print(f"building CPython {pinned.version}, static: some minutes, once", file=sys.stderr)
    source = unpack(fetch_source(pinned), work / "source")
    (source / "Modules/Setup.local").write_bytes((HERE / "Setup.local").read_bytes())
    flags = " ".join((*SIZE_FLAGS, f"-ffile-prefix-map={source}=.", "-fwrapv"))
    run(["./configure", *CONFIGURE, f"CFLAGS={flags}", "OPT=-DNDEBUG"], source)
    run(["make", f"-j{os.cpu_count() or 1}", *MAKE, HACL, "libpython3.13.a", "python"], source)
    (source / HACL).rename(work / "libhacl.a")
    for name in ("libpython3.13.a", "python", "pyconfig.h", "Include", "Lib"):
        (source / name).rename(work / name)
    _remove_tree(source)


def _build_cffi(work: Path) -> None:
    source = unpack(fetch_source(read_lock()["cffi"]), work / "source")
    cpython = build_cpython()
    run(["gcc", *OBJECT_FLAGS, *_include_flags(cpython), f"-ffile-prefix-map={source}=.", "-c",
         "-o", str(work / "_cffi_backend.o"), "src/c/_cffi_backend.c"], source)
    _remove_tree(source)


def _build_init(work: Path) -> None:
    from shim.purgatory.build import write_blob
    from shim.system.edge_build import write_c

    write_blob()
    cpython, cffi = build_cpython(), cached("cffi", _inputs_of_cffi(), _build_cffi)
    write_c(work / "_shim_edge.c")
    output = run([str(cpython / "python"), "-S", "-B", str(HERE / "freeze.py"), str(work), str(cpython / "Lib"),
                  str(HERE / "stdlib.list"), str(ROOT)], work,
                 {"PYTHONHASHSEED": "0", "PYTHONPATH": str(cpython / "Lib"), "PYTHONHOME": str(cpython)})
    print(f"frozen: {output.strip()}", file=sys.stderr)
    objects = _compile_objects(work, cpython)
    libraries = (cffi / "_cffi_backend.o", cpython / "libpython3.13.a", cpython / "libhacl.a")
    run(["gcc", *LINK, "-o", "init", *objects, *map(str, libraries), "-lffi", "-lz", "-lm", "-ldl", "-lpthread",
         "-lutil"], work)
    run(["objcopy", "--remove-section=.comment", "--remove-section=.note.*", "init"], work)
    run(["./init"], work)


def _compile_objects(work: Path, cpython: Path) -> list[str]:
    includes = (*_include_flags(cpython), *(f"-I{ROOT / folder}" for folder in ("shim/system", "shim/purgatory")))
    sources = (str(HERE / "main.c"), "_shim_edge.c", "frozen_modules.S", *(str(ROOT / name) for name in NATIVE))
    objects = []
    for source in sources:
        objects.append(f"{Path(source).stem}.o")
        speed = ("-O2",) if source.endswith("sha256.c") else ()
        run(["gcc", *OBJECT_FLAGS, *speed, *includes, "-I.", f"-ffile-prefix-map={work}=.",
             f"-ffile-prefix-map={ROOT}=.", "-c", "-o", objects[-1], source], work)
    return objects


def _include_flags(cpython: Path) -> tuple[str, ...]:
    return (f"-I{cpython / 'Include'}", f"-I{cpython}", f"-ffile-prefix-map={cpython}=.")


def _inputs_of_cpython() -> bytes:
    texts = (*CONFIGURE, *SIZE_FLAGS, *MAKE, HACL, compiler_version(), read_lock()["cpython"].sha256)
    return "\n".join(texts).encode() + (HERE / "Setup.local").read_bytes()


def _inputs_of_cffi() -> bytes:
    return _inputs_of_cpython() + " ".join((*OBJECT_FLAGS, read_lock()["cffi"].sha256)).encode()


def _inputs_of_init() -> bytes:
    folders = [*sorted((ROOT / "shim").rglob("*")), *sorted(HERE.iterdir())]
    kept = (".py", ".c", ".h", ".S", ".lds", ".list", ".local", ".lock")
    files = [path for path in folders if path.suffix in kept and path.name != "_blob.py"]
    pieces = [f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode() + path.read_bytes() for path in files]
    return b"\0".join((_inputs_of_cffi(), " ".join(LINK).encode(), *pieces))


def _remove_tree(path: Path) -> None:
    import shutil

    shutil.rmtree(path.parent if path.parent.name == "source" else path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m initramfs.runtime", description="Build the frozen runtime.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "init", help="default: build/init")
    try:
        made = build_runtime(parser.parse_args().output)
    except ShimError as problem:
        print(f"runtime: {problem}", file=sys.stderr)
        return 1
    print(f"{made}: {made.stat().st_size} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
