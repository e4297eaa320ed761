"""From a grub.cfg to entries: one GRUB for each configuration that firmware could start."""

from __future__ import annotations

from shim.entries.grub.commands import commands
from shim.entries.grub.devices import Devices, Place
from shim.entries.grub.interpreter import Interpreter
from shim.entries.grub.limits import SOURCE_SIZE_MAX, Budget
from shim.entries.grub.menu import DIALECT, read_menu, timeout_of, with_loaded
from shim.entries.reading import Reading
from shim.errors import ShimError
from shim.model import Entry, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Volume
    from shim.ports import Files

CONFIGURATIONS_MAX = 32
LEADING_MAX = 8  # sentences of what led from one configuration to the next
# GRUB's names for what UEFI calls otherwise: $grub_cpu.
CPUS = {"x64": "x86_64", "ia32": "i386", "aa64": "arm64"}


def read_configurations(
    volumes: Sequence[tuple[Volume, Files]], found: Sequence[tuple[Volume, Files, str]], problems: list[Problem],
    architecture: str,
) -> Reading:
    """Return the entries of configurations, each that no earlier one led to, or had the same text on its volume."""
    entries: list[Entry] = []
    timeout: float | None = None
    seen: set[object] = set()
    budgets: dict[str, Budget] = {}  # a volume that wants too much takes nothing from another
    if len(found) > CONFIGURATIONS_MAX:
        problems.append(Problem(source=f"{found[CONFIGURATIONS_MAX][0].name} (grub)",
                                error=f"only the first {CONFIGURATIONS_MAX} of {len(found)} configurations are read"))
    for volume, files, path in found[:CONFIGURATIONS_MAX]:
        place = Place(volume=volume, files=files, path=path)
        try:
            text = (volume.name, files.read(path, SOURCE_SIZE_MAX))
            if str(place) in seen or text in seen:
                continue
            seen.add(text)
            run, more, waits = read_configuration(
                volumes, place, budgets.setdefault(volume.name, Budget()), architecture)
        except ShimError as problem:
            problems.append(_located(problem, place))
            continue
        seen.update(run.files)
        problems += run.problems
        entries += more
        timeout = waits if timeout is None else timeout
    numbered = tuple(entry.replace(menu_position=number) for number, entry in enumerate(entries))
    return Reading(entries=numbered, problems=tuple(problems), timeout=timeout)


def _located(problem: ShimError, place: Place) -> Problem:
    """Say where a script went too far, or that it cannot be read."""
    facts = problem.facts
    file, line = facts.pop("file", None) or str(place), facts.pop("line", 0)
    return Problem(source=f"{file}:{line}" if line else str(file), error=str(problem))


def read_configuration(
    volumes: Sequence[tuple[Volume, Files]], place: Place, budget: Budget, architecture: str = "x64"
) -> tuple[Interpreter, list[Entry], float | None]:
    """Run one configuration. Raises ShimError for one that cannot be read or that wants too much.

    What any file says may decide what an entry is, so all that were read are the configuration of each.
    """
    devices = Devices(volumes, place.volume)
    run = Interpreter(devices, commands(), budget, CPUS.get(architecture, architecture))
    device = devices.name_of(place.volume)
    folder = place.path.rpartition("/")[0]
    where = (str(place), 0)
    run.environment.set("root", device, where)
    for name in ("prefix", "cmdpath"):
        run.environment.set(name, f"({device}){folder}", where)
    run.chain = run.menu.chain = (str(place),)
    run.run_file(place)
    menu = run.shown or run.menu
    notes = tuple(run.trace)
    if not menu.items:
        entry = _loaded_alone(run, place, notes)
        return run, _configured(run, [entry] if entry is not None else []), None
    leading = notes[:LEADING_MAX] if run.shown else ()
    waits = timeout_of(menu)
    entries = [entry.replace(trace=(*leading, *entry.trace)) for entry in read_menu(run, menu)]
    return run, _configured(run, entries), waits


def _configured(run: Interpreter, entries: list[Entry]) -> list[Entry]:
    configuration = tuple(run.devices.read_files.values())
    return [entry.replace(configuration=configuration) for entry in entries]


def _loaded_alone(run: Interpreter, place: Place, notes: tuple[str, ...]) -> Entry | None:
    """Return the entry of a configuration that loads a kernel without any menu."""
    if run.loaded is None or not run.loaded.kind:
        return None
    entry = Entry(id=place.path.lstrip("/"), dialect=DIALECT, volume=place.volume.name, source=f"{place.path}:1",
                  title=place.path, trace=notes, menu_default=f"{place.path}, which has no menu")
    return with_loaded(entry, run.loaded, None)
