"""The kernel's announcements of devices. Spec: netlink(7), NETLINK_KOBJECT_UEVENT; lib/kobject_uevent.c of Linux.

The socket is opened before the first look at /sys, so that nothing that comes in between is missed.
"""

from __future__ import annotations

import _socket
import errno
import select
import time

from shim.errors import SystemError_

NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
MESSAGE_SIZE_MAX = 1 << 16
BUFFER_SIZE = 1 << 20
SETTLE_SECONDS = 0.05
SETTLE_MAX = 1.0
INTERESTING = (b"add", b"change", b"remove")


class Uevents:
    """The stream of the kernel's device events; only those of block devices count."""

    def __init__(self) -> None:
        try:
            self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC,
                                          NETLINK_KOBJECT_UEVENT)
            self._socket.setblocking(False)
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, BUFFER_SIZE)
            self._socket.bind((0, KERNEL_GROUP))
        except OSError as problem:
            raise SystemError_("cannot listen for devices", problem.errno or 0) from problem

    def wait(self, seconds: float) -> bool:
        """Wait for a block device to come, change or go. False when the time ran out without one.

        Events come in bursts (a disk, then its partitions): the burst is waited out, for a second at most.
        """
        if not self._seen(seconds):
            return False
        deadline = time.monotonic() + SETTLE_MAX
        while time.monotonic() < deadline and self._seen(SETTLE_SECONDS):
            pass
        return True

    def _seen(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 or seconds == 0:
            if not select.select([self._socket], [], [], max(left, 0))[0]:
                return False
            if self._receive():
                return True
        return False

    def _receive(self) -> bool:
        try:
            message = self._socket.recv(MESSAGE_SIZE_MAX)
        except OSError as problem:
            # ENOBUFS: more came than the buffer holds. What it was is unknown, so look at everything.
            return problem.errno == errno.ENOBUFS
        return is_block_event(message)


def is_block_event(message: bytes) -> bool:
    """Say whether a message is the kernel's news of a block device."""
    head, *fields = message.split(b"\0")
    action = head.partition(b"@")[0]
    return action in INTERESTING and b"SUBSYSTEM=block" in fields
