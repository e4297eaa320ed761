"""Values to JSON text (RFC 8259), ASCII only, keys in the order given.

The json package would import re on the way to every boot; its C part alone does what is hard here.
"""

from __future__ import annotations

from _json import encode_basestring_ascii

from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEPTH_LIMIT = 32


def build_json(value: Any, depth: int = 0) -> str:
    """Return `value` as JSON on one line: None, bool, int, float, str, bytes (as hex), and lists and dicts of them.

    A float that JSON cannot hold, an unknown type and a nesting beyond 32 raise FormatError.
    """
    if depth > DEPTH_LIMIT:
        raise FormatError("JSON is nested too deeply", expected=DEPTH_LIMIT)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, bytes):
        return f'"{value.hex()}"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not -1e308 < value < 1e308:
            raise FormatError("JSON has no such number", found=value)
        return f"{value:.6f}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(build_json(item, depth + 1) for item in value)}]"
    if isinstance(value, dict):
        rows = (f"{encode_basestring_ascii(str(key))}: {build_json(item, depth + 1)}" for key, item in value.items())
        return f"{{{', '.join(rows)}}}"
    raise FormatError("JSON cannot hold this", found=type(value).__name__)
