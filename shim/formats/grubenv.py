"""GRUB's environment block. Spec: GNU GRUB manual 2.12, "Environment block".

A text of a fixed size (1024 bytes): a signature line, NAME=VALUE lines in which a backslash stands before a backslash
or a newline, and # up to the end. Read only: nothing here writes one.
"""

from __future__ import annotations

from shim.errors import FormatError

SIGNATURE = b"# GRUB Environment Block\n"
SIZE_MAX = 64 << 10
VARIABLES_MAX = 1024


def parse_grubenv(data: bytes) -> dict[str, str]:
    """Return the variables of a block in their order. Raises FormatError for what is no such block."""
    if len(data) > SIZE_MAX:
        raise FormatError("the environment block is too long", limit=SIZE_MAX, found=len(data))
    if not data.startswith(SIGNATURE):
        raise FormatError("no environment block: its signature is missing", at=0, found=data[:16].hex() or "nothing")
    text = data[len(SIGNATURE) :].decode("utf-8", "replace")
    variables: dict[str, str] = {}
    for line in _lines(text):
        name, equals, value = line.partition("=")
        if line.startswith("#") or not equals or not name:
            continue
        if len(variables) >= VARIABLES_MAX:
            raise FormatError("too many variables in the environment block", limit=VARIABLES_MAX)
        variables[name] = value
    return variables


def _lines(text: str) -> list[str]:
    """Return the lines with their backslashes taken away. The last one needs no newline."""
    lines: list[str] = []
    kept: list[str] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            at += 1
            kept.append(text[at])
        elif letter == "\n":
            lines.append("".join(kept))
            kept.clear()
        else:
            kept.append(letter)
        at += 1
    return [*lines, "".join(kept)]
