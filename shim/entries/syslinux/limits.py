"""What a configuration of the SYSLINUX family may use up before it is refused. Spec: INCLUDE nests 16 deep there."""

from __future__ import annotations

from shim.errors import EntryError

FILE_SIZE_MAX = 2 << 20
FILES_SIZE_MAX = 4 << 20  # all files that the configurations of a volume lead to
FILES_MAX = 512
INCLUDES_MAX = 256
LINES_MAX = 100_000
LINE_SIZE_MAX = 64 << 10  # SYSLINUX itself cuts lines at 4095 bytes
DEEP_MAX = 16  # files in files, menus in menus
LABELS_MAX = 2000
NOTES_MAX = 64
CHAIN_MAX = 8  # labels that lead to labels, menus that are read instead of menus
CMDLINE_SIZE_MAX = 16 << 10
WORDS_MAX = 64  # initrds, modules, overlays of one label
MENUS_MAX = 16  # that one label is read from
TITLE_SIZE_MAX = 256


class Budget:
    """What is left of the limits, for all configurations of one volume and everything that they lead to."""

    __slots__ = ("files", "includes", "labels", "lines", "size")

    def __init__(self) -> None:
        self.files = self.includes = self.labels = self.lines = self.size = 0

    def include(self, path: str, number: int) -> None:
        """Count an include, whether its file is there or not. Raises EntryError when it is one too many."""
        self.includes += 1
        if self.includes > INCLUDES_MAX:
            raise EntryError("the configuration includes too many files", file=path, line=number, limit=INCLUDES_MAX)

    def file(self, path: str, size: int) -> None:
        """Count a file. Raises EntryError when there are too many of them, or too long ones."""
        self.files += 1
        self.size += size
        if self.files > FILES_MAX:
            raise EntryError("the configuration has too many files", file=path, limit=FILES_MAX)
        if size > FILE_SIZE_MAX or self.size > FILES_SIZE_MAX:
            raise EntryError("the configuration is too long", file=path, limit=FILE_SIZE_MAX, found=size)

    def line(self, path: str, number: int, size: int) -> None:
        """Count a line. Raises EntryError when it is too long, or one too many."""
        self.lines += 1
        if self.lines > LINES_MAX:
            raise EntryError("the configuration has too many lines", file=path, line=number, limit=LINES_MAX)
        if size > LINE_SIZE_MAX:
            raise EntryError("the line is too long", file=path, line=number, limit=LINE_SIZE_MAX, found=size)

    def label(self, path: str, number: int) -> None:
        """Count a label. Raises EntryError when it is one too many."""
        self.labels += 1
        if self.labels > LABELS_MAX:
            raise EntryError("the configuration has too many labels", file=path, line=number, limit=LABELS_MAX)
