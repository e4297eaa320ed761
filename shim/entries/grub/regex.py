"""POSIX extended regular expressions for `regexp`, in time that no pattern can blow up. Spec: POSIX.1-2017, XBD 9.4.

All ways through a pattern are walked at once (Thompson, Pike), each with its groups; the leftmost match wins, and of
those the longest. Where POSIX and this differ is which of several groups took what, and back references are unknown.
"""

from __future__ import annotations

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Step = tuple[str, Any, Any]  # what it does, and up to two distances, a group or a test
    Code = list[Step]
    Spend = Callable[[int], None]
    Groups = tuple[int, ...]

PATTERN_SIZE_MAX = 1024
CODE_MAX = 4096
REPEAT_MAX = 64
GROUPS_MAX = 32
DEPTH_MAX = 16
CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha, "digit": str.isdigit, "alnum": str.isalnum, "upper": str.isupper, "lower": str.islower,
    "space": str.isspace, "blank": lambda letter: letter in " \t", "punct": lambda letter: not letter.isalnum()
    and letter.isprintable() and letter != " ", "xdigit": lambda letter: letter in "0123456789abcdefABCDEF",
    "print": str.isprintable, "graph": lambda letter: letter.isprintable() and letter != " ",
    "cntrl": lambda letter: letter < " " or letter == "\x7f",
}


