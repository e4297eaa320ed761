"""Colour on a terminal, and nowhere else. Spec: ECMA-48, 8.3.117 (SGR); no-color.org."""

from __future__ import annotations

import os
import sys

from shim.values import Value

RESET = "\x1b[0m"


class Palette(Value):
    """Words in the form that says what they are; plain where no terminal is."""

    coloured: bool

    def head(self, text: str) -> str:
        return self._in("\x1b[1m", text)

    def good(self, text: str) -> str:
        return self._in("\x1b[32m", text)

    def bad(self, text: str) -> str:
        return self._in("\x1b[31m", text)

    def _in(self, code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if self.coloured else text


def palette_for() -> Palette:
    """Return the palette for standard output: none with NO_COLOR, on a dumb terminal, in a pipe or a file."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return Palette(coloured=not plain and sys.stdout.isatty())
