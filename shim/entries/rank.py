"""The order in which entries are tried. Spec: UAPI.1, "Sorting"; systemd-boot's rules for counters and defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable

from shim.formats.vercmp import compare_versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.model import Entry

SUFFIXES = (".conf", ".efi", ".zip")


def rank(
    entries: Iterable[Entry], default: str | None, said_by: str, preferred: str | None = None
) -> tuple[Entry, ...]:
    """Return the entries in the order in which they are tried, each with its rank and the reason.

    `default` is a glob over ids that the first match of is moved to the front; `said_by` names who said so. Entries
    that are hidden come last. `preferred` counts before `default`, but takes no entry without tries left.
    """
    ordered = sorted(map(_counted_out, entries), key=functools.cmp_to_key(_compare))
    chosen = _find_default(ordered, preferred, bad=False) if preferred else None
    if chosen is None and default:
        chosen = _find_default(ordered, default, bad=True)
    else:
        default = preferred or default
    if chosen is not None:
        ordered.remove(chosen)
        ordered.insert(0, chosen.traced(f"the default: {said_by} says {default}", default=True))
    elif default:
        first = next((entry for entry in ordered if entry.hidden is None), None)
        if first is not None:
            ordered[ordered.index(first)] = first.traced(f"{said_by} says {default}, which no entry goes by")
    else:
        ordered = _menu_default_first(ordered)
    return tuple(entry.replace(rank=number) for number, entry in enumerate(_unique(ordered)))


def _menu_default_first(ordered: list[Entry]) -> list[Entry]:
    """Put what the first menu starts to the front; a configuration or a loader.conf would have counted before it."""
    wanted = sorted((entry for entry in ordered if entry.menu_default), key=lambda entry: entry.menu_position or 0)
    chosen = next((entry for entry in wanted if entry.hidden is None), None)
    if chosen is None:
        if wanted and ordered[0].hidden is None:
            sentence = f"{wanted[0].menu_default}, which is not started: {wanted[0].hidden}"
            return [ordered[0].traced(sentence), *ordered[1:]]
        return ordered
    rest = [entry for entry in ordered if entry is not chosen]
    return [chosen.traced(f"the default: {chosen.menu_default}", default=True), *rest]


def goes_by(entry: Entry, pattern: str) -> bool:
    """Say whether a glob matches one of an entry's ids, with its suffix or without."""
    return any(matches(pattern, name) or matches(pattern, _stem(name)) for name in (entry.id, *entry.aliases))


def matches(pattern: str, text: str) -> bool:
    """Say whether a glob of *, ? and [...] matches the whole text, without regard to case."""
    return _matches(pattern.lower(), text.lower())


def _matches(pattern: str, text: str) -> bool:
    """Match from the left, going back to the last * only: linear in practice, never exponential."""
    at, by, star, mark = 0, 0, -1, 0
    while by < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark, at = at, by, at + 1
            continue
        step = _step(pattern, at, text[by])
        if step:
            at, by = at + step, by + 1
        elif star >= 0:
            mark += 1
            at, by = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")


def _step(pattern: str, at: int, letter: str) -> int:
    """Return how much of the pattern matches one letter, 0 when it does not."""
    if at >= len(pattern):
        return 0
    if pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
        inside = pattern[at + 1 : end]
        negated = inside[:1] in ("!", "^")
        return end + 1 - at if _in_set(inside[1:] if negated else inside, letter) != negated else 0
    return 1 if pattern[at] in ("?", letter) else 0


def _in_set(inside: str, letter: str) -> bool:
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            if inside[at] <= letter <= inside[at + 2]:
                return True
            at += 3
        else:
            if inside[at] == letter:
                return True
            at += 1
    return False


def _find_default(ordered: Sequence[Entry], default: str, *, bad: bool) -> Entry | None:
    for entry in ordered:
        usable = entry.hidden is None and (bad or entry.tries_left != 0)
        if usable and goes_by(entry, default):
            return entry
    return None


def _stem(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _file_stem(entry: Entry) -> str:
    """Return what an entry is sorted by at last: its file's name, with neither a profile nor the suffix."""
    name, at, _profile = entry.id.rpartition("@")
    return _stem(name if at and entry.profile else entry.id)


def _compare(left: Entry, right: Entry) -> int:
    """Compare as systemd-boot does: hidden last, no tries left last, then sort-key, machine-id, version,
    file name, and the profiles of one file in their order. What a script put into a menu comes behind all that, in
    the order of that menu."""
    for _name, compare in CRITERIA:
        if result := compare(left, right):
            return result
    return 0


def why_before(left: Entry, right: Entry) -> str:
    """Say what puts one entry before another that it stands before."""
    if left.default:
        return "it is the default"
    return next((name for name, compare in CRITERIA if compare(left, right)), "nothing tells them apart")


def _both_keyed(left: Entry, right: Entry) -> bool:
    return left.sort_key is not None and right.sort_key is not None


CRITERIA: tuple[tuple[str, Callable[[Entry, Entry], int]], ...] = (
    ("it is offered, the other is hidden",
     lambda left, right: _less(left.hidden is not None, right.hidden is not None)),
    ("it has tries left", lambda left, right: _less(left.tries_left == 0, right.tries_left == 0)),
    ("it comes from a file of its own, the other from a menu",
     lambda left, right: _less(left.menu_position is not None, right.menu_position is not None)),
    ("it stands before it in the menu",
     lambda left, right: _less(left.menu_position or 0, right.menu_position or 0)),
    ("it has a sort-key", lambda left, right: _less(left.sort_key is None, right.sort_key is None)),
    ("its sort-key comes first", lambda left, right: _less(left.sort_key or "", right.sort_key or "")),
    ("its machine-id comes first",
     lambda left, right: _less(left.machine_id or "", right.machine_id or "") if _both_keyed(left, right) else 0),
    ("its version is newer", lambda left, right: -compare_versions(left.version or "", right.version or "")
     if _both_keyed(left, right) else 0),
    ("its file name is that of a newer version",
     lambda left, right: -compare_versions(_file_stem(left), _file_stem(right))),
    ("its profile comes first", lambda left, right: _less(left.profile or 0, right.profile or 0)),
    ("it has more tries left", lambda left, right: -_less(left.tries_left or 0, right.tries_left or 0)),
    ("it was tried less often", lambda left, right: _less(left.tries_done or 0, right.tries_done or 0)),
    ("its volume's name comes first", lambda left, right: _less(left.volume, right.volume)),
)


def _less(left: bool | int | str, right: bool | int | str) -> int:
    if left == right:
        return 0
    return -1 if left < right else 1  # type: ignore[operator]  # both are of one type


def _counted_out(entry: Entry) -> Entry:
    return entry.traced("no tries left: it goes after all others") if entry.tries_left == 0 else entry


def _unique(ordered: Iterable[Entry]) -> Iterable[Entry]:
    """Give a second entry of the same id another one, so that an id names one entry."""
    seen: dict[str, int] = {}
    for entry in ordered:
        count = seen[entry.id] = seen.get(entry.id, 0) + 1
        yield entry if count == 1 else entry.traced(
            f"another entry goes by the id {entry.id}", id=f"{entry.id}#{count}")
