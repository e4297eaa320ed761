"""Boot Loader Specification, type 1: one text file an entry. Spec: UAPI.1, "Type #1"."""

from __future__ import annotations

from shim.entries.counting import split_counter
from shim.entries.reading import CONTROLS, Reading, file_ref
from shim.errors import EntryError, FetchError, FormatError, ShimError
from shim.formats.bls import FILE_SIZE_MAX, parse_lines
from shim.model import Entry, FileRef, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.model import Volume
    from shim.ports import Files

# On a partition of its own, /loader/entries; in a root file system without one, /boot/loader/entries.
DIRECTORIES = ("/loader/entries", "/boot/loader/entries")
SUFFIX = ".conf"
ENTRIES_MAX = 1000
TEXTS = {"title": "title", "version": "version", "machine-id": "machine_id", "sort-key": "sort_key",
         "architecture": "architecture"}
SINGLE_FILES = {"linux": "linux", "uki": "uki", "efi": "efi", "devicetree": "devicetree", "multiboot": "multiboot"}
STARTED = ("linux", "uki", "efi", "multiboot")
MANY_FILES = {"initrd": "initrd", "module": "modules"}
# Where `bootshim install` puts the boot shim: an entry for it is for firmware and other loaders, here it is a circle.
OWN_IMAGE = "/efi/bootshim/bootshim.efi"
# Keys of the Fedora and openSUSE variants that mean nothing without GRUB.
PASSED_OVER = ("grub_users", "grub_arg", "grub_class", "grub_hotkey", "id", "variables")


def read_bls1(volume: Volume, files: Files) -> Reading:
    """Return the entries of a volume's loader/entries; a file that makes no sense is a problem."""
    entries: list[Entry] = []
    known: dict[str, Entry] = {}
    problems: list[Problem] = []
    for directory in DIRECTORIES:
        names = [name for name in files.names(directory) or () if _is_entry(name)]
        if len(names) > ENTRIES_MAX:
            problems.append(Problem(
                source=f"{volume.name}:{directory}", error=f"only the first {ENTRIES_MAX} of {len(names)} are read"))
        for name in names[:ENTRIES_MAX]:
            path = f"{directory}/{name}"
            try:
                entry = _read(volume, files, directory, name)
                if not _same(entry, known.setdefault(entry.id, entry)):
                    entries.append(entry)
            except ShimError as problem:
                problems.append(Problem(source=f"{volume.name}:{path}", error=str(problem)))
    return Reading(entries=tuple(entries), problems=tuple(problems))


def _is_entry(name: str) -> bool:
    return name.lower().endswith(SUFFIX) and not name.startswith(".")


def _same(left: Entry, right: Entry) -> bool:
    """Say whether two entries are one, read twice: many a partition for /boot has a link boot to itself."""
    apart: dict[str, Any] = {"source": "", "trace": (), "configuration": ()}
    return left is not right and left.replace(**apart) == right.replace(**apart)


def _read(volume: Volume, files: Files, directory: str, name: str) -> Entry:
    path = f"{directory}/{name}"
    try:
        data = files.read(path, FILE_SIZE_MAX)
    except FetchError as problem:
        raise EntryError("the entry cannot be read", problem=str(problem)) from problem
    plain, left, done = split_counter(name, name[-len(SUFFIX) :])
    given = _Fields(volume.name)
    for line in parse_lines(data):
        given.take(line.key, line.value, line.number)
    entry = given.entry(
        id=plain, dialect="bls1", volume=volume.name, source=f"{path}:1", tries_left=left, tries_done=done,
        configuration=(FileRef(volume=volume.name, path=path),),
    )
    entry = entry.replace(title=entry.title or plain).traced(f"read from {volume.name}:{path}")
    if left is not None:
        entry = entry.traced(f"boot counting: {left} tries left, {done} done")
    if directory != DIRECTORIES[0]:
        entry = _below_boot(entry, files)
    for sentence in given.notes:
        entry = entry.traced(sentence)
    return entry


