"""The stages of a boot as bars on one scale of time."""

from __future__ import annotations

from shim.ui.columns import LINE_WIDTH, cut, pad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

NAME_WIDTH = 10
BAR_WIDTH = 40
ROWS_MAX = 48


def timeline(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return one line a stage, for stages in the form of docs/report.md: name, start and end in seconds.

    The scale goes from the first beginning to the last end. A long list shows its last 48 stages: the first ones
    of a boot that went wrong are the same thing over and over.
    """
    if not stages:
        return ""
    begin = min(stage["start"] for stage in stages)
    end = max(stage["end"] for stage in stages)
    left_out = len(stages) - ROWS_MAX
    lines = [f"  {'stage':<{NAME_WIDTH}} {'begins':>12} {'takes':>10} {begin:.3f} s to {end:.3f} s"]
    if left_out > 0:
        lines.append(f"  … {left_out} earlier stages")
    lines += [_line(stage, begin, end) for stage in stages[-ROWS_MAX:]]
    return "".join(f"{cut(line, LINE_WIDTH)}\n" for line in lines)


def _line(stage: Mapping[str, Any], begin: float, end: float) -> str:
    start, stop = stage["start"], stage["end"]
    scale = BAR_WIDTH / (end - begin) if end - begin > 1e-6 else 0.0  # a millionth: what the report keeps
    first = min(int((start - begin) * scale), BAR_WIDTH - 1)
    count = max(min(round((stop - begin) * scale), BAR_WIDTH) - first, 1)
    bar = f"{' ' * first}{'#' * count}"
    took = f"{(stop - start) * 1000:.1f} ms" if stop - start < 100 else f"{stop - start:.0f} s"
    begins = cut(f"{start:.3f} s", 12)
    return f"  {pad(str(stage['name']), NAME_WIDTH)} {begins:>12} {cut(took, 10):>10} |{bar:<{BAR_WIDTH}}|"
