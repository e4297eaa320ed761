"""The outside world as the stages see it: Protocols that the edge (`shim.system`) implements twice.

Nothing imports this at run time except type checkers. Every method either answers or raises a ShimError.
"""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import FilePlan, SegmentsPlan, Volume


class Blob(Protocol):
    """Bytes that nobody can change any more: a sealed memfd in the machine, plain memory in a dry run."""

    @property
    def size(self) -> int: ...
    def view(self) -> memoryview:
        """Return all bytes, read-only, without copying them."""
    def fileno(self) -> int:
        """Return a read-only descriptor of a file that nobody holds open for writing."""
    def close(self) -> None: ...


class Sink(Protocol):
    """A blob while it is being filled."""

    def write(self, data: bytes | memoryview) -> None: ...
    def seal(self) -> Blob: ...
    def discard(self) -> None: ...


class Blobs(Protocol):
    """Where artifacts are kept. `name` is for people (/proc/PID/fd)."""

    def create(self, name: str) -> Sink: ...


class Hash(Protocol):
    """A running SHA-256, as hashlib's, at the speed of the machine."""

    def update(self, data: bytes | memoryview) -> None: ...
    def digest(self) -> bytes: ...


class Source(Protocol):
    """An open regular file, read forwards once. `size` as it was when it was opened."""

    @property
    def size(self) -> int: ...
    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer than asked only at the end. Raises FetchError on an I/O error."""
    def skip(self, size: int) -> None:
        """Go on `size` bytes further without reading them."""
    def close(self) -> None: ...


class Files(Protocol):
    """A read-only tree of files: a volume, or sysfs. Paths are absolute in the tree, separated by "/".

    Symbolic links are followed inside the tree only; one that leaves it raises FetchError.
    """

    def names(self, path: str) -> tuple[str, ...] | None:
        """Return the sorted names in a directory, without . and ..; None when there is no such directory."""
    def exists(self, path: str) -> bool:
        """Say whether a regular file is there."""
    def open(self, path: str) -> Source:
        """Open a regular file. Raises FetchError when it is absent, is not regular or leaves the tree."""
    def read(self, path: str, limit: int) -> bytes:
        """Return a whole small file. Raises FetchError when it is longer than `limit` bytes, or as `open`."""


class Device(Protocol):
    """A block device or a disk image: random reads. `sector_size` is the logical sector size in bytes."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sector_size(self) -> int: ...
    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`. Raises FetchError beyond the end and on I/O errors."""
    def close(self) -> None: ...


class Devices(Protocol):
    """The block devices of the machine."""

    def open(self, name: str) -> Device:
        """Open a device by its kernel name (vda, nvme0n1p1) for reading."""
    def wait(self, seconds: float) -> bool:
        """Wait for the kernel to announce a change of devices. False when the time ran out without one."""


class Mounts(Protocol):
    """Volumes as trees of files."""

    def mount(self, volume: Volume) -> Files:
        """Mount read-only, without replaying a journal. Raises SystemError_ with the mount's errno."""
    def close(self) -> None:
        """Unmount everything that `mount` mounted."""


class Kexec(Protocol):
    """The kernel's two ways in. Errors are SystemError_ with the errno the kernel gave."""

    def load_segments(self, plan: SegmentsPlan) -> None: ...
    def load_file(self, plan: FilePlan) -> None: ...
    def unload(self) -> None: ...


class Power(Protocol):
    """Leaving. None of these returns where it works."""

    def kexec(self) -> None: ...
    def reset(self) -> None: ...
    def off(self) -> None: ...


class Console(Protocol):
    """Where people read and type: every console at once (serial and VT). Text is made safe before it gets here."""

    def write(self, text: str) -> None: ...
    def read_key(self, seconds: float | None) -> str | None:
        """Return the next key as a character or a name ("up", "enter", …), None when the time ran out."""


class Clock(Protocol):
    """Time. `now` is monotonic seconds since the kernel started."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Tpm(Protocol):
    """The machine's TPM 2.0."""

    def is_present(self) -> bool:
        """Say whether the machine has one that could be asked."""
    def transmit(self, command: bytes) -> bytes:
        """Give it one command and return its response. Raises MeasureError when none came in time."""


class Archivist(Protocol):
    """What makes the archive that is handed to the next OS: its size is known before the bytes are."""

    def decided(self, engine: str, why: str, cmdline: str) -> None:
        """Take in which engine (load or file) loads what, and why. Comes before `size` is asked for."""
    @property
    def size(self) -> int: ...
    def build(self, segments: Sequence[tuple[str, int, int, str | None]]) -> bytes:
        """Return the archive, `size` bytes, for segments as (name, start, end, SHA-256 in hexadecimal or None)."""


class Machine(Protocol):
    """All ports of one machine. `facts` is the root of the machine's own tree: /sys and /proc are read there."""

    @property
    def facts(self) -> Files: ...
    @property
    def devices(self) -> Devices: ...
    @property
    def mounts(self) -> Mounts: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def kexec(self) -> Kexec: ...
    @property
    def power(self) -> Power: ...
    @property
    def console(self) -> Console: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def tpm(self) -> Tpm: ...
    def sha256(self) -> Hash: ...
    def random(self, size: int) -> bytes:
        """Return random bytes for the next kernel; none where the kernel has not gathered any yet."""
    def quiesce(self) -> Sequence[str]:
        """Make devices quiet before the jump; return one sentence for each thing done."""
