"""Pictures of a console: what a program wrote, on the screen of a terminal (pyte), drawn with a font (Pillow).

The same text gives the same picture; the text stands in the file (PNG text chunk `screen`), so that a picture can be
compared with a fresh run although another version of the font renderer draws other pixels.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyte
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")  # Debian: fonts-dejavu-core
FONT_SIZE = 15
MARGIN = 12
COLUMNS, LINES = 80, 25
BACKGROUND, FOREGROUND, PROMPT = (24, 26, 31), (214, 214, 208), (152, 195, 121)
CHUNK = "screen"


def screen_lines(serial_text: str, columns: int = COLUMNS, lines: int = LINES) -> list[str]:
    """Return what a terminal shows after this text, without the empty lines at its end."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(re.sub("\r?\n", "\r\n", serial_text))
    shown = [line.rstrip() for line in screen.display]
    while shown and not shown[-1]:
        shown.pop()
    return shown


def make_picture(serial_text: str, path: Path, columns: int = COLUMNS, lines: int = LINES) -> None:
    """Draw the screen that this text leaves, and write it as a PNG."""
    draw_lines(screen_lines(serial_text, columns, lines), path, columns)


def draw_lines(shown: list[str], path: Path, columns: int = COLUMNS) -> None:
    """Draw lines of text; those that begin with the mark of the chosen row or a heading stand out by colour."""
    font = ImageFont.truetype(str(FONT), FONT_SIZE)
    cell_width = round(font.getlength("M"))
    cell_height = sum(font.getmetrics()) + 1
    size = (2 * MARGIN + columns * cell_width, 2 * MARGIN + len(shown) * cell_height)
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(shown):
        colour = PROMPT if line.lstrip().startswith((">", "----")) else FOREGROUND
        for column, character in enumerate(line):
            pen.text((MARGIN + column * cell_width, MARGIN + row * cell_height), character, fill=colour, font=font)
    chunks = PngInfo()
    chunks.add_itxt(CHUNK, "\n".join(shown))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(colors=64).save(path, pnginfo=chunks, optimize=True)


def text_of(path: Path) -> list[str]:
    """Return the lines that a picture was drawn from."""
    with Image.open(path) as image:
        image.load()
        text = image.text[CHUNK]  # type: ignore[attr-defined]  # only PNG images have it
    return str(text).split("\n")
