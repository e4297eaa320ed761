"""GRUB script as words and signs. Spec: GNU GRUB manual 2.12, "Shell-like scripting"; what GRUB does, not what it says.

A comment line vanishes before the text is looked at, even inside a string; so do carriage returns.
"""

from __future__ import annotations

from shim.entries.grub.syntax import BARE, QUOTED, QUOTED_VARIABLE, VARIABLE
from shim.errors import EntryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.entries.grub.limits import Budget
    from shim.entries.grub.syntax import Part, Word

    Token = tuple[str, Word, int]  # kind, word, line

END, NEWLINE, WORD = "the end", "\n", "word"
BLANKS = " \t"
SIGNS = frozenset("{}|&;<>")
PAIRS = ("||", "&&", ";;")
# What ends a run of plain letters: signs, blanks, quotes, and what expands.
STOPS = SIGNS | frozenset(" \t\n'\"\\$")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
DIGITS = frozenset("0123456789")
SPECIAL = frozenset("?#*@")
GLOBS = frozenset("*?\\")


class ScriptError(EntryError):
    """A place that GRUB's grammar does not allow. What stood before it on the line is not run either."""


def is_name(text: object) -> bool:
    """Say whether a word could be a variable's or a function's name."""
    return (isinstance(text, str) and bool(text) and text[0] in LETTERS
            and all(letter in LETTERS or letter in DIGITS for letter in text))


class Lexer:
    """A text, read forwards token by token."""

    def __init__(self, path: str, text: str, budget: Budget, line: int = 1, *, is_file: bool = False) -> None:
        self.path = path
        self._budget = budget
        self._lines: list[int] = []
        self._text = self._without_comments(text, line) if is_file else text
        self._at, self._row, self._first = 0, 0, line

    def _without_comments(self, text: str, line: int) -> str:
        """Take out the lines that begin with #, and remember the numbers of those that stay."""
        kept = []
        for number, row in enumerate(text.replace("\r", "").split("\n"), line):
            if not row.startswith("#"):
                kept.append(row)
                self._lines.append(number)
        return "\n".join(kept)

    @property
    def line(self) -> int:
        """The number of the line that is being read, from 1."""
        if not self._lines:
            return self._first + self._row
        return self._lines[min(self._row, len(self._lines) - 1)]

    def skip_line(self) -> None:
        """Go on with the next line: what GRUB does after a mistake."""
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end + 1
        self._row += end >= 0

    def take(self) -> Token:
        """Return the next token. Raises ScriptError for a character that cannot stand where it does."""
        text, at = self._text, self._at
        while text[at : at + 1] in (" ", "\t"):
            at += 1
        if text[at : at + 1] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        self._at = at
        line = self.line
        self._budget.token(line)
        if at >= len(text):
            return END, "", line
        letter = text[at]
        if letter == "\n":
            self._at, self._row = at + 1, self._row + 1
            return NEWLINE, "\n", line
        if letter in SIGNS:
            sign = text[at : at + 2] if text[at : at + 2] in PAIRS else letter
            self._at = at + len(sign)
            return sign, sign, line
        return WORD, self._word(), line

    def _word(self) -> Word:
        text, end = self._text, len(self._text)
        parts: list[Part] = []
        while self._at < end and (letter := text[self._at]) not in SIGNS and letter not in " \t\n":
            if parts:
                self._budget.token(self.line)
            if letter == "'":
                parts.append((QUOTED, self._until("'")))
            elif letter == '"':
                self._at += 1
                self._double_quoted(parts)
            elif letter == "\\":
                parts.append((BARE, self._escaped()))
            elif letter == "$":
                if text[self._at + 1 : self._at + 2] == '"':
                    self._at += 1
                else:
                    parts.append((VARIABLE, self._variable()))
            else:
                at = self._at + 1
                while at < end and text[at] not in STOPS:
                    at += 1
                parts.append((BARE, text[self._at : at]))
                self._at = at
        if len(parts) == 1 and parts[0][0] == BARE and parts[0][1] and GLOBS.isdisjoint(parts[0][1]):
            return parts[0][1]
        return tuple(parts)

    def _until(self, quote: str) -> str:
        start = self._at + 1
        end = self._text.find(quote, start)
        if end < 0:
            raise self._unclosed("a string is not closed")
        self._row += self._text.count("\n", start, end)
        self._at = end + 1
        return self._text[start:end]

    def _escaped(self) -> str:
        pair = self._text[self._at : self._at + 2]
        if len(pair) < 2 or (pair == "\\\n" and self._at + 2 >= len(self._text)):
            raise self._unclosed("a line goes on behind the end")
        self._at += 2
        if pair == "\\\n":
            self._row += 1
            return ""
        return pair

    def _double_quoted(self, parts: list[Part]) -> None:
        """Read up to the closing quote. There is a quoted part in any case, so that "" is a word."""
        text, kept, at = self._text, [], self._at
        while True:
            start = at
            while at < len(text) and text[at] not in '"$\\\n':
                at += 1
            kept.append(text[start:at])
            if at >= len(text):
                raise self._unclosed("a string is not closed")
            letter = text[at]
            if letter == '"':
                break
            if letter == "$":
                self._budget.token(self.line)
                parts.append((QUOTED, "".join(kept)))
                kept.clear()
                self._at = at
                parts.append((QUOTED_VARIABLE, self._variable()))
                at = self._at
                continue
            if letter == "\n":
                kept.append("\n")
                self._row += 1
            elif text[at + 1 : at + 2] in ("$", "\\", '"'):
                at += 1
                kept.append(text[at])
            elif text[at + 1 : at + 2] == "\n":
                at += 1
                self._row += 1
            else:
                kept.append("\\")
            at += 1
        parts.append((QUOTED, "".join(kept)))
        self._at = at + 1

    def _variable(self) -> str:
        """Read the name behind a dollar: letters and digits, digits, or one of ? # * @; all may be in braces."""
        text, line = self._text, self.line
        at = self._at + 1
        braced = text[at : at + 1] == "{"
        at += braced
        start = at
        first = text[at : at + 1]
        if first in SPECIAL and first:
            at += 1
        elif first in DIGITS and first:
            while text[at : at + 1] in DIGITS and at < len(text):
                at += 1
        else:
            while text[at : at + 1] in LETTERS or (at > start and text[at : at + 1] in DIGITS):
                at += 1
        name = text[start:at]
        if not name or (braced and text[at : at + 1] != "}"):
            raise ScriptError("a dollar without a variable", file=self.path, line=line)
        self._at = at + braced
        return name

    def _unclosed(self, reason: str) -> ScriptError:
        """Return the mistake that costs everything up to the end."""
        line = self.line
        self._at = len(self._text)
        return ScriptError(reason, file=self.path, line=line)
