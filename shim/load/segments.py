"""The engine of our own segments: kexec_load, entered through the purgatory, which checks every segment first."""

from __future__ import annotations

from shim.errors import LoadError
from shim.load.archive import Archive
from shim.load.firmware import read_complaints, text_screen
from shim.memory import place
from shim.model import Request, Segment, SegmentsPlan
from shim.purgatory import PurgatoryArgs, PurgatoryFlag, PurgatoryRegion, blob, build_purgatory
from shim.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.load.kernels import KernelLayout
    from shim.load.options import LoadOptions, Task
    from shim.load.params import ParamsPlan
    from shim.ports import Hash, Machine

PAGE = 4096
FOUR_GIB = 1 << 32
SEGMENTS_MAX = 16  # KEXEC_SEGMENT_MAX of linux/kexec.h
PAUSE_MS = 3000


def plan_segments(task: Task, machine: Machine, options: LoadOptions) -> SegmentsPlan:
    """Return what kexec_load is told. Raises PlanError when something does not fit, LoadError for what cannot be."""
    layout, params = task.layout, task.params
    archives = _few_enough(task.parts.archives, len(layout.pieces), options)
    handover_size = options.handover.size if options.handover else 0
    sizes = [len(archive.data) for archive in archives] + ([handover_size] if handover_size else [])
    placed = place(requests_of(layout, params, sizes), task.memory.free)
    kernel, params_range = placed["kernel"], placed["boot_params"]
    segments = [*_kernel_segments(layout, kernel), *_archive_segments(archives, placed.get("initrd"))]
    initrd = _initrd_range(placed.get("initrd"), sizes)
    page = params.build(params_range.start, kernel.start, initrd)
    segments.append(Segment(name="boot_params", range=params_range, data=page))
    known = {f"initrd.{number}": archive.sha256 for number, archive in enumerate(archives)}
    digests = {segment.name: known.get(segment.name) or _digest(segment.data, machine.sha256) for segment in segments}
    if options.handover and initrd:
        segments.append(_handover_segment(options, segments, digests, initrd, handover_size))
        digests["report"] = _digest(segments[-1].data, machine.sha256)
    args = PurgatoryArgs(
        entry_address=kernel.start + layout.entry_offset,
        boot_params_address=params_range.start,
        regions=tuple(_region(segment, digests, options.corrupt_digest) for segment in segments),
        flags=text_screen(params.running) | (
            PurgatoryFlag.ENTER_32 if layout.enters_in_32_bits else PurgatoryFlag(0)),
        pause_ms=PAUSE_MS,
        **read_complaints(machine.facts),
    )
    purgatory = placed["purgatory"]
    segments.append(Segment(name="purgatory", range=purgatory, data=build_purgatory(args)))
    return SegmentsPlan(
        entry_address=purgatory.start + blob().entry,
        segments=tuple(sorted(segments, key=lambda segment: segment.range.start)),
        why=f"{task.why}; {layout.format} {layout.version} at {kernel.start:#x}",
        digests=digests,
    )


def requests_of(layout: KernelLayout, params: ParamsPlan, archive_sizes: Sequence[int]) -> list[Request]:
    """Return the wishes for memory, the least movable first."""
    requests = [layout.request]
    if archive_sizes:
        size = sum(-(-size // PAGE) * PAGE for size in archive_sizes)
        requests.append(Request(name="initrd", size=size, high=layout.initrd_high, top=True))
    # Below 4 GiB for all: the early code of old kernels, and of the purgatory, reaches no further.
    requests.append(Request(name="boot_params", size=params.size, high=FOUR_GIB, top=True))
    requests.append(Request(name="purgatory", size=blob().size, high=FOUR_GIB, top=True))
    return requests


def _few_enough(archives: Sequence[Archive], pieces: int, options: LoadOptions) -> Sequence[Archive]:
    """Join the archives where there would be more segments than the kernel takes."""
    others = pieces + 2 + bool(options.handover)
    if pieces + 3 > SEGMENTS_MAX:
        raise LoadError("the kernel has too many segments", limit=SEGMENTS_MAX, found=pieces)
    if others + len(archives) <= SEGMENTS_MAX:
        return archives
    joined = b"".join(bytes(archive.data) + bytes(-len(archive.data) % 4) for archive in archives)
    return [Archive(name=f"{len(archives)} initrds", data=joined)]


def _kernel_segments(layout: KernelLayout, kernel: Range) -> list[Segment]:
    segments = []
    for piece in layout.pieces:
        start = kernel.start + piece.offset
        if start % PAGE:
            raise LoadError("a part of the kernel does not start at a page", segment=piece.name, start_address=start)
        segments.append(Segment(name=piece.name, range=_pages(start, len(piece.data)), data=piece.data))
    return segments


def _archive_segments(archives: Sequence[Archive], room: Range | None) -> list[Segment]:
    """Put archives one after another, each from a page on: the kernel passes over the zeros between them."""
    segments: list[Segment] = []
    at = room.start if room else 0
    for number, archive in enumerate(archives):
        segments.append(Segment(name=f"initrd.{number}", range=_pages(at, len(archive.data)), data=archive.data))
        at = segments[-1].range.end
    return segments


def _initrd_range(room: Range | None, sizes: Sequence[int]) -> Range | None:
    """Return what the kernel is told of the initrd: up to the last byte of the last archive."""
    if room is None:
        return None
    padded = sum(-(-size // PAGE) * PAGE for size in sizes[:-1])
    return Range.sized(room.start, padded + sizes[-1])


def _handover_segment(
    options: LoadOptions, segments: Sequence[Segment], digests: dict[str, bytes], initrd: Range, size: int
) -> Segment:
    room = _pages((initrd.end - size) // PAGE * PAGE, size)
    rows: list[tuple[str, int, int, str | None]] = [
        (s.name, s.range.start, s.range.end, digests[s.name].hex()) for s in segments
    ]
    rows.append(("report", room.start, room.end, None))
    data = options.handover.build(rows) if options.handover else b""
    if len(data) != size:
        raise LoadError("the report changed its size", expected=size, found=len(data))
    return Segment(name="report", range=room, data=data)


def _region(segment: Segment, digests: dict[str, bytes], corrupt: str | None) -> PurgatoryRegion:
    digest = digests[segment.name]
    if segment.name == corrupt:
        digest = bytes([digest[0] ^ 1]) + digest[1:]
    return PurgatoryRegion(
        name=segment.name, address=segment.range.start, size=len(segment.data), sha256=digest)


def _digest(data: bytes | memoryview, new_hash: Callable[[], Hash]) -> bytes:
    running = new_hash()
    running.update(data)
    return running.digest()


def _pages(start: int, size: int) -> Range:
    return Range.sized(start, -(-size // PAGE) * PAGE)
