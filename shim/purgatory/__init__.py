"""The purgatory: what runs between the two kernels, and checks what it is about to start.

purgatory.h is the contract, args.py its Python side. `python -m shim.purgatory.build` compiles the C and assembly
here, flattens them (flatten.py) and writes _blob.py.
"""

from __future__ import annotations

from shim.purgatory.args import (
    BELOW_4_GIB,
    PurgatoryArgs,
    PurgatoryBlob,
    PurgatoryFlag,
    PurgatoryRegion,
    blob,
    build_purgatory,
)

__all__ = [
    "BELOW_4_GIB", "PurgatoryArgs", "PurgatoryBlob", "PurgatoryFlag", "PurgatoryRegion", "blob", "build_purgatory",
]
