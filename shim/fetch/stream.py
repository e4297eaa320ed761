"""One file, read once, from its volume into sealed memory."""

from __future__ import annotations

from shim.errors import FetchError
from shim.model import Artifact, FileRef, Role
from shim.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shim.fetch.limits import Limit
    from shim.ports import Blobs, Files, Hash, Sink, Source

CHUNK_SIZE = 1 * MIB
SIGNATURE_SIZE_MAX = 1 * MIB


def fetch_file(
    role: Role,
    ref: FileRef,
    volumes: Mapping[str, Files],
    blobs: Blobs,
    new_hash: Callable[[], Hash],
    limit: Limit,
) -> Artifact:
    """Read the file `ref` into a sealed blob and hash it on the way.

    Raises FetchError when the volume is not mounted, the file is empty and must not be, longer than its limit, or its
    length is not what it was when it was opened.
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


def read_beside(ref: FileRef, files: Files, suffixes: Sequence[str]) -> tuple[tuple[str, bytes], ...]:
    """Return the detached signatures that lie beside a file, by their suffixes. Raises FetchError for one too long."""
    found = []
    for suffix in suffixes:
        path = path_beside(ref.path, suffix)
        if path is not None and files.exists(path):
            found.append((suffix, files.read(path, SIGNATURE_SIZE_MAX)))
    return tuple(found)


def path_beside(path: str, suffix: str) -> str | None:
    """Return where what lies beside a file by a suffix would be: OLD/NEW is for names that end in OLD, others have
    no such file."""
    old, slash, new = suffix.partition("/")
    if not slash:
        return f"{path}{suffix}"
    return f"{path.removesuffix(old)}{new}" if path.endswith(old) else None


def _copy(ref: FileRef, source: Source, sink: Sink, sha256: Hash, limit: Limit) -> bytes:
    total = 0
    while chunk := source.read(CHUNK_SIZE):
        total += len(chunk)
        _check_size(ref, total, limit)
        sha256.update(chunk)
        sink.write(chunk)
    if total != source.size:
        raise FetchError("the file changed while it was read", file=str(ref), expected=source.size, found=total)
    return sha256.digest()


def _check_size(ref: FileRef, size: int, limit: Limit) -> None:
    if size == 0 and not limit.may_be_empty:
        raise FetchError("the file is empty", file=str(ref))
    if size > limit.size:
        raise FetchError(limit.reason, file=str(ref), limit=limit.size, found=size)
