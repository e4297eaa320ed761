"""Find the line on which a key of a TOML document stands, for errors. Spec: TOML 1.0.0, Keys and Table.

The document has been parsed by tomllib before; this only looks for the place, and never fails.
"""

from __future__ import annotations


def line_of(text: str, path: tuple[str, ...]) -> int:
    """Return the line, from 1, of the key `path`; of the closest table that holds it when the key is not found."""
    table: tuple[str, ...] = ()
    best_line, best_depth = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _parts(stripped.strip("[]").split("]", 1)[0])
            found = table
        elif "=" in stripped and not stripped.startswith("#"):
            found = (*table, *_parts(stripped.split("=", 1)[0]))
        else:
            continue
        depth = _common(found, path)
        if depth == len(path):
            return number
        if depth > best_depth and depth == len(found):
            best_line, best_depth = number, depth
    return best_line


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
