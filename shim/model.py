"""The nouns of a boot: what one stage hands to the next. Values only; nothing here does I/O."""

from __future__ import annotations

from enum import Enum

from shim.ranges import Range
from shim.units import GIB
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from shim.formats.ospkg import Package
    from shim.formats.stub import ExtraKind
    from shim.ports import Blob


class Role(Enum):
    """What a piece of a boot is for. The policy rules by role. Values are the words of the policy file."""

    KERNEL = "kernel"
    INITRD = "initrd"
    CMDLINE = "cmdline"
    DEVICETREE = "devicetree"
    UKI = "uki"
    OSPKG = "ospkg"
    MANIFEST = "manifest"
    ENTRY = "entry"
    ADDON = "addon"
    CREDENTIAL = "credential"
    EXTENSION = "extension"


class PartitionKind(Enum):
    """What the partition type says that a partition is for (UAPI.2, Discoverable Partitions Specification)."""

    ESP = "esp"
    XBOOTLDR = "xbootldr"
    ROOT = "root"
    USR = "usr"
    OTHER = "other"


class Volume(Value):
    """A file system that could hold boot files: a partition, a whole disk, or a directory in a dry run.

    `name` is unique in one boot (the kernel's device name, or the given name). Sizes in bytes. UUIDs as text in
    the form that `blkid` prints (lower case for GPT and ext4, XXXX-XXXX for vfat). `number` is the partition's
    number from 1, 0 for a whole disk.
    """

    name: str
    disk: str = ""
    device: str = ""
    number: int = 0
    start: int = 0
    size: int = 0
    fstype: str | None = None
    label: str | None = None
    uuid: str | None = None
    table: str | None = None
    parttype: str | None = None
    partuuid: str | None = None
    partlabel: str | None = None
    kind: PartitionKind = PartitionKind.OTHER
    removable: bool = False


class FileRef(Value):
    """A file by volume name and absolute path in that volume."""

    volume: str
    path: str

    def __str__(self) -> str:
        return f"{self.volume}:{self.path}"


class Entry(Value):
    """One thing that could be booted, whatever dialect described it.

    Exactly one of `linux`, `uki`, `ospkg`, `efi`, `multiboot` names what is started. `source` is "path:line" in
    `volume`, `configuration` are the files that it was read from, `aliases` the ids of entries that were the same.
    `cmdline` is None when that file brings its own (a UKI or OS package without an override); `own_cmdline` is that
    text, for people, where it was read. `rank` counts from 0, the first to be tried; `hidden` is the reason why the
    entry is not offered, None when it is. `tries_left` and `tries_done` come from a boot-counting name and are None
    where the name has no counter. Where a script made a menu, `menu_path` is the entry's place in it (submenus before
    a >), `menu_position` its place in the order that the script wants, and `menu_default` who says that it is the one
    to start. `trace` holds one sentence for each decision that made the entry what it is, in order.
    """

    id: str
    aliases: tuple[str, ...] = ()
    dialect: str
    volume: str
    source: str
    title: str = ""
    version: str | None = None
    sort_key: str | None = None
    machine_id: str | None = None
    architecture: str | None = None
    linux: FileRef | None = None
    uki: FileRef | None = None
    profile: int | None = None
    ospkg: FileRef | None = None
    efi: FileRef | None = None
    multiboot: FileRef | None = None
    modules: tuple[FileRef, ...] = ()
    initrd: tuple[FileRef, ...] = ()
    cmdline: str | None = None
    own_cmdline: str | None = None
    devicetree: FileRef | None = None
    devicetree_overlay: tuple[FileRef, ...] = ()
    configuration: tuple[FileRef, ...] = ()
    default: bool = False
    rank: int = 0
    tries_left: int | None = None
    tries_done: int | None = None
    hidden: str | None = None
    menu_path: str | None = None
    menu_position: int | None = None
    menu_default: str | None = None
    trace: tuple[str, ...] = ()

    @property
    def kernel(self) -> FileRef | None:
        """The file that the entry starts, of whatever kind."""
        return self.linux or self.uki or self.ospkg or self.efi or self.multiboot

    def traced(self, sentence: str, **changes: object) -> Entry:
        """Return a copy with `changes` made and the reason added to the trace."""
        return self.replace(trace=(*self.trace, sentence), **changes)


