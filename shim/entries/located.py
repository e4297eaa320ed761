"""Files that a configuration names with a device before the path, as kboot and yaboot do, and where theirs are."""

from __future__ import annotations

from shim.entries.reading import Reading, file_ref
from shim.errors import EntryError, FormatError, ShimError
from shim.model import Problem
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shim.model import Entry, FileRef, Volume
    from shim.ports import Files

FILE_SIZE_MAX = 1 << 20
LINES_MAX = 20_000
LINE_SIZE_MAX = 64 << 10
TITLE_SIZE_MAX = 256
ID_SIZE_MAX = 512
ENTRIES_MAX = 1000
TIMEOUT_MAX = 3600.0
NOT_UTF8 = "\ufffd"


class Menu(Value):
    """What one configuration holds: its entries by the lines that they begin at, each made when it is asked for;
    `ordered` puts its default first, `timeout` is in seconds, where it says one.
    """

    lines: Sequence[int]
    entry: Callable[[int], Entry]
    ordered: Callable[[list[Entry]], list[Entry]]
    timeout: float | None


def read_menus(
    volumes: Sequence[tuple[Volume, Files]], paths: Sequence[str], dialect: str,
    parse: Callable[[tuple[Volume, Files, str], str], Menu], what: str = "entries",
) -> Reading:  # fmt: skip
    """Return the entries of every volume's configuration, the first of `paths`, in its order, its default first.

    `parse` takes where a configuration is and its text, and raises ShimError for what is no menu.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    timeout: float | None = None
    for found in _configurations(volumes, paths, dialect):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        volume, files, path = found
        try:
            menu = parse(found, read_text(files, path))
        except ShimError as problem:
            problems.append(problem_of(problem, volume, path))
            continue
        count = len(menu.lines)
        if count > ENTRIES_MAX:
            problems.append(Problem(source=f"{volume.name}:{path}:{menu.lines[ENTRIES_MAX]}",
                                    error=f"only the first {ENTRIES_MAX} of {count} {what} are read"))
        entries += menu.ordered([menu.entry(at) for at in range(min(count, ENTRIES_MAX))])
        timeout = menu.timeout if timeout is None else timeout
    numbered = tuple(entry.replace(menu_position=number) for number, entry in enumerate(entries))
    return Reading(entries=numbered, problems=tuple(problems), timeout=timeout)


def seconds_of(text: str, unit: int = 1) -> float | None:
    """Return a timeout in seconds, at most an hour; None for what is no number. `unit` of them make a second."""
    return min(int(text) / unit, TIMEOUT_MAX) if text.isdecimal() and len(text) < 10 else None


def _configurations(
    volumes: Sequence[tuple[Volume, Files]], paths: Sequence[str], dialect: str
) -> Iterator[tuple[Volume, Files, str] | Problem]:
    """Yield the first of `paths` that is there, volume by volume."""
    for volume, files in volumes:
        try:
            path = next((path for path in paths if files.exists(path)), None)
        except ShimError as problem:
            yield Problem(source=f"{volume.name} ({dialect})", error=str(problem))
            continue
        if path is not None:
            yield volume, files, path


def read_text(files: Files, path: str) -> str:
    """Return a configuration as text; what is not UTF-8 in it stays visible.

    Raises FetchError for a file that cannot be read, FormatError for one that is no text, both with its name.
    """
    data = files.read(path, FILE_SIZE_MAX)
    if b"\0" in data:
        at = data.index(b"\0")
        raise FormatError("a NUL byte in a boot configuration", file=path, line=data.count(b"\n", 0, at) + 1, at=at)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.count("\n") >= LINES_MAX:
        raise FormatError("too many lines for a boot configuration", file=path, line=LINES_MAX, limit=LINES_MAX)
    return text


def problem_of(problem: ShimError, volume: Volume, path: str) -> Problem:
    """Say where a configuration is wrong, by the file and line that its error names."""
    facts = problem.facts
    file, line = facts.pop("file", None) or path, facts.pop("line", 0)
    return Problem(source=f"{volume.name}:{file}" + (f":{line}" if line else ""), error=str(problem))


def find_volume(volumes: Sequence[tuple[Volume, Files]], device: str) -> tuple[Volume, Files]:
    """Return the volume that /dev/NAME, NAME, UUID=… or LABEL=… names. Raises EntryError where there is none."""
    kind, equals, value = device.partition("=")
    wanted = device.removeprefix("/dev/")
    for volume, files in volumes:
        if equals:
            known = {"UUID": volume.uuid, "LABEL": volume.label, "PARTUUID": volume.partuuid}.get(kind)
            if known is not None and known.lower() == value.lower():
                return volume, files
        elif wanted in (volume.name, volume.device.removeprefix("/dev/")):
            return volume, files
    raise EntryError("no such volume", device=device[:128])


def find_file(volume: Volume, files: Files, path: str, key: str) -> tuple[FileRef, str]:
    """Return a file of a volume, and how it was found where that is not by its name alone.

    Raises EntryError for one that is not there, FetchError for one that leaves the volume.
    """
    ref = file_ref(volume.name, path, key)
    if files.exists(ref.path):
        return ref, ""
    if files.exists(f"/boot{ref.path}"):
        return ref.replace(path=f"/boot{ref.path}"), "its paths are relative to /boot, which is no volume of its own"
    raise EntryError("a file is not there", file=ref.path)


def printable_id(text: str) -> str:
    """Return an id without what would break a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:ID_SIZE_MAX])
