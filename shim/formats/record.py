"""Declare a binary record as a table that a reader can hold against its specification."""

from __future__ import annotations

import struct

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Buffer = bytes | bytearray | memoryview


class Record:
    """A fixed-size record: one line a field, `offset  struct-code  name  # comment`.

    Little-endian unless `order` is ">". Gaps are reserved bytes: ignored when parsed, zero when built. Fields
    that overlap, run past `size` or repeat a name are refused when the module is imported.
    """

    __slots__ = ("fields", "name", "offsets", "order", "size", "struct", "widths")

    def __init__(self, name: str, size: int, table: str, *, order: str = "<") -> None:
        self.name, self.size, self.order = name, size, order
        code, end = [order], 0
        names: list[str] = []
        self.offsets: dict[str, int] = {}
        self.widths: dict[str, int] = {}
        for line in table.splitlines():
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            offset, kind, field = int(words[0], 0), words[1], words[2]
            if offset < end or field in self.offsets:
                raise ValueError(f"{name}.{field} overlaps or repeats")
            if offset > end:
                code.append(f"{offset - end}x")
            code.append(kind)
            names.append(field)
            self.offsets[field] = offset
            self.widths[field] = struct.calcsize(order + kind)
            end = offset + self.widths[field]
        if end > size:
            raise ValueError(f"{name} is {end} bytes, declared {size}")
        if end < size:
            code.append(f"{size - end}x")
        self.fields = tuple(names)
        self.struct = struct.Struct("".join(code))

    def parse(self, data: Buffer, at: int = 0) -> dict[str, Any]:
        """Return the fields of the record at offset `at`. Raises FormatError when the data ends before it does."""
        if at < 0 or len(data) - at < self.size:
            raise FormatError(f"{self.name} is cut short", at=at, expected=self.size, found=max(len(data) - at, 0))
        return dict(zip(self.fields, self.struct.unpack_from(data, at), strict=True))

    def build(self, **values: Any) -> bytes:
        """Return the record's bytes; fields left out are zero, a value that does not fit raises FormatError."""
        if unknown := set(values) - set(self.fields):
            raise TypeError(f"{self.name} has no field {', '.join(sorted(unknown))}")
        blank = self.struct.unpack(bytes(self.size))
        row = [values.get(field, zero) for field, zero in zip(self.fields, blank, strict=True)]
        try:
            return self.struct.pack(*row)
        except struct.error as problem:
            raise FormatError(f"{self.name} cannot hold a value", problem=str(problem)) from problem
