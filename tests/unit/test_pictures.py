"""The pictures of README show what the boot shim prints now."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.builders.picture import FONT, draw_lines, make_picture, screen_lines, text_of
from tests.builders.pictures import MENU, TIMELINE, menu_lines, timeline_lines

AGAIN = "draw it anew: python -m tests.builders.pictures"


def test_the_picture_of_the_menu_is_what_the_menu_looks_like() -> None:
    assert text_of(MENU) == menu_lines(), AGAIN


def test_the_picture_of_the_timeline_is_how_the_report_of_a_real_boot_is_printed() -> None:
    assert text_of(TIMELINE) == timeline_lines(), AGAIN
    assert any(line.startswith("timeline") for line in timeline_lines())


def test_redraws_of_the_terminal_are_obeyed() -> None:
    assert screen_lines("one\ntwo\n\r\x1b[2Aone!\x1b[K\r\x1b[2B\n") == ["one!", "two"]


@pytest.mark.tools
def test_the_same_text_is_the_same_picture(tmp_path: Path) -> None:
    """Pixel by pixel; and what is in the file is what is shown."""
    assert FONT.exists(), "fonts-dejavu-core of initramfs/packages.list"
    draw_lines(menu_lines(), tmp_path / "one.png")
    make_picture("\n".join(menu_lines()), tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.convert("RGB").tobytes() == two.convert("RGB").tobytes()
        assert len(one.convert("RGB").getcolors(1 << 16) or ()) > 3
        with Image.open(MENU) as committed:
            assert committed.size == one.size
    assert text_of(tmp_path / "two.png") == menu_lines()
