"""GRUB script, run: nothing happens but that variables, menus and what would be loaded are noted.

A status is GRUB's error number: 0 is well. A command that is not known costs nothing, and its status is 0, as in GRUB.
"""

from __future__ import annotations

from shim.entries.grub.devices import Devices, Place
from shim.entries.grub.environment import first_environment
from shim.entries.grub.lexer import Lexer, ScriptError
from shim.entries.grub.limits import (
    FUNCTIONS_MAX,
    MISTAKES_MAX,
    PROBLEMS_MAX,
    SENTENCE_MAX,
    SOURCE_SIZE_MAX,
    TRACE_MAX,
    Budget,
)
from shim.entries.grub.parser import Parser
from shim.entries.grub.status import FAILED, MISSING, OK, WRONG
from shim.entries.grub.syntax import Command, For, Function, If, While
from shim.entries.grub.words import expand
from shim.errors import FormatError, ShimError
from shim.model import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shim.entries.grub.booting import Loaded
    from shim.entries.grub.environment import Environment
    from shim.entries.grub.menus import Item
    from shim.entries.grub.syntax import Node, Word

    Builtin = Callable[["Interpreter", list[str], Command], int]


class Menu:
    """Entries as they were defined, the variables that hold where the menu is shown, and the files that led to it."""

    __slots__ = ("chain", "environment", "items")

    def __init__(self, environment: Environment, chain: tuple[str, ...] = ()) -> None:
        self.items: list[Item] = []
        self.environment, self.chain = environment, chain


