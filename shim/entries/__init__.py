"""Entries: from the files of the volumes to `Entry`s, ranked. One module a dialect, one line each in the table."""

from __future__ import annotations

from collections.abc import Callable

from shim.entries.bls1 import read_bls1
from shim.entries.found import read_found
from shim.entries.loader_conf import PATHS, SIZE_MAX, LoaderConf, parse_loader_conf
from shim.entries.ospkg import read_ospkg
from shim.entries.rank import rank
from shim.entries.reading import Reading
from shim.entries.type2 import read_type2
from shim.errors import ShimError
from shim.model import Entry, PartitionKind, Problem, Volume
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.ports import Files

__all__ = ["DIALECTS", "EntryList", "read_entries"]


class Dialect(Value):
    """A kind of boot configuration. A `fallback` is read only where the other dialects found none at all."""

    name: str
    read: Callable[[Volume, Files], Reading]
    fallback: bool = False


DIALECTS = (
    Dialect(name="bls1", read=read_bls1),
    Dialect(name="bls2", read=read_type2),
    Dialect(name="ospkg", read=read_ospkg),
    Dialect(name="found", read=read_found, fallback=True),
)


class EntryList(Value):
    """Entries in the order in which they are tried; `timeout` in seconds as the disk wants it, None where it does not
    say."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    timeout: float | None = None


def read_entries(
    volumes: Sequence[tuple[Volume, Files]],
    *,
    dialects: Sequence[str] = (),
    default: str | None = None,
    architecture: str = "x64",
) -> EntryList:
    """Read the boot configuration of mounted volumes.

    `dialects` names those that are read, none meaning all; `default` is a glob over ids that counts before
    loader.conf's; an entry for another `architecture` (as UEFI names it) is hidden. Never raises for what is on a
    volume: that is a problem in the list.
    """
    problems: list[Problem] = []
    wanted = [dialect for dialect in DIALECTS if not dialects or dialect.name in dialects]
    entries = _read(volumes, [dialect for dialect in wanted if not dialect.fallback], problems)
    if not entries and not problems:  # a broken configuration is one, too
        entries = _read(volumes, [dialect for dialect in wanted if dialect.fallback], problems)
    conf, conf_source = _read_conf(volumes, problems)
    said_by = "the configuration" if default else conf_source
    ranked = rank(
        (_fitting(entry, architecture) for entry in entries), default or conf.default, said_by,
        None if default else conf.preferred,
    )
    return EntryList(entries=ranked, problems=tuple(problems), timeout=conf.timeout)


def _read(
    volumes: Sequence[tuple[Volume, Files]], dialects: Sequence[Dialect], problems: list[Problem]
) -> list[Entry]:
    entries: list[Entry] = []
    for volume, files in volumes:
        for dialect in dialects:
            try:
                reading = dialect.read(volume, files)
            except ShimError as problem:
                problems.append(Problem(source=f"{volume.name} ({dialect.name})", error=str(problem)))
                continue
            entries += reading.entries
            problems += reading.problems
    return entries


def _read_conf(volumes: Sequence[tuple[Volume, Files]], problems: list[Problem]) -> tuple[LoaderConf, str]:
    """Return the first loader.conf there is, the ESP's before all others, and where it is."""
    for volume, files in sorted(volumes, key=lambda pair: pair[0].kind is not PartitionKind.ESP):
        for path in PATHS:
            source = f"{volume.name}:{path}"
            try:
                if files.exists(path):
                    conf = parse_loader_conf(files.read(path, SIZE_MAX))
                    problems += [Problem(source=source, error=note) for note in conf.notes]
                    return conf, source
            except ShimError as problem:
                problems.append(Problem(source=source, error=str(problem)))
    return LoaderConf(), "loader.conf"


def _fitting(entry: Entry, architecture: str) -> Entry:
    wanted = entry.architecture
    if wanted is None or wanted.lower() == architecture:
        return entry
    return entry.traced(f"for {wanted}, and this machine is {architecture}", hidden=f"it is for {wanted}")
