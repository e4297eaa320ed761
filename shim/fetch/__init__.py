"""Fetch: from an `Entry` to `Artifact`s, each byte read once and hashed on the way.

What is hashed here is what is verified, measured and loaded: nothing downstream opens a file again.
"""

from __future__ import annotations

from shim.errors import EntryError, FetchError
from shim.fetch.beside import find_beside
from shim.fetch.limits import Limits, limits_for, weight_of
from shim.fetch.stream import fetch_file, path_beside, read_beside
from shim.formats.uki import has_linux_section
from shim.model import Artifact, Candidate, Entry, FileRef, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shim.ports import Blobs, Files, Hash

__all__ = ["Limits", "artifacts_of", "fetch_entry", "limits_for", "path_beside", "release", "release_left_out"]


def fetch_entry(
    entry: Entry,
    volumes: Mapping[str, Files],
    blobs: Blobs,
    new_hash: Callable[[], Hash],
    limits: Limits | None = None,
    suffixes: Sequence[str] = (),
    manifest: str | None = None,
) -> Candidate:
    """Read everything that `entry` names into sealed memory, what lies beside a UKI for its stub, and what speaks for
    all of it: the detached signatures with these suffixes, and the manifest at this path of the kernel's volume.

    Raises EntryError for an entry that names what this machine cannot start, FetchError for a file that is
    absent, irregular, too long, or changes while it is read. What was read before a failure is let go. Of what lies
    beside a UKI, a file that cannot be read is a problem of the candidate, not an error.
    """
    limits = limits or Limits()
    _refuse_unsupported(entry, limits)
    held: list[Artifact] = []

    def fetch(role: Role, ref: FileRef) -> Artifact:
        left = limits.total_size - sum(artifact.size * weight_of(artifact.role) for artifact in held)
        if left <= 0:
            raise FetchError(limits.total_reason, file=str(ref), limit=limits.total_size)
        # The small files first: when one of them cannot be read, nothing large is held for a file that is left out.
        files = volumes.get(ref.volume)
        beside = read_beside(ref, files, suffixes) if files is not None else ()
        artifact = fetch_file(role, ref, volumes, blobs, new_hash, limits.of(role, left)).replace(beside=beside)
        held.append(artifact)
        return artifact

    try:
        candidate = _gather(entry, fetch)
        if manifest is not None and volumes[candidate_volume(entry)].exists(manifest):
            ref = FileRef(volume=candidate_volume(entry), path=manifest)
            candidate = candidate.replace(manifest=fetch(Role.MANIFEST, ref))
        candidate = candidate.replace(room=max(limits.total_size - sum(artifact.size for artifact in held), 0))
        if candidate.kernel.role is not Role.UKI or entry.kernel is None:
            return candidate
        extras, passed_over = find_beside(entry.kernel, volumes[entry.kernel.volume], fetch, limits.extra_count)
        return candidate.replace(extras=extras, passed_over=passed_over)
    except BaseException:
        release(held)
        raise


def release(artifacts: list[Artifact] | tuple[Artifact, ...]) -> None:
    """Give the memory of artifacts back."""
    for artifact in artifacts:
        artifact.blob.close()


def release_left_out(fetched: Candidate, taken: Candidate) -> list[str]:
    """Give the memory of those extras back that are not in `taken`, the candidate once judged; return their names."""
    kept = {extra.artifact.name for extra in taken.extras}
    left_out = [extra.artifact for extra in fetched.extras if extra.artifact.name not in kept]
    release(left_out)
    return [artifact.name for artifact in left_out]


def artifacts_of(candidate: Candidate) -> tuple[Artifact, ...]:
    """Return everything that was fetched for a candidate, the kernel first."""
    extras = (extra.artifact for extra in candidate.extras)
    others = (candidate.devicetree, candidate.manifest, *candidate.configuration, *extras)
    return (candidate.kernel, *candidate.initrds, *(other for other in others if other is not None))


def candidate_volume(entry: Entry) -> str:
    """Return the volume that an entry's kernel lies on."""
    return entry.kernel.volume if entry.kernel else entry.volume


def _gather(entry: Entry, fetch: Callable[[Role, FileRef], Artifact]) -> Candidate:
    kernel = entry.kernel
    if kernel is None:
        raise EntryError("the entry names nothing to start", entry=entry.id)
    started = fetch(Role.UKI if entry.uki else Role.OSPKG if entry.ospkg else Role.KERNEL, kernel)
    if entry.efi and has_linux_section(started.blob.view()):
        started = started.replace(role=Role.UKI)
    cmdline = entry.cmdline
    if cmdline is None and started.role is Role.KERNEL:
        cmdline = ""
    return Candidate(
        entry=entry,
        kernel=started,
        initrds=tuple(fetch(Role.INITRD, ref) for ref in entry.initrd),
        cmdline=cmdline,
        devicetree=fetch(Role.DEVICETREE, entry.devicetree) if entry.devicetree else None,
        profile=entry.profile,
    )


def _refuse_unsupported(entry: Entry, limits: Limits) -> None:
    if entry.multiboot or entry.modules:
        raise EntryError("multiboot kernels are not started", entry=entry.id)
    if entry.devicetree_overlay:
        raise EntryError("device tree overlays are not applied", entry=entry.id)
    if len(entry.initrd) > limits.initrd_count:
        raise EntryError("too many initrds", entry=entry.id, expected=limits.initrd_count, found=len(entry.initrd))
