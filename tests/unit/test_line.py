"""The line editor: the usual keys do the usual things, and the cursor never leaves the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.system.recording import RecordingMachine
from shim.ui.line import LENGTH_MAX, LineEditor, edit_line

KEYS = ["left", "right", "home", "end", "delete", "backspace", "ctrl-a", "ctrl-e", "ctrl-u", "ctrl-k", "ctrl-w",
        "ctrl-b", "ctrl-f", "ctrl-d", "tab", "up", "ctrl-z", "pageup"]  # fmt: skip


def edited(text: str, *keys: str) -> str:
    """Return the text with the cursor shown as "|"."""
    editor = LineEditor(text)
    for key in keys:
        editor.handle(key)
    return f"{editor.text[: editor.cursor]}|{editor.text[editor.cursor :]}"


@pytest.mark.parametrize(
    ("keys", "after"),
    [
        ((), "root=/dev/sda quiet|"),
        (("x",), "root=/dev/sda quietx|"),
        (("backspace",), "root=/dev/sda quie|"),
        (("left", "x"), "root=/dev/sda quiex|t"),
        (("home", "delete"), "|oot=/dev/sda quiet"),
        (("home", "backspace"), "|root=/dev/sda quiet"),
        (("end", "delete"), "root=/dev/sda quiet|"),
        (("ctrl-w",), "root=/dev/sda |"),
        (("ctrl-w", "ctrl-w"), "|"),
        (("ctrl-w", "ctrl-w", "ctrl-w"), "|"),
        (("left", "ctrl-w"), "root=/dev/sda |t"),
        (("left", "ctrl-u"), "|t"),
        (("home", "right", "ctrl-k"), "r|"),
        (("tab", "up", "enter"), "root=/dev/sda quiet|"),
    ],
)
def test_keys_change_the_line(keys: tuple[str, ...], after: str) -> None:
    assert edited("root=/dev/sda quiet", *keys) == after


@given(st.text(max_size=60), st.lists(st.one_of(st.sampled_from(KEYS), st.characters()), max_size=80),
       st.integers(min_value=1, max_value=77))  # fmt: skip
def test_any_keys_leave_a_line_that_fits(text: str, keys: list[str], columns: int) -> None:
    editor = LineEditor(text, limit=50)
    for key in keys:
        editor.handle(key)
        assert 0 <= editor.cursor <= len(editor.text) <= 50
        shown, column = editor.view(columns)
        assert len(shown) <= columns
        assert 0 <= column < columns
        assert column <= len(shown)
        assert shown.isprintable()


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_what_is_typed_is_what_comes_out(text: str) -> None:
    machine = RecordingMachine(keys=[*text, "enter"])
    assert edit_line(machine.console, "prompt", "") == text


def test_escape_gives_up_and_so_does_a_console_that_is_gone() -> None:
    assert edit_line(RecordingMachine(keys=["x", "escape"]).console, "", "a") is None
    assert edit_line(RecordingMachine(keys=["x"]).console, "", "a") is None


def test_a_flood_of_keys_ends_at_the_length_limit_and_is_drawn_seldom() -> None:
    machine = RecordingMachine(keys=["x"] * 20_000 + ["enter"])
    assert edit_line(machine.console, "", "") == "x" * LENGTH_MAX
    assert len(machine.console.text) < 20_000 * 80 // 32
