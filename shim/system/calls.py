"""The system calls that Python does not have, each as one function that raises SystemError_."""

from __future__ import annotations

import errno

import _shim_edge

from shim.errors import SystemError_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Segment

ffi, lib = _shim_edge.ffi, _shim_edge.lib

AT_FDCWD = -100
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH = 0x01, 0x02, 0x08
MNT_DETACH = 2
REBOOT_RESTART, REBOOT_POWER_OFF, REBOOT_KEXEC = 0x01234567, 0x4321FEDC, 0x45584543
KEXEC_ARCH_X86_64 = 62 << 16
KEXEC_FILE_NO_INITRAMFS = 4


def mount(source: str, target: str, fstype: str, flags: int, options: str) -> None:
    """mount(2)."""
    _check(lib.edge_mount(_text(source), _text(target), _text(fstype), flags, _text(options)),
           "cannot mount", source=source, target=target, fstype=fstype)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(lib.edge_umount(_text(target), flags), "cannot unmount", target=target)


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2): return a descriptor. `flags` as for open(2)."""
    return _check(lib.edge_openat2(directory, _text(path), flags, 0, resolve), "cannot open", path=path)


def finit_module(fd: int, parameters: str = "") -> None:
    """finit_module(2)."""
    _check(lib.edge_finit_module(fd, _text(parameters), 0), "cannot load the module")


def kexec_load(entry_address: int, segments: Sequence[Segment], flags: int = KEXEC_ARCH_X86_64) -> None:
    """kexec_load(2). No segments unload what is loaded."""
    table = ffi.new("struct edge_segment[]", max(len(segments), 1))
    held = []
    for row, segment in zip(table, segments, strict=False):
        held.append(ffi.from_buffer(segment.data))
        row.buffer, row.buffer_size = held[-1], len(segment.data)
        row.start, row.size = segment.range.start, segment.range.size
    _check(lib.edge_kexec_load(entry_address, table, len(segments), flags), "kexec_load failed")


def kexec_file_load(kernel: int, initrd: int | None, cmdline: bytes) -> None:
    """kexec_file_load(2). `cmdline` without its final NUL."""
    flags = KEXEC_FILE_NO_INITRAMFS if initrd is None else 0
    _check(lib.edge_kexec_file_load(kernel, -1 if initrd is None else initrd, cmdline, len(cmdline) + 1, flags),
           "kexec_file_load failed")


def reboot(command: int) -> None:
    """reboot(2). Returns only where it fails, and then raises."""
    _check(lib.edge_reboot(command), "cannot reboot")


class Sha256:
    """A running SHA-256 in the fastest form that the CPU has. The protocol is `shim.ports.Hash`."""

    def __init__(self) -> None:
        self._state = ffi.new("struct sha256 *")
        lib.sha256_init(self._state)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in."""
        lib.sha256_update(self._state, ffi.from_buffer(data), len(data))

    def digest(self) -> bytes:
        """Return the digest of everything so far; more may follow."""
        copy, result = ffi.new("struct sha256 *", self._state[0]), ffi.new("uint8_t[]", lib.SHA256_SIZE)
        lib.sha256_final(copy, result)
        return bytes(ffi.buffer(result))


def _text(text: str) -> bytes:
    if "\0" in text:
        raise SystemError_("a name holds a NUL byte", errno.EINVAL, name=text)
    return text.encode("utf-8", "surrogateescape")


def _check(value: int, reason: str, **facts: object) -> int:
    if value < 0:
        raise SystemError_(reason, -value, **facts)
    return value
