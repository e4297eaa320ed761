"""From words to arguments: variables, splitting at blanks, file names from * and ?. All as GRUB does it.

A text under way carries a backslash before each letter that is not to expand; they go when the arguments are done.
"""

from __future__ import annotations

from shim.entries.grub.limits import ARGUMENTS_MAX, ARGUMENTS_SIZE_MAX, GLOB_MAX
from shim.entries.grub.syntax import BARE, QUOTED, VARIABLE

BLANKS = dict.fromkeys(map(ord, "\n\r\t"), " ")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.entries.grub.devices import Devices
    from shim.entries.grub.limits import Budget
    from shim.entries.grub.syntax import Word

    Lookup = Callable[[str], str | None]


def expand(words: Sequence[Word], lookup: Lookup, parameters: Sequence[str] | None, budget: Budget,
           devices: Devices | None = None, root: str = "") -> list[str]:  # fmt: skip
    """Return the arguments that words make. A word of nothing but variables that are not set makes none.

    `parameters` are those of the function, None outside of any; `devices` is where names from * are looked up.
    """
    raw: list[list[str]] = []
    for word in words:
        _begin(raw)
        if isinstance(word, str):
            raw[-1].append(word)
            continue
        for kind, text in word:
            if kind == BARE and text:
                raw[-1].append(text)
            elif kind == QUOTED:
                raw[-1].append(_escape(text))
            elif kind != BARE:
                budget.spend(
                    _add_values(raw, _values(text, lookup, parameters, split=kind == VARIABLE), kind != VARIABLE))
        if len(raw) > ARGUMENTS_MAX:
            raise budget.refusal("a command has too many arguments", limit=ARGUMENTS_MAX)
    if raw and not raw[-1]:
        raw.pop()
    arguments = ["".join(pieces) for pieces in raw]
    total = sum(map(len, arguments))
    budget.value(max(map(len, arguments), default=0))
    budget.spend(total)
    if total > ARGUMENTS_SIZE_MAX:
        raise budget.refusal("a command's arguments are too long", limit=ARGUMENTS_SIZE_MAX, found=total)
    done: list[str] = []
    for text in arguments:
        if "*" in text or "?" in text or "\\" in text:
            done += _finish(text, budget, devices, root)
        else:
            done.append(text)
    return done


def _begin(raw: list[list[str]]) -> None:
    """Begin an argument, or take the last one that nothing came into."""
    if not raw or raw[-1]:
        raw.append([])


def _add_values(raw: list[list[str]], values: Sequence[str], quoted: bool) -> int:
    """Add a variable's values to the argument, and to new ones behind it; return how many bytes that were."""
    for number, value in enumerate(values):
        if number:
            _begin(raw)
        raw[-1].append(_escape(value) if quoted else _protect(value))
    return sum(map(len, values))


def _values(name: str, lookup: Lookup, parameters: Sequence[str] | None, *, split: bool) -> Sequence[str]:
    """Return what a variable stands for, as so many arguments."""
    if name in ("*", "@"):
        given = tuple(parameters or ())
        if not split:
            return given if name == "@" else (" ".join(given),) if given else ()
        return [part for value in given for part in split_blanks(value)]
    if name == "#":
        return () if parameters is None else (str(len(parameters)),)
    if name[0].isdigit():
        number = int(name[:9])
        value = parameters[number - 1] if parameters is not None and 0 < number <= len(parameters) else None
    else:
        value = lookup(name)
    if not value:
        return ()
    return split_blanks(value) if split else (value,)


def split_blanks(text: str) -> list[str]:
    """Split at what GRUB takes for blank: fewer letters than Python."""
    return [part for part in text.translate(BLANKS).split(" ") if part]


def _escape(text: str) -> str:
    """Put a backslash before what would expand."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _protect(text: str) -> str:
    """Keep the backslashes of a variable that is not quoted; its * and ? expand."""
    return text.replace("\\", "\\\\") if "\\" in text else text


def unescape(text: str) -> str:
    """Take the backslashes away again."""
    out, at = [], 0
    while at < len(text):
        at += text[at] == "\\"
        out.append(text[at : at + 1])
        at += 1
    return "".join(out)


def has_glob(text: str) -> bool:
    """Say whether a text has a * or ? that is to expand."""
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] in "*?":
            return True
        at += 1
    return False


def _finish(text: str, budget: Budget, devices: Devices | None, root: str) -> Sequence[str]:
    if devices is None or text[:1] not in ("/", "(", "*") or not has_glob(text):
        return [unescape(text)]
    return _paths(text, budget, devices, root) or [unescape(text)]


def _paths(pattern: str, budget: Budget, devices: Devices, root: str) -> list[str]:
    """Return the names of devices and files that a pattern stands for, none when nothing is there."""
    device, close, path = pattern.partition(")") if pattern[0] == "(" else ("", "", pattern)
    if pattern[0] == "*":
        device, close, path = pattern, "", ""
    heads = [unescape(device + close)]
    if has_glob(device):
        heads = [f"({name})" for name in devices.device_names()
                 if (close or "," not in name) and _matches(device + close, f"({name})", budget)]
    for piece in path.split("/")[1:]:
        found: list[str] = []
        for head in heads:
            if not has_glob(piece):
                found.append(f"{head}/{unescape(piece)}")
                continue
            names = devices.names(f"{head}/", root) or ()
            budget.spend(sum(map(len, names)))
            found += [f"{head}/{name}" for name in names if _matches(piece, name, budget)]
        heads = found[:GLOB_MAX]
    return [head for head in heads if devices.is_there(head, root) or not path]


def _matches(pattern: str, text: str, budget: Budget) -> bool:
    """Match from the left, going back to the last * only."""
    at, by, star, mark = 0, 0, -1, 0
    budget.spend(len(pattern) * len(text))
    while by < len(text):
        letter = pattern[at : at + 1]
        if letter == "*":
            star, mark, at = at, by, at + 1
        elif letter == "?" or (letter == "\\" and pattern[at + 1 : at + 2] == text[by]) or (
                letter == text[by] and letter != "\\"):
            at, by = at + (2 if letter == "\\" else 1), by + 1
        elif star >= 0:
            mark += 1
            at, by = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")
