"""os-release. Spec: os-release(5): shell-like assignments, one a line."""

from __future__ import annotations

SIZE_MAX = 64 << 10
ESCAPED = '"$`\\\''


def parse_os_release(data: bytes) -> dict[str, str]:
    """Return the assignments; lines that are none are passed over. Bytes that are not UTF-8 become U+FFFD."""
    values = {}
    for line in data[:SIZE_MAX].decode("utf-8", "replace").replace("\0", "").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.replace("_", "").isalnum() and not name.startswith("#"):
            values[name] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        quote, value = value[0], value[1:-1]
        if quote == "'":
            return value
    out, escaped = [], False
    for letter in value:
        if escaped:
            out.append(letter if letter in ESCAPED else "\\" + letter)
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            out.append(letter)
    return "".join(out) + ("\\" if escaped else "")
