"""Text in columns: how wide it is on a terminal, cut, padded, wrapped. What comes in may be anything."""

from __future__ import annotations

from shim.errors import printable

LINE_WIDTH = 79  # the 80th column is left free: terminals differ in what they do after it


def width(text: str) -> int:
    """Return how many columns printable text takes, at most: East Asian letters and symbols count as two."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def cut(text: str, limit: int) -> str:
    """Return text made safe for a terminal and at most `limit` columns wide; an ellipsis stands for the rest."""
    shown = printable(text, 4 * limit)
    if width(shown) <= limit:
        return shown
    kept, used = [], 1
    for character in shown:
        used += _character_width(character)
        if used > limit:
            break
        kept.append(character)
    return f"{''.join(kept)}…"


def pad(text: str, columns: int) -> str:
    """Return safe text exactly `columns` wide."""
    shown = cut(text, columns)
    return shown + " " * (columns - width(shown))


def wrap(text: str, indent: str = "", limit: int = LINE_WIDTH) -> list[str]:
    """Return safe text broken into lines between words, words that fit no line broken anywhere.

    Every line begins with `indent`. Text beyond 4096 characters is cut; there is always one line.
    """
    room = limit - width(indent)
    lines = [""]
    for word in printable(text).split(" "):
        for piece in _pieces(word, room):
            joined = f"{lines[-1]} {piece}" if lines[-1] else piece
            if width(joined) <= room:
                lines[-1] = joined
            else:
                lines.append(piece)
    return [indent + line for line in lines]


def _pieces(word: str, room: int) -> list[str]:
    """Cut a word into pieces that fit a line each."""
    if width(word) <= room:
        return [word]
    step = max(room // 2, 1) if not word.isascii() else room
    return [word[at : at + step] for at in range(0, len(word), step)]


def _character_width(character: str) -> int:
    """Return 2 for what may be wide (Unicode Standard Annex 11 says it for each; its table is not carried here)."""
    code = ord(character)
    return 2 if 0x1100 <= code <= 0x115F or (code >= 0x2300 and not 0x2500 <= code <= 0x25FF) else 1
