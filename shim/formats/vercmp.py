"""Comparison of versions. Spec: UAPI.10, Version Format Specification, "Version Comparison"."""

from __future__ import annotations

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
DIGITS = frozenset("0123456789")
SEPARATORS = "-^."
VALID = LETTERS | DIGITS | frozenset("~" + SEPARATORS)


def compare_versions(left: str, right: str) -> int:
    """Return -1, 0 or 1 when `left` is older than, equal to or newer than `right`."""
    at, by = 0, 0
    while True:
        at, by = _skip(left, at), _skip(right, by)
        first, second = left[at : at + 1], right[by : by + 1]
        if "~" in (first, second):
            if first != second:
                return -1 if first == "~" else 1
            at, by = at + 1, by + 1
            continue
        if not first or not second:
            return bool(first) - bool(second)
        separator = next((mark for mark in SEPARATORS if mark in (first, second)), None)
        if separator is not None:
            if first != second:
                return -1 if first == separator else 1
            at, by = at + 1, by + 1
            continue
        kind = DIGITS if first in DIGITS or second in DIGITS else LETTERS
        end, stop = _span(left, at, kind), _span(right, by, kind)
        result = _compare_parts(left[at:end], right[by:stop], kind is DIGITS)
        if result:
            return result
        at, by = end, stop


def _compare_parts(left: str, right: str, numeric: bool) -> int:
    if numeric:
        if bool(left) != bool(right):  # a number is newer than letters
            return 1 if left else -1
        left, right = left.lstrip("0"), right.lstrip("0")
        if len(left) != len(right):
            return -1 if len(left) < len(right) else 1
    if left == right:
        return 0
    return -1 if left < right else 1


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] not in VALID:
        at += 1
    return at


def _span(text: str, at: int, kind: frozenset[str]) -> int:
    while at < len(text) and text[at] in kind:
        at += 1
    return at
