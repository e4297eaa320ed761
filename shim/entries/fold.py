"""One entry for what several configurations describe: Fedora has BLS files, and a grub.cfg that takes them in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from shim.model import Entry

MENU_FIELDS = ("menu_path", "menu_position", "menu_default")


def fold(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries without those of a menu that start the same as an earlier one, which says so.

    Entries of the Boot Loader Specification stay apart, as in systemd-boot: each has a name that a default may go by.
    What is folded still goes by its own. Where one of the two is hidden, the other one stays: GRUB knows the variables
    in a BLS file, systemd-boot does not.
    """
    kept: list[Entry] = []
    places: dict[object, int] = {}
    for entry in entries:
        keys = [key for key in _keys(entry) if key is not None]
        at = next((places[key] for key in keys if key in places), None)
        if at is None or entry.menu_position is None or kept[at].dialect == entry.dialect:
            for key in keys:
                places.setdefault(key, len(kept))
            kept.append(entry)
            continue
        kept[at] = _joined(kept[at], entry)
    return kept


def _keys(entry: Entry) -> tuple[object, object]:
    """Return what makes two entries the same: the file that they come from, or what they start and how."""
    started = entry.kernel
    same = None if started is None else (
        started, entry.profile or 0, entry.initrd, entry.devicetree, " ".join((entry.cmdline or "").split()))
    source = (entry.volume, entry.source) if entry.profile is None and not entry.source.endswith(":0") else None
    return source, same


def _joined(first: Entry, second: Entry) -> Entry:
    """Return the entry that stays, with the sources of both and its place in a menu."""
    if first.hidden is not None and second.hidden is None:
        return second.traced(f"{first.dialect} reads it, too, from {first.source}, and would not start it",
                             aliases=(*second.aliases, first.id))
    joined = first.traced(f"{second.dialect} has it, too: {second.source}", aliases=(*first.aliases, second.id))
    if first.menu_default is None and second.menu_default is not None:
        joined = joined.replace(menu_default=second.menu_default)
    return joined