class Interpreter:
    """The state of one GRUB: its variables, functions, the menu that is being made, what is loaded."""

    def __init__(self, devices: Devices, commands: Mapping[str, Builtin], budget: Budget | None = None,
                 cpu: str = "x86_64") -> None:  # fmt: skip
        self.devices, self.commands = devices, commands
        self.budget = budget or Budget()
        self.budget.depth = 0
        self.environment = first_environment(self.budget, cpu)
        self.functions: dict[str, Function] = {}
        self.menu = Menu(self.environment)
        self.shown: Menu | None = None  # a menu that GRUB would show now
        self.loaded: Loaded | None = None
        self.ended = False  # GRUB shows a menu, boots, or leaves
        self.status = OK
        self.parameters: list[str] | None = None
        self.problems: list[Problem] = []
        self.trace: list[str] = []
        self.files: dict[str, Place] = {}  # what has been read, by the path that nodes have
        self.chain: tuple[str, ...] = ()  # the configurations that led to the menu that is being made
        self.reading: list[str] = []  # the files that are being run
        self.origins: dict[tuple[str, int], str] = {}  # what a value was taken from, by where it was set
        self._mistakes = 0
        self._loops, self._breaks, self._continues, self._returning = 0, 0, False, False

    @property
    def root(self) -> str:
        return self.environment.get("root") or ""

    def note(self, node: Node, sentence: str) -> None:
        """Remember what mattered for the entry, or the menu, that is being made."""
        if len(self.trace) < TRACE_MAX:
            self.trace.append(f"{self.shown_path(node.path)}:{node.line}: {sentence}"[:SENTENCE_MAX])
        self.budget.spend()

    def shown_path(self, path: str) -> str:
        """Return a path without its volume, where that is known."""
        place = self.files.get(path)
        return path if place is None else place.path

    def where(self, place: tuple[str, int]) -> str:
        """Return a place in a file for people."""
        path = self.shown_path(place[0])
        return f"{path}:{place[1]}" if place[1] else path

    def fail(self, node: Node, sentence: str, status: int = FAILED) -> int:
        """Note why a command failed, and return its status."""
        self.note(node, sentence)
        return status

    def mistake(self, problem: ScriptError) -> None:
        """Tell of a line that is no script. Raises Exhausted when there were too many."""
        self._mistakes += 1
        path, line = str(problem.facts.pop("file")), int(str(problem.facts.pop("line")))
        if self._mistakes > MISTAKES_MAX:
            self.budget.path, self.budget.line = path, line
            raise self.budget.refusal("too many lines are no script", limit=MISTAKES_MAX)
        self.problem(path, line, str(problem))

    def problem(self, path: str, line: int, sentence: str) -> None:
        """Tell of a mistake in the configuration."""
        source = f"{path}:{line}" if line else path
        if len(self.problems) < PROBLEMS_MAX and all(known.source != source for known in self.problems):
            self.problems.append(Problem(source=source, error=sentence[:SENTENCE_MAX]))

    def run_file(self, place: Place) -> int:
        """Run a file; it changes the variables and the menu that hold now."""
        path = str(place)
        if path in self.reading:
            self.problem(path, 0, "the file reads itself: passed over")
            return OK
        try:
            data = self.devices.read(place, SOURCE_SIZE_MAX)
        except ShimError as problem:
            self.problem(path, 0, str(problem))
            return MISSING
        self.budget.source(path, len(data))
        if b"\0" in data:
            at = data.index(b"\0")
            raise FormatError("a NUL byte in a boot configuration", file=path, line=data.count(b"\n", 0, at) + 1, at=at)
        folder = place.path.rpartition("/")[0]
        device = self.devices.name_of(place.volume)
        before = [(name, self.environment.get(name)) for name in ("config_file", "config_directory")]
        where = (path, 0)
        self.environment.set("config_file", f"({device}){place.path}", where)
        self.environment.set("config_directory", f"({device}){folder}", where)
        self.files[path] = place
        self.reading.append(path)
        status = self.run_text(Lexer(path, data.decode("utf-8", "replace"), self.budget, is_file=True))
        self.reading.pop()
        for name, value in before:
            if value is not None:
                self.environment.set(name, value, where)
        return status

    def run_text(self, lexer: Lexer) -> int:
        """Run a source to its end, each line as soon as it is read."""
        parser = Parser(lexer, self.budget)
        status = OK
        self.budget.deeper()
        while not (self.ended or self._returning):
            try:
                unit = parser.unit()
            except ScriptError as problem:
                self.mistake(problem)
                status = OK  # as in GRUB, which has printed its error by then
                continue
            if unit is None:
                break
            status = self.run(unit)
        self.budget.depth -= 1
        return status

    def run(self, nodes: Sequence[Node]) -> int:
        """Run statements; the status is the last one's."""
        status = OK
        for node in nodes:
            if self._breaks or self.ended:
                break
            self.budget.path, self.budget.line = node.path, node.line
            self.budget.spend()
            if isinstance(node, Command):
                status = self._command(node)
            else:
                self.budget.deeper()
                status = COMPOUND[type(node)](self, node)
                self.budget.depth -= 1
            self.status = status
            if self._returning:
                break
        return status

    def expand(self, words: Sequence[Word]) -> list[str]:
        return expand(words, self._lookup, self.parameters, self.budget, self.devices, self.root)

    def _lookup(self, name: str) -> str | None:
        return str(self.status) if name == "?" else self.environment.get(name)

    def _command(self, node: Command) -> int:
        words = self.expand(node.words)
        inverted = words[:1] == ["!"]
        if inverted:
            del words[0]
        if not words:
            return WRONG if inverted else OK
        status = self.call(words, node)
        if not inverted:
            return status
        return FAILED if status == OK else OK

    def call(self, words: list[str], node: Command) -> int:
        """Run a command of GRUB, a function, an assignment, or note that it is none of them."""
        name, args = words[0], words[1:]
        command = self.commands.get(name)
        if command is not None:
            return command(self, args, node)
        function = self.functions.get(name)
        if function is not None:
            return self.call_function(function, args)
        variable, equals, value = name.partition("=")
        if equals:
            if variable and not variable[0].isdigit() and variable not in ("#", "*", "@"):
                self.environment.set(variable, value, (node.path, node.line))
        else:
            self.note(node, f"{name[:64]} is no command that is known: passed over")
        return OK

    def call_function(self, function: Function, args: list[str]) -> int:
        """Run a function with parameters of its own."""
        before = self.parameters, self._loops
        self.parameters, self._loops = args, 0
        self.budget.deeper()
        status = self.run(function.body)
        self.budget.depth -= 1
        self.parameters, self._loops = before
        self._returning = False
        return status

    def _if(self, node: If) -> int:
        for condition, body in node.clauses:
            status = self.run(condition)
            if self._returning or self.ended:
                return status
            if self.status == OK:
                return self.run(body)
        return self.run(node.otherwise)

    def _for(self, node: For) -> int:
        status = OK
        self._loops += 1
        for value in self.expand(node.words):
            if self._continues and self._breaks == 1:
                self._breaks = 0
            if self._breaks or self.ended:
                break
            self.budget.spend()
            self.environment.set(node.name, value, (node.path, node.line))
            status = self.run(node.body)
            if self._returning:
                break
        self._loops -= 1
        self._breaks = max(self._breaks - 1, 0)
        return status

    def _while(self, node: While) -> int:
        status = OK
        self._loops += 1
        while not self.ended:
            self.budget.spend()
            status = self.run(node.condition)
            if self._returning or (status != OK) != node.until:
                break
            status = self.run(node.body)
            if self._continues and self._breaks == 1:
                self._breaks = 0
            if self._returning or self._breaks:
                break
        self._loops -= 1
        self._breaks = max(self._breaks - 1, 0)
        return status

    def _function(self, node: Function) -> int:
        if len(self.functions) >= FUNCTIONS_MAX:
            raise self.budget.refusal("the script defines too many functions", limit=FUNCTIONS_MAX)
        self.budget.spend(len(self.functions))
        self.functions = {**self.functions, node.name: node}  # a body of the menu may define its own
        return self.status

    def leave_loops(self, count: int, *, again: bool) -> None:
        """Break out of, or go on with, so many loops."""
        self._continues = again
        self._breaks = min(count, self._loops)

    def leave_function(self) -> bool:
        """Return from the function that is being run; False where there is none."""
        if self.parameters is None:
            return False
        self._returning = True
        return True

    def clear_flow(self) -> None:
        """Forget loops and returns: a body of the menu begins."""
        self._loops, self._breaks, self._continues, self._returning = 0, 0, False, False
        self.ended = False


COMPOUND: dict[type, Callable[..., int]] = {
    If: Interpreter._if, For: Interpreter._for, While: Interpreter._while, Function: Interpreter._function,
}
