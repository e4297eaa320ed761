"""Make devices quiet before the jump.

The kernel itself shuts devices down in kernel_kexec (device_shutdown calls every driver, and the PCI bus takes bus
mastering away from what is left: drivers/pci/pci-driver.c, pci_device_shutdown), so what is done here is what it does
not: interfaces that a driver would leave receiving are taken down, and a watchdog is started, so that a next kernel
which hangs is not the end.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
WDIOC_SETTIMEOUT, WDIOC_KEEPALIVE = 0xC0045706, 0x80045705
IFREQ = "16sH22x"
INTERFACES = "/sys/class/net"
WATCHDOG = "/dev/watchdog"
WATCHDOG_SECONDS = 300


def quiesce() -> list[str]:
    """Do it; return one sentence for each thing done. What fails is said as well, and stops nothing."""
    return [*_interfaces_down(), *_arm_watchdog(WATCHDOG)]


def _interfaces_down() -> list[str]:
    try:
        listed = sorted(os.listdir(INTERFACES))
    except OSError:
        return []
    # An interface is a directory; bonding has a file there, bonding_masters.
    names = [name for name in listed if name != "lo" and os.path.isdir(f"{INTERFACES}/{name}")]
    said = []
    for name in names:
        try:
            if _take_down(name):
                said.append(f"network interface {name} taken down")
        except OSError as problem:
            said.append(f"network interface {name} stays as it is: {os.strerror(problem.errno or 0)}")
    return said


def _take_down(name: str) -> bool:
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        request = struct.pack(IFREQ, name.encode()[:15], 0)
        flags = struct.unpack(IFREQ, fcntl.ioctl(control.fileno(), SIOCGIFFLAGS, request))[1]
        if not flags & IFF_UP:
            return False
        fcntl.ioctl(control.fileno(), SIOCSIFFLAGS, struct.pack(IFREQ, name.encode()[:15], flags & ~IFF_UP))
        return True
    finally:
        control.close()


def _arm_watchdog(path: str) -> list[str]:
    """Open the watchdog, which starts it, and leave it open: without the magic close it goes on to run."""
    try:
        fd = os.open(path, os.O_WRONLY)  # inherited by nobody, closed by nobody: the jump ends this kernel
    except FileNotFoundError:
        return []
    except OSError as problem:
        return [f"the watchdog stays off: {os.strerror(problem.errno or 0)}"]
    try:
        answer = fcntl.ioctl(fd, WDIOC_SETTIMEOUT, struct.pack("i", WATCHDOG_SECONDS))
        seconds = struct.unpack("i", answer)[0]
    except OSError:
        seconds = 0
    return [f"watchdog armed{f' for {seconds} s' if seconds else ''}"]

