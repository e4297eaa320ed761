"""Build `_shim_edge`: `python -m shim.system.edge_build DIRECTORY` for the Python that runs it.

The frozen runtime links the C text that `write_c` makes into itself. Nothing but `_cffi_backend` is needed at run
time, and no path, date or build id gets into the module.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
PURGATORY = HERE.parent / "purgatory"
SOURCES = (HERE / "edge.c", PURGATORY / "sha256.c")
INCLUDES = (HERE, PURGATORY)
SHA256 = """
#define SHA256_SIZE ...
struct sha256 { ...; };
void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
void sha256_final(struct sha256 *hash, uint8_t *digest);
"""


def declare() -> FFI:
    """Return the module's declaration, not yet compiled."""
    text = (HERE / "edge.h").read_text(encoding="ascii")
    declarations = text.split("/* cffi begin */")[1].split("/* cffi end */")[0]
    ffi = FFI()
    ffi.cdef(declarations + SHA256)
    ffi.set_source(
        "_shim_edge", '#include "edge.h"\n', sources=[str(path) for path in SOURCES],
        include_dirs=[str(path) for path in INCLUDES], extra_compile_args=["-O2", "-Wall", "-Wextra"],
        py_limited_api=False,
    )
    return ffi


def write_c(target: Path) -> None:
    """Write the C text of the module, to be linked into a program together with SOURCES."""
    declare().emit_c_code(str(target))


def build(directory: Path) -> Path:
    """Compile the module as a shared library for this Python into `directory`."""
    with tempfile.TemporaryDirectory() as work:
        made = Path(declare().compile(tmpdir=work))
        target = directory / made.name
        fresh = target.with_suffix(".new")
        fresh.write_bytes(made.read_bytes())
        fresh.replace(target)
    return target


if __name__ == "__main__":
    print(f"edge module: {build(Path(sys.argv[1])).name}", file=sys.stderr)