class _Fields:
    """The keys of one entry, collected line by line."""

    def __init__(self, volume: str) -> None:
        self.volume = volume
        self.values: dict[str, Any] = {}
        self.files: dict[str, Any] = {}
        self.options: list[str] = []
        self.notes: list[str] = []
        self.hidden: str | None = None

    def take(self, key: str, value: str, number: int) -> None:
        """Take a line in. Raises FormatError for a key without a value, EntryError for a path that climbs."""
        if key in PASSED_OVER:
            return
        if not value and key != "options":
            raise FormatError("a key without a value", line=number, key=key)
        try:
            self._take(key, value, number)
        except EntryError as problem:
            raise problem.about(line=number) from None

    def _take(self, key: str, value: str, number: int) -> None:
        if key in TEXTS:
            self._once(TEXTS[key], value, key, number)
        elif key in SINGLE_FILES:
            self._once(SINGLE_FILES[key], file_ref(self.volume, value, key), key, number)
        elif key in MANY_FILES:
            field = MANY_FILES[key]
            first, *more = value.split()
            self.files[field] = (*self.files.get(field, ()), file_ref(self.volume, first, key))
            if more and key == "initrd":
                self.files[field] += tuple(file_ref(self.volume, word, key) for word in more)
                self.notes.append(f"line {number}: several initrds on one line are taken in their order")
        elif key == "devicetree-overlay":
            refs = tuple(file_ref(self.volume, word, key) for word in value.split())
            self.files["devicetree_overlay"] = (*self.files.get("devicetree_overlay", ()), *refs)
        elif key == "options":
            if not CONTROLS.isdisjoint(value):
                raise FormatError("a control character in the command line", line=number)
            self.options.append(value)
        elif key == "profile":
            if not value.isdigit() or len(value) > 4:
                raise FormatError("a profile is a number", line=number, found=value)
            self._once("profile", int(value), key, number)
        elif key == "uki-url":
            self.hidden = "it is fetched from the network, which this boot does not do"
        elif key == "extra":
            self.notes.append(f"line {number}: extra resources are not handed over: {value[:256]}")
        else:
            self.notes.append(f"line {number}: the key {key[:64]} is not known and was passed over")

    def _once(self, field: str, value: object, key: str, number: int) -> None:
        if field in self.values:
            self.notes.append(f"line {number}: {key} comes again: the first one counts")
        self.values.setdefault(field, value)

    def entry(self, **known: Any) -> Entry:
        """Return the entry. Raises EntryError when nothing is started, or more than one thing is."""
        started = [key for key in STARTED if key in self.values]
        if self.hidden is None and not started:
            raise EntryError("nothing to start: no linux, uki, efi or multiboot key")
        if len(started) > 1:
            raise EntryError("more than one thing to start", keys=" ".join(started))
        options = " ".join(option for option in self.options if option)
        cmdline: str | None = options
        if "uki" in self.values and not self.options:
            cmdline = None  # the UKI's own
        hidden = self.hidden
        own = self.values.get("efi")
        if own is not None and own.path.lower() == OWN_IMAGE:
            hidden = hidden or "it is the boot shim itself"
        if "$" in options and any(word.startswith("$") for word in options.split()):
            hidden = hidden or "its options name a variable of GRUB"
        return Entry(cmdline=cmdline, hidden=hidden, **known, **self.values, **self.files)


def _below_boot(entry: Entry, files: Files) -> Entry:
    """Take paths that are relative to /boot as such, where the files are there and not at the root."""

    def settled(ref: FileRef | None) -> FileRef | None:
        if ref is None or files.exists(ref.path) or not files.exists(f"/boot{ref.path}"):
            return ref
        return ref.replace(path=f"/boot{ref.path}")

    moved = entry.replace(
        **{key: settled(getattr(entry, key)) for key in SINGLE_FILES.values()},
        initrd=tuple(settled(ref) or ref for ref in entry.initrd),
    )
    return entry if moved == entry else moved.traced("its paths are relative to /boot, which is no volume of its own")
