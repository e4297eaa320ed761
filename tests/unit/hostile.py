"""Hostile versions of good input, for every parser: cut anywhere, and every number a liar."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shim.errors import ShimError
from shim.formats.record import Record

SECONDS = 0.1
MEMORY = 64 << 20


def cuts(data: bytes, step: int = 1) -> Iterator[bytes]:
    """Yield the input cut at every byte (every `step`-th for long inputs), the empty one included."""
    for end in range(0, len(data), step):
        yield data[:end]


def mutations(record: Record, data: bytes, at: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (what was done, input) with each integer field of the record at `at` set to 0, max and off by one."""
    sizes = _sizes(record)
    byteorder = "big" if record.order == ">" else "little"
    for field, value in record.parse(data, at).items():
        if not isinstance(value, int):
            continue
        size = sizes[field]
        limit = (1 << (8 * size)) - 1
        for lie in sorted({0, 1, (value - 1) & limit, (value + 1) & limit, limit >> 1, (limit >> 1) + 1, limit}):
            start = at + record.offsets[field]
            yield f"{field}={lie:#x}", data[:start] + lie.to_bytes(size, byteorder) + data[start + size :]


@contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Fail when what is done inside takes longer than `seconds` of processor time or more than `memory` bytes.

    Memory is measured only while tracemalloc is on, which costs time: `with_memory` turns it on.
    """
    start = time.process_time()
    try:
        yield
    finally:
        spent = time.process_time() - start
        assert spent < seconds, f"took {spent:.3f} s"
        if tracemalloc.is_tracing():
            peak = tracemalloc.get_traced_memory()[1]
            assert peak < memory, f"took {peak} bytes"


@contextmanager
def with_memory() -> Iterator[None]:
    """Trace memory: for a few of the worst inputs of a format, not for all of them."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def survives(parse: Callable[[bytes], object], data: bytes, what: str = "") -> None:
    """Check that the parser gives a value or a typed error on this input, within the bounds."""
    try:
        with bounded():
            parse(data)
    except ShimError as problem:
        assert str(problem), what


def refuses(parse: Callable[[bytes], object], data: bytes, what: str = "") -> ShimError:
    """Check that the parser raises a typed error on this input, within the bounds; return the error."""
    with bounded():
        try:
            parse(data)
        except ShimError as problem:
            return problem
    raise AssertionError(f"accepted: {what or data[:64].hex()}")


def _sizes(record: Record) -> dict[str, int]:
    """Return the size in bytes of each field, from the offsets that the table declares."""
    codes = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 4, "L": 4, "q": 8, "Q": 8, "?": 1}
    kinds = [c for c in record.struct.format.lstrip("<>") if not c.isdigit() and c != "x"]
    return {field: codes.get(kind, 0) for field, kind in zip(record.fields, kinds, strict=True)}
