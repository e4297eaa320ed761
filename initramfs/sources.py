"""Sources pinned by hash, and the cache of slow builds: `$BOOTSHIM_CACHE`, else ~/.cache/bootshim."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.errors import ConfigError, FetchError, ShimError
from shim.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
TIMEOUT = 60.0
SOURCE_SIZE_MAX = 256 << 20
KEPT_SECONDS = 30 * 86400


class Pinned(Value):
    """One line of a lock file."""

    name: str
    version: str
    sha256: str
    url: str


def cache_directory() -> Path:
    """Return where slow builds are kept, made if need be."""
    chosen = os.environ.get("BOOTSHIM_CACHE")
    directory = Path(chosen) if chosen else Path.home() / ".cache" / "bootshim"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def read_lock(path: Path = HERE / "runtime.lock") -> dict[str, Pinned]:
    """Return the pinned sources by name. Raises ConfigError with the line."""
    pinned = {}
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 4 or len(words[2]) != 64:
            raise ConfigError("expected: name version SHA-256 URL", file=path.name, line=number)
        pinned[words[0]] = Pinned(name=words[0], version=words[1], sha256=words[2], url=words[3])
    return pinned


def fetch_source(pinned: Pinned) -> Path:
    """Return the source archive, from the cache or fetched. Raises FetchError when it is not the pinned one."""
    target = cache_directory() / "sources" / pinned.url.rsplit("/", 1)[-1]
    if target.exists() and digest_of(target) == pinned.sha256:
        return target
    target.parent.mkdir(exist_ok=True)
    print(f"fetching {pinned.url}", file=sys.stderr)
    try:
        with urllib.request.urlopen(pinned.url, timeout=TIMEOUT) as response:
            data = response.read(SOURCE_SIZE_MAX)
    except (urllib.error.URLError, OSError) as problem:
        raise FetchError(f"cannot fetch {pinned.name}: {problem}", url=pinned.url) from problem
    found = hashlib.sha256(data).hexdigest()
    if found != pinned.sha256:
        raise FetchError("the source is not the pinned one", url=pinned.url, expected=pinned.sha256, found=found)
    fresh = target.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(data)
    fresh.replace(target)
    return target


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a source archive that was fetched; return the one folder in it."""
    # The filter came with Python 3.11.4, and Debian 12 has 3.11.2; what is unpacked here is pinned by its hash.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as stream:
        stream.extractall(target, **safely)
    folders = list(target.iterdir())
    if len(folders) != 1:
        raise ShimError("the archive does not hold one folder", file=archive.name)
    return folders[0]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached(kind: str, inputs: bytes, build: Callable[[Path], None]) -> Path:
    """Return the directory that `build` fills, made once for the same `inputs`.

    A build that fails or is cut off leaves nothing behind that counts; two at once wait for each other. A new build
    sweeps out those of its kind that nobody asked for in a month.
    """
    key = hashlib.sha256(inputs).hexdigest()[:16]
    target = cache_directory() / f"{kind}-{key}"
    with _locked(target.with_suffix(".lock")):
        if target.exists():
            os.utime(target)
            return target
        _sweep(kind)
        work = target.with_suffix(".partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        build(work)
        work.rename(target)
    return target


def _sweep(kind: str) -> None:
    """Remove the builds of a kind that were not used for KEPT_SECONDS."""
    for path in cache_directory().glob(f"{kind}-*"):
        if path.is_dir() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            path.with_suffix(".lock").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