class Problem(Value):
    """Something that was passed over: where it is ("path:line" or a volume) and the sentence."""

    source: str
    error: str


class Artifact(Value):
    """Bytes that were read once, in full, and that nobody can change any more.

    `beside` are detached signatures: the files that go by the same name with a suffix more, as (suffix, bytes).
    """

    role: Role
    name: str
    size: int
    sha256: bytes
    blob: Blob
    beside: tuple[tuple[str, bytes], ...] = ()


class Extra(Value):
    """A file that lies beside a UKI for systemd-stub to take: what it is, its own name, and its bytes."""

    kind: ExtraKind
    name: str
    artifact: Artifact


class Candidate(Value):
    """An entry with everything it needs in memory, not yet judged.

    `kernel` has the role KERNEL, UKI or OSPKG. `cmdline` is the text that the kernel would get, without a final NUL;
    None means that the UKI's own `.cmdline` (of `profile`), or that of the OS package, is used. `manifest` is the one
    on the entry's volume. `extras` are in the order in which they take effect, and `passed_over` is what could not be
    read of them. `configuration` is what the entry was read from, where that is judged, `root_hashes` are the signature
    partitions of the machine, by volume. `room` is how many bytes may still be unpacked; `package` is an OS package
    unpacked, once it was judged.
    """

    entry: Entry
    kernel: Artifact
    initrds: tuple[Artifact, ...] = ()
    cmdline: str | None = None
    devicetree: Artifact | None = None
    manifest: Artifact | None = None
    profile: int | None = None
    extras: tuple[Extra, ...] = ()
    passed_over: tuple[Problem, ...] = ()
    configuration: tuple[Artifact, ...] = ()
    root_hashes: tuple[tuple[str, bytes], ...] = ()
    room: int = 4 * GIB
    package: Package | None = None


class Verdict(Value):
    """One judgement on one piece: by which rule, signed by whom, covering what, and the sentence that says so.

    `keys` are the public keys that signed, where the kind has any: `RsaKey`, `EcKey`, or the bytes of an Ed25519 key.
    A key is one signer, by whatever kind.
    """

    role: Role
    name: str
    accepted: bool
    rule: str
    reason: str
    signer: str | None = None
    covered: str | None = None
    sha256: bytes = b""
    keys: tuple[Hashable, ...] = ()


class Verified(Value):
    """A candidate that the policy accepts. Only `shim.verify` makes one; `load` takes nothing else.

    Extras that the policy does not take are not in it any more; `verdicts` tells of them.
    """

    candidate: Candidate
    verdicts: tuple[Verdict, ...]


class Event(Value):
    """One measurement that was made: into which PCR, of what, and the digest in each bank, by the bank's name.

    `event_type` and `data` are what the event log holds beside the digests.
    """

    pcr: int
    event_type: int
    description: str
    digests: Mapping[str, bytes]
    data: bytes


class Request(Value):
    """A wish for memory. Bytes, physical. The result starts at a multiple of `alignment` inside [low, high).

    `fixed` asks for that start and no other. `preferred` is tried first where it is free. With `top`, the highest
    place that fits is taken, else the lowest.
    """

    name: str
    size: int
    alignment: int = 4096
    low: int = 0
    high: int = 1 << 64
    fixed: int | None = None
    preferred: int | None = None
    top: bool = False


class Segment(Value):
    """Bytes for one physical range: `data` first, zeros up to the end of `range`. Page-aligned at both ends."""

    name: str
    range: Range
    data: bytes | memoryview


class SegmentsPlan(Value):
    """What kexec_load is told: the segments, where it enters (the purgatory), and what it is called with."""

    entry_address: int
    segments: tuple[Segment, ...]
    why: str
    digests: Mapping[str, bytes]


class FilePlan(Value):
    """What kexec_file_load is told. `initrd` is one blob, the entry's initrds already joined."""

    kernel: Blob
    initrd: Blob | None
    cmdline: bytes
    why: str


class Stage(Value):
    """A stage of the boot that ran: seconds since the kernel started, on the monotonic clock."""

    name: str
    start: float
    end: float
