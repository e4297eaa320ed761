"""The twin of the edge: a machine that is made of what it is given, does nothing, and remembers what it was told.

The host's dry run and the unit tests use it, so that what plans a boot there is what boots the machine here. Time
stands still but for those who wait. `calls` has one sentence for each thing that a real machine would have done.
"""

from __future__ import annotations

from shim.errors import SystemError_
from shim.model import SegmentsPlan
from shim.system.blobs import MemoryBlob, MemorySink
from shim.system.calls import Sha256
from shim.system.devices import ImageFile
from shim.system.files import TreeFiles
from shim.system.memory_files import MemoryDevice, MemoryFiles, MountedFiles
from shim.system.recording_tpm import RecordingTpm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shim.errors import ShimError
    from shim.model import FilePlan, Volume
    from shim.ports import Device, Files, Machine

    Content = bytes | ShimError
    Image = str | bytes | Callable[[], Device]

    def twin(machine: RecordingMachine) -> Machine:
        """Hold, when types are checked, that the twin has every port of a machine."""
        return machine

ENODEV, EINVAL = 19, 22


class RecordingMachine:
    """All ports of `shim.ports.Machine`.

    `facts` is a directory that stands for the machine's root, or path -> content. `images` are disk images by device
    name: a path, the bytes, or what opens the device; `volumes` are the trees that mounting a volume of that name
    gives. `keys` are typed in their order; a number among them is a silence of so many seconds. An error in place of
    content or of a tree is what using it raises. `tpm` is one made of software; without it the machine has none.
    """

    def __init__(
        self,
        facts: str | Mapping[str, Content] | None = None,
        images: Mapping[str, Image] | None = None,
        volumes: Mapping[str, Files | ShimError] | None = None,
        keys: Iterable[str | float] = (),
        now: float = 0.0,
        tpm: RecordingTpm | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.clock = RecordingClock(now)
        self.facts: Files = TreeFiles(facts, crossing=True) if isinstance(facts, str) else MemoryFiles(facts or {})
        self.devices = RecordingDevices(self.clock, dict(images or {}))
        self.mounts = RecordingMounts(self.calls, dict(volumes or {}))
        self.blobs = RecordingBlobs()
        self.kexec = RecordingKexec(self.calls)
        self.power = RecordingPower(self.calls)
        self.console = RecordingConsole(self.clock, keys)
        self.tpm = tpm or RecordingTpm()

    def sha256(self) -> Sha256:
        """Return a running SHA-256 at the speed of the machine."""
        return Sha256()

    def random(self, size: int) -> bytes:
        """Return bytes that are the same in every run."""
        return bytes(at % 251 for at in range(size))

    def quiesce(self) -> list[str]:
        """Record that the devices were to be made quiet."""
        self.calls.append("quiesce")
        return ["nothing to make quiet: this is a recording"]


class RecordingClock:
    """Time that goes on only when somebody waits, or says so."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self._now += max(seconds, 0.0)


class RecordingConsole:
    """A person who types what was laid down, and the text that they saw."""

    def __init__(self, clock: RecordingClock, keys: Iterable[str | float]) -> None:
        self.text = ""
        self._clock = clock
        self._keys = list(keys)

    def write(self, text: str) -> None:
        self.text += text

    def type(self, *keys: str | float) -> None:
        """Lay down more keys and silences."""
        self._keys.extend(keys)

    def read_key(self, seconds: float | None) -> str | None:
        """Return the next key if its silence is over in time. When all are typed, nobody is there any more."""
        while self._keys:
            key = self._keys[0]
            if isinstance(key, str):
                del self._keys[0]
                return key
            if seconds is not None and key > seconds:
                self._keys[0] = key - seconds
                break
            del self._keys[0]
            self._clock.sleep(key)
            seconds = None if seconds is None else seconds - key
        self._clock.sleep(seconds or 0.0)
        return None


class RecordingDevices:
    """Disk images, some of which come later."""

    def __init__(self, clock: RecordingClock, images: dict[str, Image]) -> None:
        self.images = images
        self._clock = clock
        self._news: list[tuple[float, Callable[[], None]]] = []

    def later(self, at: float, change: Callable[[], None]) -> None:
        """Do `change` and announce it when the clock has come to `at`, for whoever waits then."""
        self._news.append((at, change))
        self._news.sort(key=lambda item: item[0])

    def open(self, name: str) -> Device:
        if name not in self.images:
            raise SystemError_("cannot open the device", ENODEV, name=name)
        image = self.images[name]
        if isinstance(image, bytes):
            return MemoryDevice(name, image)
        return ImageFile(image, name=name) if isinstance(image, str) else image()

    def wait(self, seconds: float) -> bool:
        """Wait for the next change that was laid down."""
        until = self._clock.now() + seconds
        if not self._news or self._news[0][0] > until:
            self._clock.sleep(seconds)
            return False
        at, change = self._news.pop(0)
        self._clock.sleep(at - self._clock.now())
        change()
        return True


class RecordingMounts:
    """Trees that were given, by the name of their volume. After `close` they answer no more."""

    def __init__(self, calls: list[str], trees: dict[str, Files | ShimError]) -> None:
        self.trees = trees
        self.mounted: list[MountedFiles] = []
        self._calls = calls

    def mount(self, volume: Volume) -> Files:
        tree = self.trees.get(volume.name)
        self._calls.append(f"mount {volume.name}")
        if tree is None:
            raise SystemError_("cannot mount", EINVAL, volume=volume.name)
        if isinstance(tree, Exception):
            raise tree
        self.mounted.append(MountedFiles(tree))
        return self.mounted[-1]

    def close(self) -> None:
        self._calls.append("unmount")
        while self.mounted:
            self.mounted.pop().close()


class RecordingBlobs:
    """Plain memory; `made` are the blobs in the order in which they were sealed. `errors` are raised, by name."""

    def __init__(self) -> None:
        self.made: list[MemoryBlob] = []
        self.errors: dict[str, ShimError] = {}

    def create(self, name: str) -> MemorySink:
        if name in self.errors:
            raise self.errors[name]
        return _RememberingSink(self.made)

    @property
    def held(self) -> list[MemoryBlob]:
        """The blobs that nobody has closed."""
        return [blob for blob in self.made if not blob.closed]


class _RememberingSink(MemorySink):
    def __init__(self, made: list[MemoryBlob]) -> None:
        super().__init__()
        self._made = made

    def seal(self) -> MemoryBlob:
        self._made.append(super().seal())
        return self._made[-1]


class RecordingKexec:
    """Keeps the last plan. `errors` are raised, one a load, before any load works."""

    def __init__(self, calls: list[str]) -> None:
        self.loaded: SegmentsPlan | FilePlan | None = None
        self.errors: list[ShimError] = []
        self._calls = calls

    def load_segments(self, plan: SegmentsPlan) -> None:
        self._load("kexec_load", plan)

    def load_file(self, plan: FilePlan) -> None:
        self._load("kexec_file_load", plan)

    def unload(self) -> None:
        self._calls.append("unload")
        self.loaded = None

    def _load(self, call: str, plan: SegmentsPlan | FilePlan) -> None:
        self._calls.append(call)
        if self.errors:
            raise self.errors.pop(0)
        self.loaded = plan


class RecordingPower:
    """Stays where it is. `errors` are raised, one a call, before any works."""

    def __init__(self, calls: list[str]) -> None:
        self.errors: list[ShimError] = []
        self._calls = calls

    def kexec(self) -> None:
        self._leave("reboot: kexec")

    def reset(self) -> None:
        self._leave("reboot: reset")

    def off(self) -> None:
        self._leave("reboot: power off")

    def _leave(self, call: str) -> None:
        self._calls.append(call)
        if self.errors:
            raise self.errors.pop(0)
