"""The kinds of judgement and who makes their rows. A new kind is a line here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.builders.judgements import CASES, Bench, Row, write_rows
from tests.builders.judgements.certificates import appended_rows, cms_rows
from tests.builders.judgements.images import authenticode_rows
from tests.builders.judgements.keys import minisign_rows, openpgp_rows, ssh_rows
from tests.builders.judgements.lists import exact_rows, manifest_rows, sha256_rows, unsigned_rows
from tests.builders.judgements.packages import ospkg_rows
from tests.builders.judgements.root_hashes import verity_rows

MAKERS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "authenticode": authenticode_rows, "cms": cms_rows, "appended": appended_rows, "sha256": sha256_rows,
    "exact": exact_rows, "manifest": manifest_rows, "minisign": minisign_rows, "openpgp": openpgp_rows,
    "ospkg": ospkg_rows, "ssh": ssh_rows, "verity": verity_rows, "unsigned": unsigned_rows,
}  # fmt: skip
HEAD = """\
Every kind of judgement, every case, in both modes: what is presented, and the exact verdict.

Made by python -m tests.builders.judgements from artefacts of the tools that people use. tests/unit/test_judgements.py
makes them again and compares; which of these are taken and which are refused stands there once more, by hand.
"Passes" is said of the verify stage: a file that is none of its role is refused later, when it is laid out in memory.
In capitals stands what differs from run to run. A line that begins with "-" is a case that the kind does not have.
"""


def rows_of(kind: str, folder: Path) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a kind, in the order of the cases, and the names of what differs from run to run."""
    bench = Bench(kind, folder)
    return sorted(MAKERS[kind](bench), key=lambda row: CASES.index(row.case)), bench.names


def section(kind: str, rows: list[Row], names: dict[str, str]) -> str:
    """Return the table of a kind."""
    return "\n".join([f"\n{kind}", "=" * len(kind), *write_rows(rows, names), ""])


def whole_table() -> str:
    text = HEAD
    for kind in MAKERS:
        with tempfile.TemporaryDirectory() as folder:
            text += section(kind, *rows_of(kind, Path(folder)))
    return text
