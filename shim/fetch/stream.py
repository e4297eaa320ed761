"""One file, read once, from its volume into sealed memory."""

from __future__ import annotations

from shim.errors import FetchError
from shim.model import Artifact, FileRef, Role
from shim.units import GIB, MIB
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.ports import Blobs, Files, Hash, Sink, Source

CHUNK_SIZE = 1 * MIB


class Limits(Value):
    """Ceilings in bytes for one entry. A kernel is one file; initrds may be many."""

    kernel_size: int = 512 * MIB
    uki_size: int = 2 * GIB
    initrd_size: int = 4 * GIB
    devicetree_size: int = 4 * MIB
    total_size: int = 6 * GIB
    initrd_count: int = 64

    def of(self, role: Role, left: int) -> int:
        """Return the ceiling for one file of a role when `left` bytes of the total are left."""
        own = {
            Role.KERNEL: self.kernel_size,
            Role.UKI: self.uki_size,
            Role.INITRD: self.initrd_size,
            Role.DEVICETREE: self.devicetree_size,
        }
        return min(own[role], left)


def fetch_file(
    role: Role,
    ref: FileRef,
    volumes: Mapping[str, Files],
    blobs: Blobs,
    new_hash: Callable[[], Hash],
    limit: int,
) -> Artifact:
    """Read the file `ref` into a sealed blob and hash it on the way.

    Raises FetchError when the volume is not mounted, the file is empty, longer than `limit` bytes, or its length
    is not what it was when it was opened.
    """
    files = volumes.get(ref.volume)
    if files is None:
        raise FetchError("the volume is not there", file=str(ref))
    try:
        source = files.open(ref.path)
    except FetchError as problem:
        raise problem.about(file=str(ref)) from None
    try:
        _check_size(ref, source.size, limit)
        sink = blobs.create(f"{role.value}:{ref.path.rsplit('/', 1)[-1]}")
        try:
            digest = _copy(ref, source, sink, new_hash(), limit)
            blob = sink.seal()
        except BaseException:
            sink.discard()
            raise
    finally:
        source.close()
    return Artifact(role=role, name=str(ref), size=blob.size, sha256=digest, blob=blob)


def mebibytes(size: int) -> str:
    return f"{size // MIB} MiB"


def _copy(ref: FileRef, source: Source, sink: Sink, sha256: Hash, limit: int) -> bytes:
    total = 0
    while chunk := source.read(CHUNK_SIZE):
        total += len(chunk)
        _check_size(ref, total, limit)
        sha256.update(chunk)
        sink.write(chunk)
    if total != source.size:
        raise FetchError("the file changed while it was read", file=str(ref), expected=source.size, found=total)
    return sha256.digest()


def _check_size(ref: FileRef, size: int, limit: int) -> None:
    if size == 0:
        raise FetchError("the file is empty", file=str(ref))
    if size > limit:
        raise FetchError("the file is too long", file=str(ref), expected=limit, found=size)
