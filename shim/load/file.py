"""The engine of the running kernel: kexec_file_load, behind our own checks (it takes half a bzImage)."""

from __future__ import annotations

from shim.load.segments import requests_of
from shim.memory import place
from shim.model import FilePlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.load.archive import Archive
    from shim.load.options import LoadOptions, Task
    from shim.ports import Blob, Blobs, Machine


def plan_file(task: Task, machine: Machine, options: LoadOptions) -> FilePlan:
    """Return what kexec_file_load is told. Raises PlanError when it could not find a place for everything."""
    layout, parts = task.layout, task.parts
    report = options.handover.build(()) if options.handover else b""
    sizes = [len(archive.data) for archive in parts.archives] + ([len(report)] if report else [])
    place(requests_of(layout, task.params, sizes), task.memory.free)
    initrd = _blob(machine.blobs, "initrd", _joined(parts.archives, report)) if sizes else None
    try:
        artifact = parts.kernel_artifact
        kernel = artifact.blob if artifact else _blob(machine.blobs, "kernel", [parts.kernel])
    except BaseException:
        if initrd is not None:
            initrd.close()
        raise
    why = f"{task.why}; {layout.format} {layout.version}"
    return FilePlan(kernel=kernel, initrd=initrd, cmdline=parts.cmdline, why=why)


def _joined(archives: Sequence[Archive], report: bytes) -> list[bytes | memoryview]:
    """Return the archives in order, each padded to the four bytes at which the kernel looks for the next one."""
    pieces: list[bytes | memoryview] = []
    for archive in archives:
        pieces += [archive.data, bytes(-len(archive.data) % 4)]
    return [*pieces, report]


def _blob(blobs: Blobs, name: str, pieces: Sequence[bytes | memoryview]) -> Blob:
    sink = blobs.create(name)
    try:
        for piece in pieces:
            sink.write(piece)
        return sink.seal()
    except BaseException:
        sink.discard()
        raise
