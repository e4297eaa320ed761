"""Real artefacts: Debian packages, fetched by apt with a configuration of its own, unpacked and kept.

Nothing on the system is changed and nobody needs to be root. What was fetched once stays in the cache
(`$BOOTSHIM_CACHE/debs`, else ~/.cache/bootshim/debs) and is used again without a network.
`python -m tests.builders.debian NAME...` prints where packages are; `--refresh` looks for newer versions.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

MIRROR = "http://deb.debian.org/debian"
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NETWORK_TIMEOUT = 600


class Kernel(NamedTuple):
    """A Debian kernel package: its release (uname -r), image, directory of modules, and where it is unpacked."""

    release: str
    image: Path
    modules: Path
    directory: Path


def package(name: str, suite: str = "bookworm", arch: str = "amd64") -> Path:
    """Return the directory where the package is unpacked; fetch it when it is not in the cache."""
    pointer = cache_directory() / f"{name}@{suite}@{arch}"
    if not pointer.exists():
        with _locked(pointer.name):
            if not pointer.exists():
                _point(pointer, _fetch(name, suite, arch))
    return pointer.resolve()


def version(name: str, suite: str = "bookworm", arch: str = "amd64") -> str:
    """Return the version of the package that `package` returns, for a WITNESS."""
    return package(name, suite, arch).name.split("_")[1]


@cache
def kernel(flavour: str = "cloud", arch: str = "amd64", suite: str = "bookworm") -> Kernel:
    """Return the suite's kernel of a flavour ("cloud", or "" for the general one), by its metapackage."""
    directory = package(_kernel_package(flavour, arch, suite), suite, arch)
    image, = directory.glob("boot/vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    return Kernel(release, image, directory / "lib/modules" / release, directory)


def newest_kernel(arch: str = "amd64") -> Path:
    """Return the directory of the cloud kernel's package."""
    return kernel("cloud", arch).directory


def cache_directory() -> Path:
    chosen = os.environ.get("BOOTSHIM_CACHE")
    directory = (Path(chosen) if chosen else Path.home() / ".cache" / "bootshim") / "debs"
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def _kernel_package(flavour: str, arch: str, suite: str) -> str:
    """Return the name of the package that the metapackage of a flavour depends on; kept like a package."""
    meta = "-".join(word for word in ("linux-image", flavour, arch) if word)
    depends = (package(meta, suite, arch) / ".depends").read_text()
    found = re.search(r"linux-image-\d\S*", depends)
    if found is None:
        raise LookupError(f"{meta} depends on no kernel: {depends}")
    return found[0]


def _fetch(name: str, suite: str, arch: str) -> Path:
    configuration = _apt(suite, arch)
    work = cache_directory() / f".{name}-{suite}-{arch}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _run(["apt-get", "-q", "-c", str(configuration), "download", f"{name}:{arch}"], work)
    except RuntimeError:
        _update(configuration)
        _run(["apt-get", "-q", "-c", str(configuration), "download", f"{name}:{arch}"], work)
    deb, = work.glob("*.deb")
    target = cache_directory() / deb.stem.replace("%3a", ":")
    if not target.exists():
        unpacked = work / "unpacked"
        _run(["dpkg-deb", "-x", deb.name, unpacked.name], work)
        (unpacked / ".depends").write_text(_run(["dpkg-deb", "-f", deb.name, "Depends"], work))
        unpacked.rename(target)
    shutil.rmtree(work)
    return target


def _apt(suite: str, arch: str) -> Path:
    """Return an apt configuration for this suite and architecture that knows the archive's index."""
    home = cache_directory() / f"apt-{suite}-{arch}"
    configuration = home / "apt.conf"
    with _locked(home.name):
        if not (home / "updated").exists():
            _configure(home, suite, arch)
            _update(configuration)
            (home / "updated").touch()
    return configuration


def _configure(home: Path, suite: str, arch: str) -> None:
    for folder in ("lists/partial", "archives/partial", "etc", "log"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    mirror = _mirror()
    sources = [f"deb [signed-by={KEYRING}] {mirror} {suite} main"]
    if suite not in ("sid", "unstable", "testing") and not suite.endswith("-backports"):
        security = f"{mirror.rstrip('/')}-security"
        sources.append(f"deb [signed-by={KEYRING}] {security} {suite}-security main")
    (home / "sources.list").write_text("\n".join(sources) + "\n")
    (home / "apt.conf").write_text(
        f'Dir::Etc "{home}/etc"; Dir::Etc::SourceList "{home}/sources.list"; Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State "{home}"; Dir::State::Lists "{home}/lists"; Dir::State::status "{home}/status";\n'
        f'Dir::Cache "{home}"; Dir::Cache::archives "{home}/archives"; Dir::Log "{home}/log";\n'
        f'APT::Architecture "{arch}"; APT::Architectures {{ "{arch}"; }}; APT::Sandbox::User "";\n'
        'Acquire::Languages "none"; Acquire::Retries "3";\n'
    )


def _mirror() -> str:
    """Return the mirror that the machine itself uses."""
    for path in map(Path, SOURCES):
        found = re.search(r"https?://\S+/debian/?(?=\s)", path.read_text() if path.exists() else "")
        if found:
            return found[0].rstrip("/")
    return MIRROR


def _update(configuration: Path) -> None:
    _run(["apt-get", "-q", "-c", str(configuration), "update"], configuration.parent)


def _point(pointer: Path, target: Path) -> None:
    fresh = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    fresh.symlink_to(target.name)
    fresh.replace(pointer)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (cache_directory() / f".{name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=NETWORK_TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.builders.debian", description=__doc__)
    parser.add_argument("name", nargs="+")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--refresh", action="store_true", help="look for a newer version")
    given = parser.parse_args()
    if given.refresh:
        _update(_apt(given.suite, given.arch))
    for name in given.name:
        if given.refresh:
            (cache_directory() / f"{name}@{given.suite}@{given.arch}").unlink(missing_ok=True)
        print(package(name, given.suite, given.arch))


if __name__ == "__main__":
    main()
