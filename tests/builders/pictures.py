"""The pictures of README. `python -m tests.builders.pictures` draws them anew; tests compare them with fresh runs."""

from __future__ import annotations

import json
from pathlib import Path

from shim.entries import read_entries
from shim.model import PartitionKind, Volume
from shim.system.memory_files import MemoryFiles
from shim.system.recording import RecordingMachine
from shim.ui.menu import MenuOptions, choose
from shim.ui.table import report_table
from tests.builders.menu_disk import menu_disk
from tests.builders.picture import draw_lines, screen_lines

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
MENU, TIMELINE = PICTURES / "menu.png", PICTURES / "timeline.png"
REPORT = ROOT / "tests/golden/report/demo.json"
KEYS = ("down", 1.0)  # one row down, then the person looks at it


def menu_lines() -> list[str]:
    """Return the screen of the menu on a recording machine. The test in tests/vm sees the same on a serial line."""
    machine = RecordingMachine(keys=KEYS)
    volume = Volume(name="vda2", fstype="ext4", kind=PartitionKind.XBOOTLDR)
    found = read_entries([(volume, MemoryFiles(menu_disk(b"kernel", b"initrd")))])
    choose(found.entries, machine.console, machine.clock, MenuOptions(timeout=30.0, edit=True, failed={}))
    return screen_lines(machine.console.text)


def timeline_lines() -> list[str]:
    """Return the table of the boot report of a real boot: tests/golden/report/WITNESS."""
    return screen_lines(report_table(json.loads(REPORT.read_text())), lines=200)


def main() -> None:
    """Draw all pictures."""
    for path, lines in ((MENU, menu_lines()), (TIMELINE, timeline_lines())):
        draw_lines(lines, path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
