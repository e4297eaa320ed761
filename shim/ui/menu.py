"""The menu: a list of entries to choose from, on every console at once.

A row is an entry that would be tried, one that failed (a person may try it again), or one that is hidden (shown with
its reason, never booted).
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum

from shim.ui.columns import LINE_WIDTH, cut, pad
from shim.ui.details import details
from shim.ui.line import edit_line
from shim.ui.screen import Screen
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shim.model import Entry
    from shim.ports import Clock, Console

PAGE_LINES = 15
DETAIL_LINES = 21
KEYS_BETWEEN_DRAWS = 64
HELP = "Arrows, Enter boots, {edit}i details, s scans, r reboots, p powers off"
EDIT_HELP = "Enter boots, Escape goes back."


class ChoiceKind(Enum):
    """What a person wants the machine to do."""

    BOOT = "boot"
    SCAN = "scan"
    RESET = "reset"
    OFF = "off"


class Choice(Value):
    """The answer. `cmdline` is the command line that was typed, None where it was left as it is."""

    kind: ChoiceKind
    entry: Entry | None = None
    cmdline: str | None = None


class MenuOptions(Value):
    """`timeout` in seconds, None to wait for a person; `failed` holds why an entry failed, by its id."""

    timeout: float | None
    edit: bool
    failed: Mapping[str, str]


class Row(Value):
    """One line of the list. `offered` is false for what cannot be booted; `note` says why, or what went wrong."""

    entry: Entry
    heading: str
    note: str = ""
    offered: bool = True


def choose(entries: Sequence[Entry], console: Console, clock: Clock, options: MenuOptions) -> Choice | None:
    """Show the menu and return what was chosen; None when nobody chose before the timeout, or nobody can type."""
    return Menu(rows_of(entries, options.failed), console, clock, options).run()


def rows_of(entries: Sequence[Entry], failed: Mapping[str, str]) -> list[Row]:
    """Return the entries as rows: what is tried by itself, what failed, what is hidden."""
    offered, again, hidden = [], [], []
    for entry in entries:
        if entry.hidden is not None:
            hidden.append(Row(entry=entry, heading="Not offered:", note=entry.hidden, offered=False))
        elif entry.id in failed:
            again.append(Row(entry=entry, heading="Failed:", note=failed[entry.id]))
        else:
            offered.append(Row(entry=entry, heading=""))
    return [*offered, *again, *hidden]


class Menu:
    """The list while a person looks at it. `deadline` is None once a key was pressed."""

    def __init__(self, rows: list[Row], console: Console, clock: Clock, options: MenuOptions) -> None:
        self.rows, self.console, self.clock, self.options = rows, console, clock, options
        self.deadline = None if options.timeout is None else clock.now() + options.timeout
        self.screen = Screen(console)
        self.pages = paged(rows)
        self.at = 0
        self.typed = 0
        self.message = ""

    def run(self) -> Choice | None:
        """Draw and take keys until there is an answer."""
        while True:
            self.screen.draw(self.lines())
            key = self.next_key()
            if key is None:
                return None
            choice = self.take(key)
            if choice is not None:
                return choice

    def next_key(self) -> str | None:
        """Wait for a key, counting down as long as none came."""
        while self.deadline is not None:
            left = self.deadline - self.clock.now()
            if left <= 0:
                return None
            self.screen.draw(self.lines())
            key = self.console.read_key(left % 1 or 1)
            if key is not None:
                self.deadline = None
                return key
        return self.console.read_key(None)

    def take(self, key: str | None) -> Choice | None:
        """Do what a key says, and what was typed behind it: a flood of keys is drawn once in a while."""
        for taken in range(KEYS_BETWEEN_DRAWS):
            if taken:
                key = self.console.read_key(0)
            if key is None:
                return None
            self.message = ""
            choice = self.handle(key)
            if choice is not None:
                return choice
        return None

    def handle(self, key: str) -> Choice | None:
        if key.isdecimal():
            return self.type_number(key)
        self.typed = 0
        if key in MOVES:
            self.go_to(self.at + MOVES[key])
            return None
        if key in ("pageup", "pagedown"):
            return self.turn_page(1 if key == "pagedown" else -1)
        if key in ("home", "end"):
            return self.go_to(0 if key == "home" else len(self.rows) - 1)
        if key in COMMANDS:
            return COMMANDS[key](self)
        return None

    def boot(self) -> Choice | None:
        """Choose the row under the cursor, if it can be booted."""
        row = self.row()
        return Choice(kind=ChoiceKind.BOOT, entry=row.entry) if row else None

    def edit(self) -> Choice | None:
        """Let the command line be changed, where the configuration allows it, and boot with the result."""
        if not self.options.edit:
            self.message = "The configuration does not let the menu change a command line."
            return None
        row = self.row()
        if row is None:
            return None
        self.screen.forget()
        before = row.entry.cmdline or ""
        typed = edit_line(self.console, f"Command line of {cut(row.entry.id, 30)}. {EDIT_HELP}", before)
        if typed is None:
            return None
        return Choice(kind=ChoiceKind.BOOT, entry=row.entry, cmdline=None if typed == before else typed)

    def show(self) -> Choice | None:
        """Show everything that is known of the row under the cursor, a page at a time."""
        if not self.rows:
            return None
        row = self.rows[self.at]
        lines = details(row.entry, f"{row.heading} {row.note}".strip())
        self.screen.forget()
        for first in range(0, len(lines), DETAIL_LINES):
            more = first + DETAIL_LINES < len(lines)
            prompt = "-- more: any key; Escape goes back --" if more else "-- any key goes back --"
            self.console.write("".join(f"{line}\n" for line in (*lines[first : first + DETAIL_LINES], prompt)))
            if self.console.read_key(None) in ("escape", None):
                break
        return None

    def redraw(self) -> Choice | None:
        """Draw everything anew: other messages may have come between."""
        self.screen.forget()
        return None

    def scan(self) -> Choice | None:
        """Have the disks looked at again: one was plugged in."""
        return Choice(kind=ChoiceKind.SCAN)

    def reset(self) -> Choice | None:
        return Choice(kind=ChoiceKind.RESET)

    def off(self) -> Choice | None:
        return Choice(kind=ChoiceKind.OFF)

    def row(self) -> Row | None:
        """Return the row under the cursor if it is offered; else say why not."""
        if not self.rows:
            self.message = "There is nothing to boot."
            return None
        row = self.rows[self.at]
        if not row.offered:
            self.message = f"This entry is not offered: {row.note}"
            return None
        return row

    def type_number(self, digit: str) -> Choice | None:
        """Go to the row whose number was typed so far; a digit that makes it too large begins a new number."""
        number = self.typed * 10 + int(digit)
        self.typed = number if 0 < number <= len(self.rows) else int(digit)
        if 0 < self.typed <= len(self.rows):
            self.at = self.typed - 1
        return None

    def go_to(self, at: int) -> Choice | None:
        self.at = min(max(at, 0), max(len(self.rows) - 1, 0))
        return None

    def turn_page(self, step: int) -> Choice | None:
        page = min(max(self.page() + step, 0), len(self.pages) - 1)
        self.at = self.pages[page][0]
        return None

    def page(self) -> int:
        """Return the number of the page that the cursor is on."""
        return bisect_right(self.pages, self.at, key=lambda page: page[0]) - 1

    def lines(self) -> list[str]:
        """Return what is to be seen now."""
        page = self.page()
        where = f"page {page + 1} of {len(self.pages)}" if len(self.pages) > 1 else ""
        first, end = self.pages[page]
        lines = ["", f"bootshim: choose what to boot{where:>50}".rstrip(), ""]
        if not self.rows:
            lines.append("  no bootable entry")
        heading = ""
        for at, row in enumerate(self.rows[first:end], first):
            if row.heading != heading:
                heading = row.heading
                lines.append(heading)
            lines += row_lines(row, at + 1, at == self.at)
        edit = "e edits, " if self.options.edit else ""
        return [*lines, "", HELP.format(edit=edit), cut(self.status(), LINE_WIDTH)]

    def status(self) -> str:
        """Return the last line: what was answered to the last key, or the time left."""
        if self.deadline is None:
            return self.message
        seconds = max(int(-(-(self.deadline - self.clock.now()) // 1)), 0)
        if self.rows and not self.rows[0].heading:
            return f"Booting 1 in {seconds} s; any key stops."
        return f"Going on in {seconds} s; any key stops."


MOVES = {"up": -1, "ctrl-p": -1, "down": 1, "ctrl-n": 1}
COMMANDS = {
    "enter": Menu.boot,
    "e": Menu.edit,
    "i": Menu.show,
    "s": Menu.scan,
    "r": Menu.reset,
    "p": Menu.off,
    "ctrl-l": Menu.redraw,
}


def row_lines(row: Row, number: int, chosen: bool) -> list[str]:
    """Return a row as it is drawn: one line, and a second one for its note."""
    entry = row.entry
    place = cut(f"{entry.dialect} {entry.volume}", 17)
    mark = ">" if chosen else " "
    lines = [f" {mark}{number:>3}  {pad(title_of(entry), 54)} {place}".rstrip()]
    if row.note:
        lines.append(f"       {cut(row.note, LINE_WIDTH - 7)}")
    return lines


def title_of(entry: Entry) -> str:
    """Return what tells an entry from others: kernels of one system have one title, but not one version."""
    title = entry.title or entry.id
    return f"{title}, {entry.version}" if entry.version and entry.version not in title else title


def paged(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Split the rows into pages of at most PAGE_LINES lines; return first and end (exclusive) of each."""
    pages, first, used = [], 0, 0
    for at, row in enumerate(rows):
        size = 2 if row.note else 1
        if used + size > PAGE_LINES:
            pages.append((first, at))
            first, used = at, 0
        used += size
    return [*pages, (first, len(rows))]
