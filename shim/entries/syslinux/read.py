"""From the configurations of volumes to entries: the first menu's default first, then the order of the menus."""

from __future__ import annotations

from shim.entries.reading import Reading
from shim.entries.syslinux.grammar import parse_configuration
from shim.entries.syslinux.limits import CHAIN_MAX, FILE_SIZE_MAX, NOTES_MAX, Budget
from shim.entries.syslinux.menu import Menus, timeout_of
from shim.entries.syslinux.paths import resolve
from shim.errors import ShimError
from shim.model import Entry, FileRef, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.entries.syslinux import Variant
    from shim.entries.syslinux.syntax import Configuration
    from shim.model import Volume
    from shim.ports import Files

SYSTEMS = {"isolinux": "iso", "pxelinux": "pxe"}
MISSING_MAX = 16


def read_configurations(
    found: Sequence[tuple[Volume, Files, Variant, str]], problems: list[Problem]
) -> Reading:
    """Return the entries of configurations, each that no earlier one of its volume led to or says, too."""
    entries: list[Entry] = []
    timeout: float | None = None
    places: dict[str, Place] = {}
    for volume, files, variant, path in found:
        place = places.setdefault(volume.name, Place(volume, files))
        place.system = SYSTEMS.get(variant.name, "sys")
        base = variant.base if variant.base is not None else path.rpartition("/")[0]
        try:
            configuration = place.parse(path, base)
            if configuration is None:
                continue
            more = Menus(place, configuration, base, path).entries()
        except ShimError as problem:
            problems.append(_located(problem, volume, path))
            continue
        entries += place.fresh(more)
        waits = timeout_of(configuration)
        timeout = waits if timeout is None else timeout
    problems += [problem for place in places.values() for problem in place.problems]
    numbered = tuple(entry.replace(menu_position=number) for number, entry in enumerate(entries))
    return Reading(entries=numbered, problems=tuple(problems), timeout=timeout)


def _located(problem: ShimError, volume: Volume, path: str) -> Problem:
    """Say where a configuration went too far, or that it cannot be read."""
    facts = problem.facts
    file, line = facts.pop("file", None) or path, facts.pop("line", 0)
    return Problem(source=f"{volume.name}:{file}" + (f":{line}" if line else ""), error=str(problem))


class Place:
    """A volume whose configurations are read, and what they share: limits, problems, what was read already."""

    def __init__(self, volume: Volume, files: Files) -> None:
        self.volume, self.files = volume, files
        self.system = "sys"
        self.budget = Budget()
        self.problems: list[Problem] = []
        self.depth = 0
        self._read: set[tuple[str, str]] = set()
        self._known: set[object] = set()
        self._missing: set[str] = set()
        self._there: dict[str, bool] = {}

    def parse(self, path: str, base: str) -> Configuration | None:
        """Return what a file says; None where the same file with the same paths was read already.

        Raises ShimError for one that cannot be read, is no text or wants too much.
        """
        if (path, base) in self._read or self.depth >= CHAIN_MAX:
            return None
        data = self.files.read(path, FILE_SIZE_MAX)

        def include(name: str) -> tuple[str, bytes] | None:
            try:
                found = resolve(name, base)
                return (found, self.files.read(found, FILE_SIZE_MAX)) if self.files.exists(found) else None
            except ShimError as problem:
                self.problem(path, str(problem))
                return None

        configuration = parse_configuration(path, data, include, self.budget)
        self._read.update((file, base) for file in configuration.files)
        self._tell(path, configuration)
        return configuration

    def _tell(self, path: str, configuration: Configuration) -> None:
        missing = [file for file in configuration.missing if file not in self._missing]
        self._missing.update(missing)
        if missing:
            shown = ", ".join(missing[:MISSING_MAX]) + ("…" if len(missing) > MISSING_MAX else "")
            self.problem(path, f"{len(missing)} files that it includes are not there: {shown}")
        for place, sentence in configuration.notes:
            self.problem(place, sentence)

    def problem(self, place: str, sentence: str) -> None:
        """Keep what was passed over, as much of it as people read."""
        if len(self.problems) < NOTES_MAX:
            self.problems.append(Problem(source=f"{self.volume.name}:{place}", error=sentence))

    def exists(self, path: str) -> bool:
        if path not in self._there:
            self._there[path] = self.files.exists(path)
        return self._there[path]

    def fresh(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that are not in the list yet: an ISO carries its menu for more than one loader."""
        kept = []
        for entry in entries:
            key = (entry.id, entry.title, entry.kernel, entry.initrd, entry.modules, entry.cmdline, entry.devicetree,
                   entry.devicetree_overlay, entry.hidden)
            if key not in self._known:
                self._known.add(key)
                kept.append(entry)
        return kept

    def ref(self, path: str) -> FileRef:
        return FileRef(volume=self.volume.name, path=path)
