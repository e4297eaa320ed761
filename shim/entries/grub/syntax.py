"""What the parser of GRUB's script makes: nodes with the place that they stand at.

Plain slotted classes, not `Value`s: there are ten thousands of them in a long grub.cfg.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Part = tuple[int, str]
    Word = str | tuple[Part, ...]  # a plain text stands for itself

# The kinds of a word's parts. A bare text keeps its backslashes: they are taken away when it is expanded.
BARE, QUOTED, VARIABLE, QUOTED_VARIABLE = range(4)


class Node:
    """A statement, and where it is: a path with its device, and a line from 1."""

    __slots__ = ("line", "path")

    def __init__(self, path: str, line: int) -> None:
        self.path, self.line = path, line


class Command(Node):
    """Words, and the block behind them."""

    __slots__ = ("block", "words")

    def __init__(self, path: str, line: int, words: Sequence[Word], block: Sequence[Node] | None) -> None:
        super().__init__(path, line)
        self.words, self.block = words, block


class If(Node):
    """Conditions with what is done then, and what is done otherwise."""

    __slots__ = ("clauses", "otherwise")

    def __init__(self, path: str, line: int, clauses: Sequence[tuple[Sequence[Node], Sequence[Node]]],
                 otherwise: Sequence[Node]) -> None:
        super().__init__(path, line)
        self.clauses, self.otherwise = clauses, otherwise


class For(Node):
    """A variable that goes through words."""

    __slots__ = ("body", "name", "words")

    def __init__(self, path: str, line: int, name: str, words: Sequence[Word], body: Sequence[Node]) -> None:
        super().__init__(path, line)
        self.name, self.words, self.body = name, words, body


class While(Node):
    """A loop while a condition holds, or until it does."""

    __slots__ = ("body", "condition", "until")

    def __init__(self, path: str, line: int, condition: Sequence[Node], body: Sequence[Node], until: bool) -> None:
        super().__init__(path, line)
        self.condition, self.body, self.until = condition, body, until


class Function(Node):
    """A name for a block."""

    __slots__ = ("body", "name")

    def __init__(self, path: str, line: int, name: str, body: Sequence[Node]) -> None:
        super().__init__(path, line)
        self.name, self.body = name, body
