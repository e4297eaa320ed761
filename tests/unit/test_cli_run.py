"""`bootshim run` finds the report in whatever came out of the serial port."""

from __future__ import annotations

import json
from pathlib import Path

from shim.cli.run import find_report, find_table
from shim.ui.table import report_table

REPORT = json.loads((Path(__file__).parents[1] / "golden/report/demo.json").read_text())
TEXT = json.dumps(REPORT)
KERNEL = "[    1.753024] tsc: Refined TSC clocksource calibration: 2596.105 MHz\n"


def copied(text: str) -> str:
    return f"bootshim-target-report-begin\n{text}\nbootshim-target-report-end\n"


def test_the_report_of_the_boot_shim_counts_before_its_copy() -> None:
    """Its own knows of the plan and the load, too."""
    printed = f"bootshim-report-begin\n{TEXT}\nbootshim-report-end\n"
    assert find_report(KERNEL + printed.replace("\n", "\r\n") + KERNEL) == REPORT
    assert find_report(printed + copied(TEXT.replace("demo", "copy"))) == REPORT
    assert find_report(copied(TEXT)) == REPORT
    assert find_report(KERNEL) is None


def test_a_report_with_a_line_of_the_kernel_in_it_gives_way_to_the_table() -> None:
    """The one that is printed as a table may be all there is: a target without quiet talks into its own copy."""
    table = report_table(REPORT)
    serial = KERNEL + table + KERNEL + copied(TEXT[:500] + "\n" + KERNEL + TEXT[500:])
    assert find_report(serial) is None
    assert find_table(serial.replace("\n", "\r\n")) == table.splitlines()[1:]
    assert find_table(KERNEL + table[: len(table) // 2]) == []
    assert find_table(table + table.replace("demo", "last"))[1:] == table.replace("demo", "last").splitlines()[2:]
