"""Every console at once: what is written goes to all, what is typed at any counts. The port: `shim.ports.Console`.

Spec: termios(3), tty(4), ioctl_tty(2) TIOCGDEV.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections import deque

from shim.errors import SystemError_
from shim.formats.keys import KeyDecoder
from shim.model import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DIRECTORY = "/dev"
CONSOLE = "console"
ESCAPE_SECONDS = 0.1  # the bytes of one key come together, even at 1200 baud
KEYS_MAX = 1024
READ_SIZE = 4096
STUCK_SECONDS = 1.0
SLOWEST_RATE = 480  # bytes a second: half of what 9600 baud carries
TIOCGDEV = 0x80045432


class LinuxConsole:
    """All consoles that are open. Until `open` says otherwise that is /dev/console, opened when it is first used."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = directory
        self._terminals: list[Terminal] | None = None
        self._keys: deque[str] = deque()

    def open(self, names: Sequence[str]) -> tuple[Problem, ...]:
        """Use these devices of /dev from now on, /dev/console if none of them works; return what does not.

        Two names of one device are one console.
        """
        self.close()
        problems: list[Problem] = []
        self._terminals = self._open_all(names, problems)
        if not self._terminals:
            self._terminals = self._open_all((CONSOLE,), problems)
        return tuple(problems)

    def close(self) -> None:
        """Give the terminals back as they were found."""
        for terminal in self._terminals or ():
            terminal.close()
        self._terminals = []

    def write(self, text: str) -> None:
        """Write to every console. One that takes nothing for a second misses what is written until it takes again."""
        data = text.encode("utf-8", "replace")
        for terminal in self._usable():
            terminal.write(data)

    def read_key(self, seconds: float | None) -> str | None:
        """Return the next key from any console; None when the time ran out, or, without one, when nobody can type."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._keys:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            terminals = self._usable()
            if not terminals:
                time.sleep(left or 0.0)
                return None
            if not self._receive(terminals, left) and deadline is not None and time.monotonic() >= deadline:
                return None
        return self._keys.popleft()

    def _receive(self, terminals: list[Terminal], left: float | None) -> bool:
        """Wait once for anything to come; False when nothing did."""
        if any(terminal.decoder.pending for terminal in terminals):
            left = ESCAPE_SECONDS if left is None else min(left, ESCAPE_SECONDS)
        ready = select.select(terminals, [], [], left)[0]
        found = [key for terminal in ready for key in terminal.read()]
        found += [key for terminal in terminals for key in terminal.unfinished()]
        self._keys.extend(found[: KEYS_MAX - len(self._keys)])
        return bool(ready or found)

    def _usable(self) -> list[Terminal]:
        """Return the terminals that have not gone away."""
        if self._terminals is None:
            self.open((CONSOLE,))
        self._terminals = [terminal for terminal in self._terminals or () if not terminal.gone]
        return self._terminals

    def _open_all(self, names: Sequence[str], problems: list[Problem]) -> list[Terminal]:
        opened: dict[object, Terminal] = {}
        for name in names:
            try:
                terminal = Terminal(self._path(name))
            except SystemError_ as problem:
                problems.append(Problem(source=name, error=str(problem)))
                continue
            if opened.setdefault(terminal.identity, terminal) is not terminal:
                terminal.close()
        return list(opened.values())

    def _path(self, name: str) -> str:
        if {"", ".", ".."}.intersection(name.split("/")) or "\0" in name:
            raise SystemError_("not the name of a device", 22, name=name)
        return f"{self._directory}/{name}"


class Terminal:
    """One console. It never blocks: neither a line that nobody reads nor one that nobody writes holds up a boot."""

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:
            raise SystemError_("cannot open the console", problem.errno or 0, path=path) from problem
        self.decoder = KeyDecoder()
        self.gone = False
        self._heard = 0.0
        self._stuck = False
        self.identity = _device_number(self._fd)
        self._before = _make_raw(self._fd)

    def fileno(self) -> int:
        return self._fd

    def read(self) -> list[str]:
        """Return the keys that came. The end of input, or an error, means that the terminal is gone."""
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.close()
        self._heard = time.monotonic()
        return self.decoder.feed(data)

    def unfinished(self) -> list[str]:
        """Return what a key that began and was not finished in its time stands for."""
        if self.decoder.pending and time.monotonic() - self._heard >= ESCAPE_SECONDS:
            return self.decoder.end()
        return []

    def write(self, data: bytes) -> None:
        """Write all, or as much as the line takes: see STUCK_SECONDS and SLOWEST_RATE."""
        view = memoryview(data)
        deadline = time.monotonic() + STUCK_SECONDS + len(data) / SLOWEST_RATE
        while view and not self.gone and time.monotonic() < deadline:
            if not select.select([], [self._fd], [], 0 if self._stuck else STUCK_SECONDS)[1]:
                self._stuck = True
                return
            self._stuck = False
            view = view[self._write_some(view) :]

    def close(self) -> None:
        """Restore the terminal's settings and let go of it."""
        if self.gone:
            return
        self.gone = True
        if self._before is not None:
            _restore(self._fd, self._before)
        os.close(self._fd)

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._fd, view)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return 0


def _restore(fd: int, before: list[Any]) -> None:
    try:
        termios.tcsetattr(fd, termios.TCSANOW, before)
    except termios.error:
        return  # it was unplugged: there is nothing to restore


def _make_raw(fd: int) -> list[Any] | None:
    """Have every byte as it comes, no echo, no signals, no flow control; return the settings before.

    Output keeps being translated (a newline is also a return), so that the kernel's messages look the same as ours.
    What is no terminal is left as it is, and None returned.
    """
    try:
        before = termios.tcgetattr(fd)
        after = termios.tcgetattr(fd)
        after[0] &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
                      | termios.IGNCR | termios.ICRNL | termios.IXON | termios.IXOFF)  # fmt: skip
        after[1] |= termios.OPOST | termios.ONLCR
        after[2] |= termios.CLOCAL | termios.CREAD
        after[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, after)
    except termios.error:
        return None
    return before


def _device_number(fd: int) -> object:
    """Return what tells terminals apart: the device behind /dev/console or /dev/tty0, not the name it goes by."""
    try:
        return struct.unpack("=I", fcntl.ioctl(fd, TIOCGDEV, bytes(4)))[0]
    except OSError:
        status = os.fstat(fd)
        return (status.st_dev, status.st_ino)