class _Compiler:
    """A pattern on its way to code."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.groups, self.depth = pattern, 0, 0, 0

    def alternatives(self) -> Code:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.wrong("nested too deep")
        code = self.sequence()
        while self.peek() == "|":
            self.at += 1
            other = self.sequence()
            code = [("split", 1, len(code) + 2), *code, ("jump", len(other) + 1, None), *other]
        self.depth -= 1
        return code

    def sequence(self) -> Code:
        code: Code = []
        while self.peek() not in ("", "|") and not (self.peek() == ")" and self.depth > 1):
            code += self.repeated(self.atom())
            if len(code) > CODE_MAX:
                self.wrong("too long")
        return code

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def atom(self) -> Code:
        letter = self.peek()
        self.at += 1
        if letter == "(":
            self.groups += 1
            number = self.groups
            if number > GROUPS_MAX:
                self.wrong("too many groups")
            inner = self.alternatives()
            if self.peek() != ")":
                self.wrong("a group is not closed")
            self.at += 1
            return [("save", 2 * number, None), *inner, ("save", 2 * number + 1, None)]
        if letter == "[":
            return [("set", self.bracket(), None)]
        if letter == "\\":
            letter = self.peek()
            self.at += 1
            if not letter:
                self.wrong("a backslash at the end")
            return [("letter", letter, None)]
        if letter in "*+?" or (letter == "{" and self.counts() is None):
            return [("letter", letter, None)]
        return [({".": "any", "^": "begin", "$": "end"}.get(letter, "letter"), letter, None)]

    def repeated(self, code: Code) -> Code:
        while True:
            letter = self.peek()
            if letter == "{" and (counts := self.counts()) is not None:
                least, most, self.at = counts
            elif letter and letter in "*+?":
                least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[letter]
                self.at += 1
            else:
                return code
            if max(least, most) > REPEAT_MAX or len(code) * max(least, most, 1) > CODE_MAX:
                self.wrong("a repetition is too long")
            more = code * least
            if most < 0:
                more += [("split", 1, len(code) + 2), *code, ("jump", -len(code) - 1, None)]
            for _ in range(most - least):
                more += [("split", 1, len(code) + 1), *code]
            code = more

    def counts(self) -> tuple[int, int, int] | None:
        """Return least, most (-1: any number) and the place behind, where {n}, {n,} or {n,m} stands here."""
        begin = self.at if self.peek() == "{" else self.at - 1
        end = self.pattern.find("}", begin)
        least, comma, most = self.pattern[begin + 1 : end].partition(",")
        if end < 0 or not least.isdecimal() or (most and not most.isdecimal()) or len(least + most) > 8:
            return None
        return int(least), int(most) if most else -1 if comma else int(least), end + 1

    def bracket(self) -> Callable[[str], bool]:
        negated = self.peek() == "^"
        self.at += negated
        tests: list[Callable[[str], bool]] = []
        start = self.at
        while (letter := self.peek()) != "]" or self.at == start:
            if not letter:
                self.wrong("a bracket is not closed")
            if self.pattern.startswith("[:", self.at):
                end = self.pattern.find(":]", self.at)
                name = self.pattern[self.at + 2 : end] if end > 0 else ""
                if name not in CLASSES:
                    self.wrong("an unknown class of letters")
                tests.append(CLASSES[name])
                self.at = end + 2
                continue
            last = self.pattern[self.at + 2 : self.at + 3]
            if self.pattern[self.at + 1 : self.at + 2] == "-" and last not in ("", "]"):
                tests.append(_in_range(letter, last))
                self.at += 3
            else:
                tests.append(_in_range(letter, letter))
                self.at += 1
        self.at += 1
        return lambda letter: any(test(letter) for test in tests) != negated

    def wrong(self, why: str) -> None:
        raise FormatError("not a regular expression that is understood", why=why, at=self.at)


def _in_range(first: str, last: str) -> Callable[[str], bool]:
    return lambda letter: first <= letter <= last


def match(pattern: str, text: str, spend: Spend) -> list[str | None] | None:
    """Return the match and its groups (None: took no part), or None where nothing matches.

    `spend` is told how many states were walked. Raises FormatError for a pattern that is none.
    """
    if len(pattern) > PATTERN_SIZE_MAX:
        raise FormatError("the regular expression is too long", limit=PATTERN_SIZE_MAX, found=len(pattern))
    compiler = _Compiler(pattern)
    code = compiler.alternatives()
    if compiler.at < len(pattern):
        compiler.wrong("a parenthesis too many")
    code.append(("match", None, None))
    empty = (-1,) * (2 * compiler.groups + 2)
    best: Groups | None = None
    threads: list[tuple[int, Groups]] = []
    for at in range(len(text) + 1):
        if best is None:
            threads.append((0, (at, *empty[1:])))
        letter = text[at : at + 1]
        following: list[tuple[int, Groups]] = []
        seen: set[int] = set()
        for start, groups in threads:
            if best is not None and groups[0] > best[0]:
                continue
            best = _follow(code, start, groups, text, at, seen, following, best)
        spend(len(seen) + 1)
        threads = [(to, groups) for to, groups in following if letter and _takes(code[to - 1], letter)]
        if not threads and best is not None:
            break
    if best is None:
        return None
    return [None if best[at] < 0 or best[at + 1] < 0 else text[best[at] : best[at + 1]]
            for at in range(0, len(best), 2)]


def _follow(code: Code, start: int, groups: Groups, text: str, at: int, seen: set[int],
            following: list[tuple[int, Groups]], best: Groups | None) -> Groups | None:  # fmt: skip
    """Walk from one state through all that takes no letter, in order of preference; note what takes the next."""
    stack = [(start, groups)]
    while stack:
        where, held = stack.pop()
        if where in seen:
            continue
        seen.add(where)
        name, first, second = code[where]
        if name == "match":
            if best is None or (held[0], -at) <= (best[0], -best[1]):
                best = (held[0], at, *held[2:])
        elif name == "jump":
            stack.append((where + first, held))
        elif name == "split":
            stack += [(where + second, held), (where + first, held)]
        elif name == "save":
            stack.append((where + 1, (*held[:first], at, *held[first + 1 :])))
        elif (name == "begin" and at == 0) or (name == "end" and at == len(text)):
            stack.append((where + 1, held))
        elif name not in ("begin", "end"):
            following.append((where + 1, held))
    return best


def _takes(step: Step, letter: str) -> bool:
    name, wanted, _none = step
    if name == "set":
        return bool(wanted(letter))
    return name == "any" or bool(wanted == letter)
