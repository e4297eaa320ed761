"""The boot report as plain text for a console of 80 columns. docs/report.md is the form of what comes in."""

from __future__ import annotations

from shim.ui.columns import LINE_WIDTH, cut, pad, wrap
from shim.ui.timeline import timeline
from shim.units import size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

TABLE_BEGIN = "---- bootshim: boot report "
TABLE_END = "-" * LINE_WIDTH
ROWS_MAX = 40  # a section: a console that is a serial line prints a hundred rows a second


def report_table(report: Mapping[str, Any]) -> str:
    """Return the report as sections with a heading each; sections without content are left out."""
    sections = {
        "volumes": [_volume(volume) for volume in report["volumes"]],
        "entries": [line for entry in report["entries"] for line in _entry(entry)],
        "attempts": [line for attempt in report["attempts"] for line in _attempt(attempt)],
        "problems": [line for problem in report["problems"] for line in _problem(problem)],
        "notes": [line for note in (*_unsigned(report), *report["notes"]) for line in wrap(note, "  ")],
        "timeline": timeline(report["stages"]).splitlines(),
    }
    lines = ["", TABLE_BEGIN.ljust(LINE_WIDTH, "-")]
    for heading, rows in sections.items():
        if rows:
            lines += [heading, *(_shortened(rows) if heading != "timeline" else rows)]
    lines.append(TABLE_END)
    return "".join(f"{line}\n" for line in lines)


def _shortened(rows: list[str]) -> list[str]:
    """Cut a long section in its middle: the newest is at its end, what was tried first at its beginning."""
    if len(rows) <= ROWS_MAX:
        return rows
    half = ROWS_MAX // 2
    return [*rows[:half], f"  … {len(rows) - ROWS_MAX} more lines, see report.json", *rows[-half:]]


def _unsigned(report: Mapping[str, Any]) -> Iterable[str]:
    roles = report["config"].get("unsigned") or ()
    if roles:
        yield f"UNSIGNED bytes are taken by policy for: {', '.join(roles)}"


def _volume(volume: Mapping[str, Any]) -> str:
    kind = "" if volume["kind"] == "other" else str(volume["kind"])
    name = volume["label"] or volume["partlabel"] or ""
    identity = volume["uuid"] or volume["partuuid"] or ""
    return (
        f"  {pad(volume['name'], 12)} {pad(volume['fstype'] or '-', 9)} {cut(size_text(volume['size']), 10):>10}"
        f"  {pad(kind, 9)} {pad(name, 13)} {cut(identity, 18)}"
    ).rstrip()


def _entry(entry: Mapping[str, Any]) -> list[str]:
    mark = "*" if entry["default"] else "-" if entry["hidden"] else " "
    title = entry["title"] or entry["version"] or entry["source"]
    lines = [f"{mark} {pad(entry['id'], 30)} {pad(entry['dialect'], 6)} {cut(title, 39)}".rstrip()]
    if entry["hidden"]:
        lines += wrap(f"not offered: {entry['hidden']}", "    ")
    return lines


def _attempt(attempt: Mapping[str, Any]) -> list[str]:
    failed = f"failed in {attempt['stage']}: {attempt['error']}"
    loaded = f"{attempt['engine'] or attempt['stage']}: {attempt['why'] or 'not decided yet'}"
    lines = wrap(f"{attempt['entry']}: {failed if attempt['error'] else loaded}", "  ")
    if attempt["error"]:
        lines[0] = f"! {lines[0][2:]}"
    for artifact in attempt["artifacts"]:
        lines.append(
            f"    {pad(artifact['role'], 10)} {size_text(artifact['size']):>10}"
            f"  {artifact['sha256'][:16]}…  {cut(artifact['name'], 33)}"
        )
    for verdict in attempt["verdicts"]:
        lines += _verdict(verdict)
    lines += _measured(attempt.get("events", ()))  # reports of before have none
    if attempt["cmdline"] is not None:
        lines += wrap(f"cmdline: {attempt['cmdline']}", "    ")
    for segment in attempt["segments"]:
        digest = f"{segment['sha256'][:16]}…" if segment["sha256"] else "no digest"
        lines.append(f"    {pad(segment['name'], 16)} {segment['start']:#14x}-{segment['end']:#x}  {digest}")
    return lines


def _verdict(verdict: Mapping[str, Any]) -> list[str]:
    word = "trusted" if verdict["accepted"] else "refused"
    signer = f" by {verdict['signer']}" if verdict["signer"] else ""
    return wrap(f"{verdict['role']} {word}: {verdict['rule']}{signer}: {verdict['reason']}", "    ")


def _measured(events: Sequence[Mapping[str, Any]]) -> list[str]:
    if not events:
        return []
    pcrs = sorted({event["pcr"] for event in events})
    banks = dict.fromkeys(bank for event in events for bank in event["digests"])
    return wrap(f"measured: {len(events)} events into PCRs {', '.join(map(str, pcrs))} ({' '.join(banks)})", "    ")


def _problem(problem: Mapping[str, Any]) -> list[str]:
    return wrap(f"{problem['source']}: {problem['error']}", "  ")
