"""A block of lines at the bottom of a terminal, redrawn where it changed.

Spec: ECMA-48 8.3 (CUU, CUD, EL, ED) and nothing more, so that a VT, any serial terminal and a log can all show it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.ports import Console

ERASE_LINE = "\x1b[K"
ERASE_BELOW = "\x1b[J"


class Screen:
    """What is shown now. The cursor rests at the beginning of the line after the last one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown: list[str] = []

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in place of those shown before; none may be wider than the terminal."""
        if not self.shown:
            text = "".join(f"{line}\n" for line in lines)
        elif len(lines) == len(self.shown):
            text = "".join(self._change(at, line) for at, line in enumerate(lines) if line != self.shown[at])
        else:
            text = f"\r\x1b[{len(self.shown)}A{ERASE_BELOW}" + "".join(f"{line}\n" for line in lines)
        self.shown = list(lines)
        if text:
            self.console.write(text)

    def forget(self) -> None:
        """Leave what is shown where it is: the next lines are drawn below it."""
        self.shown = []

    def _change(self, at: int, line: str) -> str:
        """Return what rewrites one line and brings the cursor back."""
        up = len(self.shown) - at
        return f"\r\x1b[{up}A{line}{ERASE_LINE}\r\x1b[{up}B"
