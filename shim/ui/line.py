"""One line of text being edited: a cursor, the usual keys, and a window onto it as wide as the screen allows."""

from __future__ import annotations

from shim.ui.columns import LINE_WIDTH
from shim.ui.screen import ERASE_LINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Console

LENGTH_MAX = 4096
MOVES = {"left": -1, "ctrl-b": -1, "right": 1, "ctrl-f": 1}
BEGIN = ("home", "ctrl-a")
END = ("end", "ctrl-e")
DELETE = ("delete", "ctrl-d")
CANCEL = ("escape", "ctrl-c")
PROMPT = "> "
KEYS_BETWEEN_DRAWS = 64


class LineEditor:
    """Text and a cursor in it, 0 before the first character. Takes keys as `shim.ports.Console` names them."""

    def __init__(self, text: str, limit: int = LENGTH_MAX) -> None:
        self.limit = limit
        self.text = text[:limit]
        self.cursor = len(self.text)

    def handle(self, key: str) -> None:
        """Do what a key says; one that means nothing here changes nothing."""
        if len(key) == 1:
            self._insert(key)
        elif key in MOVES:
            self.cursor = min(max(self.cursor + MOVES[key], 0), len(self.text))
        elif key in BEGIN:
            self.cursor = 0
        elif key in END:
            self.cursor = len(self.text)
        elif key == "backspace":
            self._remove(self.cursor - 1, self.cursor)
        elif key in DELETE:
            self._remove(self.cursor, self.cursor + 1)
        elif key == "ctrl-u":
            self._remove(0, self.cursor)
        elif key == "ctrl-k":
            self._remove(self.cursor, len(self.text))
        elif key == "ctrl-w":
            self._remove(self._word_start(), self.cursor)

    def view(self, columns: int) -> tuple[str, int]:
        """Return the part of the text around the cursor, at most `columns` wide, and the cursor's column in it.

        Each character takes one column: those that would not (controls, wide letters) are shown as "?".
        """
        first = max(self.cursor - columns + 1, 0)
        shown = self.text[first : first + columns]
        safe = "".join(c if c.isprintable() and c < "\u1100" else "?" for c in shown)
        return safe, self.cursor - first

    def _insert(self, character: str) -> None:
        if len(self.text) < self.limit and character.isprintable():
            self.text = self.text[: self.cursor] + character + self.text[self.cursor :]
            self.cursor += 1

    def _remove(self, start: int, end: int) -> None:
        start = max(start, 0)
        self.text = self.text[:start] + self.text[end:]
        self.cursor = min(start, len(self.text))

    def _word_start(self) -> int:
        """Return where the word before the cursor begins, spaces after it taken along."""
        before = self.text[: self.cursor].rstrip(" ")
        return before.rfind(" ") + 1


def edit_line(console: Console, prompt: str, text: str) -> str | None:
    """Let a person change a line of text; None when they gave up or nobody is there."""
    editor = LineEditor(text)
    console.write(f"{prompt}\n{_drawn(editor)}")
    drawn = 0
    key = console.read_key(None)
    while key is not None and key not in CANCEL and key != "enter":
        editor.handle(key)
        key = console.read_key(0) if drawn < KEYS_BETWEEN_DRAWS else None
        drawn += 1
        if key is None:
            console.write(_drawn(editor))
            drawn = 0
            key = console.read_key(None)
    console.write(f"{_drawn(editor)}\n")
    return editor.text if key == "enter" else None


def _drawn(editor: LineEditor) -> str:
    """Return what draws the line over itself and puts the cursor into its place."""
    shown, column = editor.view(LINE_WIDTH - len(PROMPT))
    return f"\r{PROMPT}{shown}{ERASE_LINE}\r\x1b[{len(PROMPT) + column}C"
