"""What lies beside a UKI for its stub: add-ons, credentials, extension images. Spec: systemd-stub(7), systemd 257.

Nothing of it was asked for by the entry, so what cannot be read is told and left out. It is all on the UKI's volume.
"""

from __future__ import annotations

from shim.errors import FetchError
from shim.formats.stub import GLOBAL_ADDONS, GLOBAL_CREDENTIALS, ExtraKind, extra_directory, is_plain, kind_of
from shim.model import Artifact, Extra, FileRef, Problem, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.ports import Files

    Fetch = Callable[[Role, FileRef], Artifact]

ROLES = {
    ExtraKind.ADDON: Role.ADDON, ExtraKind.CREDENTIAL: Role.CREDENTIAL, ExtraKind.GLOBAL_CREDENTIAL: Role.CREDENTIAL,
    ExtraKind.SYSEXT: Role.EXTENSION, ExtraKind.CONFEXT: Role.EXTENSION,
}  # fmt: skip


def find_beside(
    uki: FileRef, files: Files, fetch: Fetch, count_max: int
) -> tuple[tuple[Extra, ...], tuple[Problem, ...]]:
    """Return what lies beside a UKI, read, in the order in which it takes effect, and what could not be read.

    Global add-ons come before those of the UKI; in a directory the order is that of the names, character by character.
    """
    problems: list[Problem] = []
    found = [*_of(_listed(GLOBAL_ADDONS, uki, files, problems), ExtraKind.ADDON)]
    own = _listed(extra_directory(uki.path), uki, files, problems)
    for kind in (ExtraKind.ADDON, ExtraKind.CREDENTIAL):
        found += _of(own, kind)
    shared = _of(_listed(GLOBAL_CREDENTIALS, uki, files, problems), ExtraKind.CREDENTIAL)
    found += [(ExtraKind.GLOBAL_CREDENTIAL, ref) for _, ref in shared]
    for kind in (ExtraKind.SYSEXT, ExtraKind.CONFEXT):
        found += _of(own, kind)
    if len(found) > count_max:
        text = f"only the first {count_max} of {len(found)} files beside it are read"
        problems.append(Problem(source=str(uki), error=text))
    return tuple(_read(found[:count_max], fetch, problems)), tuple(problems)


def _listed(
    directory: str, uki: FileRef, files: Files, problems: list[Problem]
) -> list[tuple[ExtraKind, FileRef]]:
    """Return the files of a directory that are of any kind."""
    try:
        names = sorted(files.names(directory) or ())
    except FetchError as problem:
        problems.append(Problem(source=f"{uki.volume}:{directory}", error=str(problem)))
        return []
    kinds = [(kind, name) for name in names if (kind := kind_of(name))]
    plain = [(kind, FileRef(volume=uki.volume, path=f"{directory}/{name}")) for kind, name in kinds if is_plain(name)]
    if len(plain) < len(kinds):
        text = f"{len(kinds) - len(plain)} files are left out: their names are not plain ASCII, or too long"
        problems.append(Problem(source=f"{uki.volume}:{directory}", error=text))
    return plain


def _of(listed: list[tuple[ExtraKind, FileRef]], kind: ExtraKind) -> list[tuple[ExtraKind, FileRef]]:
    return [(known, ref) for known, ref in listed if known is kind]


def _read(found: list[tuple[ExtraKind, FileRef]], fetch: Fetch, problems: list[Problem]) -> list[Extra]:
    extras = []
    for kind, ref in found:
        try:
            artifact = fetch(ROLES[kind], ref)
        except FetchError as problem:
            problems.append(Problem(source=str(ref), error=f"the {kind.value} is left out: {problem}"))
            continue
        extras.append(Extra(kind=kind, name=ref.path.rpartition("/")[2], artifact=artifact))
    return extras
