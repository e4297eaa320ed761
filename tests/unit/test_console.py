"""Consoles, on real pseudo-terminals: several at once, stuck ones, flooded ones, ones that go away."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from shim.system.clock import LinuxClock
from shim.system.console import KEYS_MAX, LinuxConsole
from shim.ui.menu import MenuOptions, choose


class Line:
    """A pseudo-terminal: `name` is what the console opens, `far` the end where the person sits."""

    def __init__(self) -> None:
        self.far, self.near = pty.openpty()
        self.name = os.ttyname(self.near).removeprefix("/dev/")

    def received(self) -> bytes:
        return os.read(self.far, 1 << 16)

    def drain(self) -> None:
        """Read what is there until nothing comes for a moment."""
        while select.select([self.far], [], [], 0.1)[0]:
            self.received()

    def type(self, data: bytes) -> None:
        """Send bytes, as much as the line takes (a pty that nobody reads holds four thousand)."""
        os.write(self.far, data)

    def close(self) -> None:
        for fd in (self.far, self.near):
            with suppress(OSError):
                os.close(fd)


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    pair = Line(), Line()
    yield pair
    for line in pair:
        line.close()


@pytest.fixture
def console() -> Iterator[LinuxConsole]:
    made = LinuxConsole()
    yield made
    made.close()


def test_text_goes_to_every_console_with_returns(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    assert console.open([line.name for line in lines]) == ()
    console.write("one\ntwo ü\n")
    assert [line.received() for line in lines] == ["one\r\ntwo ü\r\n".encode()] * 2


def test_keys_come_from_any_console_and_are_not_mixed(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([line.name for line in lines])
    lines[0].type(b"\x1b[")
    assert console.read_key(0) is None
    lines[1].type(b"A")
    assert console.read_key(1) == "A"
    lines[0].type(b"A")
    assert console.read_key(1) == "up"


def test_a_lone_escape_comes_after_a_moment(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([lines[0].name])
    lines[0].type(b"\x1b")
    assert console.read_key(0) is None
    assert console.read_key(2) == "escape"


def test_no_key_is_none_when_the_time_ran_out(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([lines[0].name])
    start = time.monotonic()
    assert console.read_key(0.15) is None
    assert 0.14 < time.monotonic() - start < 1.0


def test_control_characters_arrive_and_nothing_is_echoed(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([lines[0].name])
    lines[0].type(b"\x03\x13\x11\x1a\x04x\r")
    keys = [console.read_key(1) for _ in range(7)]
    assert keys == ["ctrl-c", "ctrl-s", "ctrl-q", "ctrl-z", "ctrl-d", "x", "enter"]
    console.write("end")
    assert lines[0].received() == b"end"


def test_a_console_that_does_not_open_is_a_problem_and_the_others_serve(
    console: LinuxConsole, lines: tuple[Line, Line]
) -> None:
    problems = console.open(["ttyS99x", "../etc/passwd", lines[0].name])
    assert [problem.source for problem in problems] == ["ttyS99x", "../etc/passwd"]
    console.write("here\n")
    assert lines[0].received() == b"here\r\n"


def test_two_names_of_one_device_are_one_console(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([lines[0].name, lines[0].name])
    console.write("once\n")
    assert lines[0].received() == b"once\r\n"


def test_settings_are_given_back(lines: tuple[Line, Line]) -> None:
    console = LinuxConsole()
    before = termios.tcgetattr(lines[0].near)
    console.open([lines[0].name])
    assert termios.tcgetattr(lines[0].near) != before
    console.close()
    assert termios.tcgetattr(lines[0].near) == before


def test_a_stuck_line_holds_nobody_up(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([line.name for line in lines])
    start = time.monotonic()
    reader = threading.Thread(target=lambda: [lines[1].received() for _ in range(4)], daemon=True)
    reader.start()
    console.write("x" * 20_000 + "\n")  # nobody reads the first line
    assert time.monotonic() - start < 5
    again = time.monotonic()
    for _ in range(100):
        console.write("more\n")
    assert time.monotonic() - again < 0.5
    lines[0].drain()
    console.write("it goes on\n")
    assert lines[0].received() == b"it goes on\r\n"


def test_a_line_that_goes_away_leaves_the_others(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([line.name for line in lines])
    os.close(lines[0].near)
    os.close(lines[0].far)
    lines[1].type(b"k")
    assert console.read_key(1) == "k"
    console.write("still here\n")
    assert lines[1].received() == b"still here\r\n"


def test_nobody_is_there_when_all_lines_are_gone(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    console.open([lines[0].name])
    os.close(lines[0].near)
    os.close(lines[0].far)
    assert console.read_key(None) is None
    assert console.read_key(0.01) is None
    console.write("to nobody\n")


def test_no_console_at_all_is_no_error(tmp_path: object) -> None:
    console = LinuxConsole(str(tmp_path))
    console.write("to nobody\n")
    assert console.read_key(0) is None
    assert [problem.source for problem in console.open(["ttyS0"])] == ["ttyS0", "console"]


def test_a_megabyte_of_input_is_over_in_seconds_and_keeps_few_keys(
    console: LinuxConsole, lines: tuple[Line, Line]
) -> None:
    console.open([lines[0].name])
    sender = threading.Thread(target=_send_all, args=(lines[0].far, bytes(range(1, 256)) * 4112), daemon=True)
    sender.start()
    start = time.monotonic()
    while sender.is_alive() and time.monotonic() - start < 15:
        console.read_key(0)
        assert len(console._keys) <= KEYS_MAX
    assert not sender.is_alive()


def test_the_menu_answers_under_a_flood_of_arrows(console: LinuxConsole, lines: tuple[Line, Line]) -> None:
    """A flood is drawn now and then, on a line that nobody reads, and the key after it counts."""
    console.open([lines[0].name])
    flood = b"\x1b[A\x1b[B\x00\xff\x1b[" * 20_000 + b"\x1b[A" + b"r" * 2048
    threading.Thread(target=_send_all, args=(lines[0].far, flood), daemon=True).start()
    start = time.monotonic()
    choice = choose((), console, LinuxClock(), MenuOptions(timeout=60.0, edit=False, failed={}))
    assert choice is not None
    assert choice.kind.value == "reset"
    assert time.monotonic() - start < 15


def _send_all(fd: int, data: bytes) -> None:
    """Send until all is sent or the line is gone."""
    view = memoryview(data)
    with suppress(OSError):
        while view:
            view = view[os.write(fd, view[:1024]) :]
