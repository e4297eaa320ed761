"""Boot counting in file names. Spec: UAPI.1, "Boot counting": NAME+LEFT[-DONE].conf or .efi."""

from __future__ import annotations

DIGITS_MAX = 9


def split_counter(name: str, suffix: str) -> tuple[str, int | None, int | None]:
    """Return the name without its counter, the tries left and the tries done (None without a counter)."""
    stem = name.removesuffix(suffix)
    base, plus, counter = stem.rpartition("+")
    left, dash, done = counter.partition("-")
    if not plus or not _is_number(left) or (dash and not _is_number(done)):
        return name, None, None
    return base + suffix, int(left), int(done) if dash else 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
