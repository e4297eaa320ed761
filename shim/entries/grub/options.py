"""The options of GRUB's commands: --long, --long=value, --long value, -s, in any order before and between the words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# No value; one, behind = or as the next word; likewise, but none where the next word is an option, or missing.
FLAG, VALUE, MAYBE = "flag", "value", "maybe"
OPTIONS_MAX = 256


class Options:
    """What was given: the words, and the values of each option by its long name, in order."""

    __slots__ = ("values", "words", "wrong")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.values: dict[str, list[str]] = {}
        self.wrong: str | None = None

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> str | None:
        """Return the last value of an option, None without one."""
        return self.values[name][-1] if self.values.get(name) else None

    def all(self, name: str) -> list[str]:
        return [value for value in self.values.get(name, ()) if value]


def parse_options(
    args: Sequence[str], known: Mapping[str, str], short: Mapping[str, str] | None = None, *, lax: bool = False
) -> Options:
    """Sort arguments into options and words. `known` says by long name what an option takes, `short` which letter
    is which. An option that is not known is `wrong`, a sentence: GRUB does not run such a command. With `lax` it is
    a word, as GRUB has it for menuentry and search.
    """
    given = Options()
    rest = list(args)
    at = 0
    while at < len(rest):
        word = rest[at]
        at += 1
        if word == "--":
            given.words += rest[at:]
            break
        if word in ("", "-") or word[0] != "-":
            given.words.append(word)
            continue
        names, value = _names(word, short or {})
        for name in names:
            kind = known.get(name)
            if kind is None and lax:
                given.words.append(word)
                break
            if kind is None or (kind == FLAG and value is not None):
                given.wrong = f"unknown argument {word[:64]}"
                return given
            if kind == VALUE and value is None:
                if at >= len(rest):
                    given.wrong = f"missing value for {word[:64]}"
                    return given
                value = rest[at]
                at += 1
            elif kind == MAYBE and value is None and at < len(rest) and (len(rest[at]) < 2 or rest[at][0] != "-"):
                value = rest[at]
                at += 1
            given.values.setdefault(name, []).append(value or "")
    return given


def _names(word: str, short: Mapping[str, str]) -> tuple[list[str], str | None]:
    """Return the long names of what one word says, and the value behind =."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return [name], value if equals else None
    return [short.get(letter, f"-{letter}") for letter in word[1:OPTIONS_MAX]], None
