"""What a script of GRUB may use up before it is refused: steps, depth, size. GRUB itself has no such limits."""

from __future__ import annotations

from shim.errors import EntryError

SOURCE_SIZE_MAX = 2 << 20  # one file
SOURCES_SIZE_MAX = 4 << 20  # all files that the configurations of a volume lead to, and what is evaluated
SOURCES_MAX = 256
TOKENS_MAX = 250_000
STEPS_MAX = 100_000
BYTES_A_STEP = 64  # what is expanded or copied costs steps, too
NESTING_MAX = 48  # blocks in blocks, functions in functions, files in files: all together
VALUE_SIZE_MAX = 64 << 10  # a variable, an argument
ARGUMENTS_SIZE_MAX = 256 << 10
ARGUMENTS_MAX = 16 << 10
VARIABLES_MAX = 4096
FUNCTIONS_MAX = 1024
ENTRIES_MAX = 2000
MENUS_DEEP_MAX = 8
TRACE_MAX = 16
SENTENCE_MAX = 240
PROBLEMS_MAX = 32
MISTAKES_MAX = 2000  # lines that are no script
GLOB_MAX = 4096


class Exhausted(EntryError):
    """A script that wants more than it may have. Nothing of its configuration is kept."""


class Budget:
    """What is left of the limits, for all configurations of one volume and everything that they lead to."""

    __slots__ = ("depth", "entries", "line", "path", "size", "sources", "steps", "tokens")

    def __init__(self) -> None:
        self.steps, self.tokens = STEPS_MAX, TOKENS_MAX
        self.size, self.sources, self.depth, self.entries = 0, 0, 0, 0
        self.path, self.line = "", 0

    def spend(self, size: int = 0) -> None:
        """Take a step, or as many as `size` bytes cost. Raises Exhausted when none are left."""
        self.steps -= 1 + size // BYTES_A_STEP
        if self.steps < 0:
            raise self.refusal("the script takes too many steps", limit=STEPS_MAX)

    def token(self, line: int) -> None:
        """Count a word or sign of the source."""
        self.tokens -= 1
        if self.tokens < 0:
            self.line = line
            raise self.refusal("the script has too many words", limit=TOKENS_MAX)

    def source(self, path: str, size: int) -> None:
        """Count a file, or a text that is evaluated."""
        self.sources += 1
        self.size += size
        if self.sources > SOURCES_MAX:
            raise self.refusal("the script reads too many files", limit=SOURCES_MAX)
        if size > SOURCE_SIZE_MAX or self.size > SOURCES_SIZE_MAX:
            raise self.refusal("the script is too long", source=path, limit=SOURCE_SIZE_MAX, found=size)

    def deeper(self) -> None:
        """Go into a block, a function or a file."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.refusal("the script is nested too deep", limit=NESTING_MAX)

    def value(self, size: int) -> None:
        """Count the bytes of a value or an argument."""
        if size > VALUE_SIZE_MAX:
            raise self.refusal("a value is too long", limit=VALUE_SIZE_MAX, found=size)
        self.spend(size)

    def refusal(self, reason: str, **facts: object) -> Exhausted:
        """Return the error that ends the reading, with the place that was reached."""
        return Exhausted(reason, file=self.path, line=self.line, **facts)
