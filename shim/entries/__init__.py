"""Entries: from the files of the volumes to `Entry`s, ranked. One module a dialect, one line each in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from shim.entries.bls1 import read_bls1
from shim.entries.fold import fold
from shim.entries.found import read_found
from shim.entries.grub import read_grub
from shim.entries.kboot import read_kboot
from shim.entries.loader_conf import PATHS, SIZE_MAX, LoaderConf, parse_loader_conf
from shim.entries.ospkg import read_ospkg
from shim.entries.rank import rank
from shim.entries.reading import Reading
from shim.entries.syslinux import read_syslinux
from shim.entries.type2 import read_type2
from shim.entries.yaboot import read_yaboot
from shim.errors import ShimError
from shim.model import Entry, PartitionKind, Problem, Volume
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.ports import Files

__all__ = ["DIALECTS", "EntryList", "read_entries"]


class Dialect(Value):
    """A kind of boot configuration: `read` from one volume, or `read_all` where one volume's leads to another's; that
    is told the architecture, too, for which a script may ask.

    A `fallback` is read only where the other dialects found none at all.
    """

    name: str
    read: Callable[[Volume, Files], Reading] | None = None
    read_all: Callable[[Sequence[tuple[Volume, Files]], str], Reading] | None = None
    fallback: bool = False


DIALECTS = (
    Dialect(name="bls1", read=read_bls1),
    Dialect(name="bls2", read=read_type2),
    Dialect(name="ospkg", read=read_ospkg),
    Dialect(name="grub", read_all=read_grub),
    Dialect(name="syslinux", read_all=read_syslinux),
    Dialect(name="kboot", read_all=read_kboot),
    Dialect(name="yaboot", read_all=read_yaboot),
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
    readings = _read(volumes, [dialect for dialect in wanted if not dialect.fallback], problems, architecture)
    if not any(reading.entries for reading in readings) and not problems:  # a broken configuration is one, too
        readings = _read(volumes, [dialect for dialect in wanted if dialect.fallback], problems, architecture)
    conf, conf_source = _read_conf(volumes, problems)
    said_by = "the configuration" if default else conf_source
    entries = fold(_in_menu_order(readings))
    ranked = rank(
        (_fitting(entry, architecture) for entry in entries), default or conf.default, said_by,
        None if default else conf.preferred,
    )
    waits = (conf.timeout, *(reading.timeout for reading in readings))
    return EntryList(entries=ranked, problems=tuple(problems),
                     timeout=next((seconds for seconds in waits if seconds is not None), None))


def _read(
    volumes: Sequence[tuple[Volume, Files]], dialects: Sequence[Dialect], problems: list[Problem], architecture: str
) -> list[Reading]:
    """Read the dialects of one volume, volume by volume, then those that go from one to the next."""
    readings: list[Reading] = []

    def take(source: str, read: Callable[[], Reading]) -> None:
        try:
            readings.append(read())
        except ShimError as problem:
            problems.append(Problem(source=source, error=str(problem)))
        else:
            problems.extend(readings[-1].problems)

    for volume, files in volumes:
        for dialect in dialects:
            if dialect.read is not None:
                take(f"{volume.name} ({dialect.name})", partial(dialect.read, volume, files))
    for dialect in dialects:
        if dialect.read_all is not None:
            take(dialect.name, partial(dialect.read_all, volumes, architecture))
    return readings


def _in_menu_order(readings: Sequence[Reading]) -> Iterator[Entry]:
    """Yield all entries; the menus that a dialect found come behind those of the dialects before it."""
    before = 0
    for reading in readings:
        for entry in reading.entries:
            yield entry if entry.menu_position is None else entry.replace(menu_position=before + entry.menu_position)
        before += len(reading.entries)


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
