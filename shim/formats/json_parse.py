"""JSON text (RFC 8259) to values, for small files from outside.

The json package is not in the frozen runtime: with re and its scanner it would cost more than these few lines. What
other readers could take in another way is refused: a key that stands twice in an object, also where only its case
differs (Go's decoder does not tell case apart), a text that is not UTF-8, a number that is no integer.
"""

from __future__ import annotations

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIZE_MAX = 1 << 18
DEPTH_MAX = 16
DIGITS_MAX = 18
BLANKS = " \t\n\r"
WORDS = {"true": True, "false": False, "null": None}
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def parse_json(data: bytes, what: str) -> Any:
    """Return the value: None, bool, int, str, and lists and dicts of them. Raises FormatError; `what` names the file.

    Offsets in errors count characters.
    """
    if len(data) > SIZE_MAX:
        raise FormatError(f"{what} is too long", limit=SIZE_MAX, found=len(data))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError(f"{what} is not UTF-8", at=problem.start) from problem
    reader = _Reader(text, what)
    value = reader.value(0)
    reader.skip_blanks()
    if reader.at < len(text):
        raise reader.problem("has something behind its end")
    return value


class _Reader:
    """A place in a text. Each method takes what begins there and moves behind it."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what, self.at = text, what, 0

    def problem(self, clause: str) -> FormatError:
        return FormatError(f"{self.what} {clause}", at=self.at, found=self.text[self.at : self.at + 16])

    def skip_blanks(self) -> None:
        while self.text[self.at : self.at + 1] in BLANKS and self.at < len(self.text):
            self.at += 1

    def takes(self, mark: str) -> bool:
        """Say whether a mark comes next, blanks apart; go behind it if so."""
        self.skip_blanks()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def demand(self, mark: str) -> None:
        if not self.takes(mark):
            raise self.problem(f"has no {mark} where there must be one")

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise self.problem("is nested too deeply")
        if self.takes("{"):
            return self.object(depth)
        if self.takes("["):
            return self.array(depth)
        if self.takes('"'):
            return self.string()
        for word, value in WORDS.items():
            if self.takes(word):
                return value
        return self.integer()

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        names: set[str] = set()
        if self.takes("}"):
            return found
        while True:
            self.demand('"')
            name = self.string()
            if name.casefold() in names:
                raise self.problem("has a key twice")
            names.add(name.casefold())
            self.demand(":")
            found[name] = self.value(depth + 1)
            if not self.takes(","):
                self.demand("}")
                return found

    def array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        if self.takes("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if not self.takes(","):
                self.demand("]")
                return found

    def string(self) -> str:
        """Return a string whose opening mark was taken."""
        pieces: list[str] = []
        while True:
            end, escape = self.text.find('"', self.at), self.text.find("\\", self.at)
            stop = min((place for place in (end, escape) if place >= 0), default=-1)
            if stop < 0:
                raise self.problem("has a string without an end")
            piece = self.text[self.at : stop]
            if any(letter < " " for letter in piece):
                raise self.problem("has a control character in a string")
            pieces.append(piece)
            self.at = stop + 1
            if stop == end:
                return "".join(pieces)
            pieces.append(self.escape())

    def escape(self) -> str:
        """Return what is escaped; the backslash was taken."""
        letter = self.text[self.at : self.at + 1]
        if letter in ESCAPES and letter:
            self.at += 1
            return ESCAPES[letter]
        if letter != "u":
            raise self.problem("has an unknown escape")
        unit = self.code_unit()
        if 0xD800 <= unit < 0xDC00 and self.text.startswith("\\u", self.at):
            self.at += 1
            low = self.code_unit()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            raise self.problem("has half a surrogate pair")
        if 0xD800 <= unit < 0xE000:
            raise self.problem("has half a surrogate pair")
        return chr(unit)

    def code_unit(self) -> int:
        digits = self.text[self.at + 1 : self.at + 5]
        if len(digits) != 4 or not HEX_DIGITS.issuperset(digits):
            raise self.problem("has an unknown escape")
        self.at += 5
        return int(digits, 16)

    def integer(self) -> int:
        end = self.at + self.text.startswith("-", self.at)
        first = end
        while self.text[end : end + 1] in "0123456789" and end < len(self.text):
            end += 1
        digits = self.text[first:end]
        if not digits or len(digits) > DIGITS_MAX or (digits[0] == "0" and digits != "0"):
            raise self.problem("has no value where there must be one")
        if self.text[end : end + 1] in (".", "e", "E"):
            raise self.problem("has a number that is no integer")
        number = int(self.text[self.at : end])
        self.at = end
        return number
