"""Text in columns: never wider than asked for, never a control character, nothing lost that fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shim.ui.columns import cut, pad, width, wrap

anything = st.text(max_size=200)


@given(anything, st.integers(min_value=2, max_value=79))
def test_cut_and_padded_text_keeps_its_width(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= columns
    assert cut(text, columns).isprintable()
    assert width(pad(text, columns)) == columns


@given(anything, st.integers(min_value=0, max_value=20))
def test_wrapped_text_fits_and_says_everything(text: str, indent: int) -> None:
    lines = wrap(text, " " * indent)
    assert lines
    assert all(width(line) <= 79 and line.isprintable() for line in lines)
    letters = "".join(text.split()) if text.isprintable() else None
    if letters is not None:
        assert "".join("".join(lines).split()) == letters


def test_text_that_fits_is_left_alone() -> None:
    assert cut("Debian GNU/Linux 12", 19) == "Debian GNU/Linux 12"
    assert cut("Debian GNU/Linux 12", 18) == "Debian GNU/Linux …"
    assert wrap("one two", "  ") == ["  one two"]
    assert wrap("") == [""]


def test_an_escape_sequence_is_shown_not_obeyed() -> None:
    assert cut("\x1b[2Jhello", 40) == r"\x1b[2Jhello"


def test_east_asian_text_counts_twice() -> None:
    assert width("日本") == 4
    assert cut("日本語", 5) == "日本…"
