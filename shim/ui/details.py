"""Everything that is known of one entry, for a person who wonders."""

from __future__ import annotations

from shim.ui.columns import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Entry

TRACE_MAX = 200


def details(entry: Entry, note: str) -> list[str]:
    """Return lines of at most 79 columns: where the entry comes from, what it starts, why it stands where it does."""
    facts = {
        "id": entry.id,
        "title": entry.title,
        "version": entry.version,
        "from": f"{entry.dialect}, {entry.volume}:{entry.source}",
        "kernel": entry.kernel,
        "profile": entry.profile,
        "initrd": " ".join(str(ref) for ref in entry.initrd),
        "devicetree": entry.devicetree,
        "command line": "the kernel file's own" if entry.cmdline is None else entry.cmdline,
        "tries": _tries(entry),
        "rank": f"{entry.rank + 1}{', the default' if entry.default else ''}",
        "state": note or "offered",
    }
    lines = [""]
    for name, value in facts.items():
        if value is not None and value != "":
            first, *rest = wrap(str(value), " " * 15)
            lines += [f"{name:<15}{first[15:]}", *rest]
    lines.append("how it came about:")
    for sentence in entry.trace[:TRACE_MAX]:
        lines += wrap(sentence, "  ")
    return lines


def _tries(entry: Entry) -> str | None:
    """Say the counters of a boot-counting name."""
    if entry.tries_left is None:
        return None
    return f"{entry.tries_left} left, {entry.tries_done or 0} done"
