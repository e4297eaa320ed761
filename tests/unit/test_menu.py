"""The menu, through the recording twin and a terminal emulator: what a person types, and what stands on the screen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.model import Entry, FileRef
from shim.system.recording import RecordingMachine
from shim.ui import line as editor
from shim.ui.menu import COMMANDS, MOVES, Choice, ChoiceKind, MenuOptions, choose
from tests.builders.picture import screen_lines

KEYS = ["up", "down", "left", "right", "home", "end", "pageup", "pagedown", "enter", "escape", "backspace", "delete",
        "tab", "ctrl-l", "ctrl-c", "ctrl-u", "1", "2", "9", "0", "e", "i", "r", "p", "x", "ü", 0.5, 30.0]  # fmt: skip


def entry(number: int, **given: object) -> Entry:
    return Entry(
        **{
            "id": f"{number}.conf",
            "dialect": "bls1",
            "volume": "vda1",
            "source": f"/loader/entries/{number}.conf:1",
            "title": f"System {number}",
            "linux": FileRef(volume="vda1", path="/vmlinuz"),
            "cmdline": "ro quiet",
            **given,
        }
    )


ENTRIES = (entry(1), entry(2), entry(3, hidden="made for another architecture (arm64)"), entry(4))


class Session:
    """One run of the menu. `timeout` None waits for keys; when all are typed, nobody is there."""

    def __init__(
        self,
        *keys: str | float,
        entries: tuple[Entry, ...] = ENTRIES,
        timeout: float | None = None,
        edit: bool = True,
        failed: dict[str, str] | None = None,
    ) -> None:
        self.machine = RecordingMachine(keys=keys)
        options = MenuOptions(timeout=timeout, edit=edit, failed=failed or {})
        self.choice = choose(entries, self.machine.console, self.machine.clock, options)

    @property
    def screen(self) -> str:
        return "\n".join(screen_lines(self.machine.console.text))


def booted(session: Session) -> str:
    assert session.choice is not None
    assert session.choice.kind is ChoiceKind.BOOT
    assert session.choice.entry is not None
    return session.choice.entry.id


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["enter"], "1.conf"),
        (["down", "enter"], "2.conf"),
        (["down", "down", "enter"], "4.conf"),
        (["2", "enter"], "2.conf"),
        (["down", "up", "up", "enter"], "1.conf"),
        (["end", "up", "enter"], "4.conf"),
        (["end", "home", "enter"], "1.conf"),
        (["9", "enter"], "1.conf"),
        (["0", "2", "enter"], "2.conf"),
        (["x", "escape", "tab", "enter"], "1.conf"),
    ],
)
def test_a_number_or_arrows_choose_and_enter_boots(keys: list[str], chosen: str) -> None:
    assert booted(Session(*keys)) == chosen


def test_numbers_of_two_digits_are_typed_one_by_one() -> None:
    many = tuple(entry(number) for number in range(1, 31))
    assert booted(Session("2", "7", "enter", entries=many)) == "27.conf"
    assert booted(Session("2", "7", "3", "enter", entries=many)) == "3.conf"
    assert booted(Session("1", "down", "2", "enter", entries=many)) == "2.conf"


@pytest.mark.parametrize(("key", "kind"), [("r", ChoiceKind.RESET), ("p", ChoiceKind.OFF)])
def test_reboot_and_power_off_are_answers(key: str, kind: ChoiceKind) -> None:
    assert Session("down", key).choice == Choice(kind=kind)
    assert Session(key, entries=()).choice == Choice(kind=kind)


def test_the_countdown_ends_without_a_choice() -> None:
    session = Session(timeout=5.0)
    assert session.choice is None
    assert session.machine.clock.now() == 5.0
    assert "Booting 1 in 1 s; any key stops." in session.screen


def test_any_key_stops_the_countdown() -> None:
    session = Session(2.5, "x", 1000.0, "down", "enter", timeout=5.0)
    assert booted(session) == "2.conf"
    assert session.machine.clock.now() == 1002.5


def test_the_countdown_survives_a_fraction_of_a_second() -> None:
    session = Session(timeout=2.4)
    assert session.choice is None
    assert session.machine.clock.now() == pytest.approx(2.4)


def test_failed_and_hidden_entries_stand_below_with_their_reasons() -> None:
    session = Session(failed={"1.conf": "verify: the kernel is not signed"})
    assert session.screen.split("\n")[3:12] == [
        " >  1  System 2                                               bls1 vda1",
        "    2  System 4                                               bls1 vda1",
        "Failed:",
        "    3  System 1                                               bls1 vda1",
        "       verify: the kernel is not signed",
        "Not offered:",
        "    4  System 3                                               bls1 vda1",
        "       made for another architecture (arm64)",
        "",
    ]


def test_a_failed_entry_can_be_chosen_again_and_a_hidden_one_never() -> None:
    assert booted(Session("3", "enter", failed={"1.conf": "why"})) == "1.conf"
    session = Session("end", "enter")
    assert session.choice is None
    assert "This entry is not offered: made for another architecture" in session.screen
    assert Session("end", "e", "enter").choice is None


def test_the_command_line_is_edited_where_that_is_allowed() -> None:
    session = Session("down", "e", *" single", "enter")
    assert booted(session) == "2.conf"
    assert session.choice is not None
    assert session.choice.cmdline == "ro quiet single"
    assert session.screen.endswith("Command line of 2.conf. Enter boots, Escape goes back.\n> ro quiet single")


def test_a_command_line_left_as_it_is_stays_the_entrys_own() -> None:
    uki = (entry(1, cmdline=None),)
    for session in (Session("e", "enter"), Session("e", "x", "backspace", "enter"), Session("e", "enter", entries=uki)):
        assert session.choice is not None
        assert session.choice.cmdline is None


def test_escape_leaves_the_editor_and_nothing_is_changed() -> None:
    session = Session("e", "x", "escape", "enter")
    assert session.choice is not None
    assert session.choice.cmdline is None


def test_no_edit_where_the_configuration_says_so() -> None:
    session = Session("e", "x", edit=False)
    assert session.choice is None
    assert " e edits" not in session.screen
    session = Session("e", edit=False)
    assert "does not let the menu change a command line" in session.screen


def test_details_say_why_and_why_not() -> None:
    shown = entry(1, trace=("read from vda1:/1.conf", "newest of 2 versions"), tries_left=2, tries_done=1)
    both = (shown, entry(2, hidden="no tries left"))
    session = Session("i", 1.0, entries=both)
    assert "newest of 2 versions" in session.screen
    assert "2 left, 1 done" in session.screen
    assert "vda1:/vmlinuz" in session.screen
    assert "Not offered: no tries left" in Session("2", "i", 1.0, entries=both).screen


def test_long_details_come_in_pages() -> None:
    shown = entry(1, trace=tuple(f"sentence {number}" for number in range(60)))
    assert booted(Session("i", "x", "x", "x", "x", "enter", entries=(shown,))) == "1.conf"
    session = Session("i", "escape", "r", entries=(shown,))
    assert "sentence 59" not in session.machine.console.text


def test_a_long_list_comes_in_pages() -> None:
    many = tuple(entry(number) for number in range(1, 41))
    session = Session("pagedown", 1.0, entries=many)
    assert "page 2 of 3" in session.screen
    assert "System 16 " in session.screen
    assert "System 15 " not in session.screen
    assert booted(Session("pagedown", "pagedown", "pagedown", "enter", entries=many)) == "31.conf"
    assert booted(Session("end", "pageup", "pageup", "pageup", "enter", entries=many)) == "1.conf"


def test_kernels_of_one_title_are_told_apart_by_their_version() -> None:
    same = tuple(entry(number, title="Debian", version=f"6.1.0-{number}") for number in (1, 2))
    assert "Debian, 6.1.0-2" in Session(entries=same).screen


def test_no_entries_is_said_and_enter_does_not_crash() -> None:
    session = Session("enter", "down", "e", "i", "5", "pagedown", "end", "enter", entries=())
    assert session.choice is None
    assert "no bootable entry" in session.screen
    assert "There is nothing to boot." in session.screen
    assert "Going on in" in Session(entries=(), timeout=3.0).screen
    assert booted(Session("enter", entries=(entry(1),), failed={"1.conf": "x"})) == "1.conf"


def test_what_the_disk_says_cannot_reach_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;x\x07\r\n\u202e" + "日" * 300
    bad = entry(1, title=evil, version=evil, id=evil, volume=evil, source=evil, cmdline=evil, trace=(evil,))
    hidden = entry(2, title=evil, hidden=evil)
    for keys in (["i", "x"], ["2", "i", "x"], ["2", "enter"], ["e", "escape"]):
        text = Session(*keys, entries=(bad, hidden), failed={evil: evil}).machine.console.text
        assert "\x1b[2J" not in text
        assert "\x1b]" not in text
        assert "\u202e" not in text
        assert "\x07" not in text


def test_every_line_leaves_the_last_column_free() -> None:
    wide = tuple(
        entry(n, title="W" * 300, volume="v" * 300, hidden="because " * 60 if n > 3 else None) for n in range(9)
    )
    for line in Session("9", "enter", "i", 1.0, entries=wide, timeout=9.0).machine.console.text.split("\n"):
        assert len(line.split("\x1b[K")[-1]) <= 79 + len("\r\x1b[99A")


def test_the_screen_is_as_if_drawn_anew_after_any_moves() -> None:
    """What the redraws of changed lines leave is what a fresh drawing shows."""
    moves = ["down", 0.1, "down", 0.1, "end", 0.1, "enter", 0.1, "up", 0.1, "2", 0.1]
    redrawn = Session(*moves, timeout=9.0).screen
    fresh = screen_lines(Session(*moves, "ctrl-l", 0.1, timeout=9.0).machine.console.text, lines=200)
    assert "\n".join(fresh).endswith(redrawn.strip())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(KEYS), max_size=40),
    st.integers(min_value=0, max_value=40),
    st.booleans(),
    st.sampled_from([None, 0.0, 3.0]),
)
def test_any_keys_end_in_an_answer_or_in_nobody(
    keys: list[str | float], count: int, edit: bool, timeout: float | None
) -> None:
    entries = tuple(entry(n, hidden="hidden" if n % 5 == 4 else None) for n in range(count))
    session = Session(*keys, entries=entries, edit=edit, timeout=timeout, failed={"3.conf": "why"})
    if session.choice is not None and session.choice.entry is not None:
        assert session.choice.entry.hidden is None
        assert edit or session.choice.cmdline is None


def test_a_hundred_thousand_entries_are_no_problem() -> None:
    many = tuple(entry(number) for number in range(100_000))
    start = time.process_time()
    assert booted(Session("end", *["up"] * 200, "enter", entries=many)) == f"{99_999 - 200}.conf"
    assert time.process_time() - start < 3


def test_a_flood_of_keys_is_drawn_now_and_then() -> None:
    session = Session(*["down", "up"] * 10_000)
    assert session.choice is None
    assert len(session.machine.console.text) < 100_000


def test_the_manual_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs/menu.md").read_text().lower()
    for key in (
        *COMMANDS,
        *MOVES,
        *editor.MOVES,
        *editor.BEGIN,
        *editor.END,
        *editor.DELETE,
        "ctrl-u",
        "ctrl-k",
        "ctrl-w",
    ):
        assert (f"`{key}`" if len(key) == 1 else key) in text, key
