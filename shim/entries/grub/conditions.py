"""The commands `test` and `[`. Spec: GNU GRUB manual 2.12, "test"; how -a, -o and ! bind is what GRUB does.

-a binds nothing, everything that stands beside each other is joined by "and"; -o begins anew. File times are not
known here: of -nt and -ot only what they say of files that are missing holds.
"""

from __future__ import annotations

from shim.entries.grub.devices import exists, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.entries.grub.devices import Devices

INT_BITS = 32
LONG_MAX = (1 << 64) - 1
DIGITS = "0123456789"
BASES = {"0x": 16, "0X": 16}
STRINGS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ge": lambda left, right: left >= right,
    "-gt": lambda left, right: left > right,
    "-le": lambda left, right: left <= right,
    "-lt": lambda left, right: left < right,
    "-ne": lambda left, right: left != right,
}


class _Value:
    """What has been seen of one parenthesis."""

    __slots__ = ("both", "either", "inverted")

    def __init__(self) -> None:
        self.either, self.both, self.inverted = False, True, False

    def take(self, value: bool) -> None:
        self.both = self.both and value != self.inverted
        self.inverted = False

    def result(self) -> bool:
        return self.either or self.both


def is_true(words: Sequence[str], devices: Devices, root: str) -> bool:
    """Say whether an expression holds. Never fails: what makes no sense is a string that is not empty."""
    stack = [_Value()]
    at = 0
    while at < len(words):
        step = _operator(words, at, stack[-1], devices, root)
        if step:
            at += step
            continue
        word = words[at]
        at += 1
        if word == ")":
            if len(stack) == 1:
                break
            inner = stack.pop().result()
            stack[-1].take(inner)
        elif word == "(":
            stack.append(_Value())
        elif word == "!":
            stack[-1].inverted = not stack[-1].inverted
        elif word == "-o":
            stack[-1].either = stack[-1].either or stack[-1].both
            stack[-1].both = True
        elif word != "-a":
            stack[-1].take(bool(word))
    while len(stack) > 1:
        inner = stack.pop().result()
        stack[-1].take(inner)
    return stack[0].result()


def _operator(words: Sequence[str], at: int, value: _Value, devices: Devices, root: str) -> int:
    """Take an operator with its operands in; return how many words that were, 0 when there is none here."""
    if at + 2 < len(words):
        left, name, right = words[at : at + 3]
        if name in STRINGS:
            value.take(STRINGS[name](left, right))
            return 3
        if name in NUMBERS:
            value.take(NUMBERS[name](_int(number(left)), _int(number(right))))
            return 3
        if name in ("-pgt", "-plt"):
            first, second = _behind_common(left, right)
            value.take(first > second if name == "-pgt" else first < second)
            return 3
        if name.startswith(("-nt", "-ot")):
            here, there = devices.is_there(left, root), devices.is_there(right, root)
            value.take(here and not there if name.startswith("-nt") else there and not here)
            return 3
    if at + 1 < len(words) and words[at] in UNARY:
        value.take(UNARY[words[at]](words[at + 1], devices, root))
        return 2
    return 0


def _is_file(path: str, devices: Devices, root: str) -> bool:
    place = devices.locate(path.rstrip("/") or "/", root)
    return not isinstance(place, str) and exists(place)


def _has_size(path: str, devices: Devices, root: str) -> bool:
    place = devices.locate(path, root)
    return not isinstance(place, str) and bool(size(place))


UNARY: dict[str, Callable[[str, Devices, str], bool]] = {
    "-d": lambda path, devices, root: devices.names(path, root) is not None,
    "-e": lambda path, devices, root: devices.is_there(path.rstrip("/") or "/", root),
    "-f": _is_file,
    "-s": _has_size,
    "-n": lambda text, _devices, _root: bool(text),
    "-z": lambda text, _devices, _root: not text,
}


def is_number(text: str) -> bool:
    """Say whether a text is decimal digits and nothing else."""
    return text.isascii() and text.isdigit()


def number(text: str) -> int:
    """Return the number that a text begins with, 0 without one: decimal, 0x or octal, as C's strtoul does."""
    negative = text[:1] == "-"
    text = text[negative:].lstrip(" \t\n\v\f\r")
    base = BASES.get(text[:2], 8 if text[:1] == "0" else 10)
    digits = text[2:] if base == 16 else text
    value = 0
    for letter in digits:
        digit = "0123456789abcdef".find(letter.lower()) if letter.isascii() else -1
        if not 0 <= digit < base:
            break
        value = min(value * base + digit, LONG_MAX)
    return -value if negative else value


def _int(value: int) -> int:
    """Cut a number to the int that GRUB compares."""
    value &= (1 << INT_BITS) - 1
    return value - (1 << INT_BITS) if value >> (INT_BITS - 1) else value


def _behind_common(left: str, right: str) -> tuple[int, int]:
    """Return the numbers that stand where two texts begin to differ: vmlinuz-2 and vmlinuz-11 give 2 and 11."""
    at = 0
    while at < min(len(left), len(right)) and left[at] == right[at]:
        at += 1
    at -= 1
    while at > 0 and at < len(left) and left[at] in DIGITS:
        at -= 1
    at += 1
    return number(left[at:]), number(right[at:])
