"""GRUB script's grammar: from tokens to nodes, one line with all that it opens at a time.

GRUB runs a line before it reads the next, and a mistake costs the line that it is on; so it is here.
"""

from __future__ import annotations

from shim.entries.grub.lexer import END, NEWLINE, WORD, Lexer, ScriptError, is_name
from shim.entries.grub.syntax import Command, For, Function, If, While

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from shim.entries.grub.lexer import Token
    from shim.entries.grub.limits import Budget
    from shim.entries.grub.syntax import Node, Word

KEYWORDS = frozenset({"case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "select", "then",
                      "until", "while", "function"})


class Parser:
    """A source, unit by unit."""

    def __init__(self, lexer: Lexer, budget: Budget) -> None:
        self._lexer, self._budget = lexer, budget
        self._ahead: Token | None = None

    def unit(self) -> list[Node] | None:
        """Return the statements of the next line and of what it opens, None at the end.

        Raises ScriptError for what is no script; the next call goes on behind that line.
        """
        depth = self._budget.depth
        try:
            return self._unit()
        except ScriptError:
            self._budget.depth = depth
            ahead, self._ahead = self._ahead, None
            if ahead is None or ahead[0] != NEWLINE:
                self._lexer.skip_line()
            raise

    def _unit(self) -> list[Node] | None:
        self._newlines()
        if self._peek()[0] == END:
            return None
        nodes = []
        while True:
            nodes.append(self._statement())
            if self._is(";"):
                self._take()
                if self._peek()[0] not in (NEWLINE, END):
                    continue
            if self._peek()[0] not in (NEWLINE, END):
                self._wrong()
            self._take()
            return nodes

    def _peek(self) -> Token:
        if self._ahead is None:
            self._ahead = self._lexer.take()
        return self._ahead

    def _take(self) -> Token:
        token = self._peek()
        self._ahead = None
        return token

    def _is(self, *texts: str) -> bool:
        """Say whether one of these signs or unquoted words comes next."""
        return self._peek()[1] in texts and self._peek()[0] != END

    def _expect(self, text: str, opened: int) -> None:
        if not self._is(text):
            self._wrong(wanted=text, opened_in_line=opened)
        self._take()

    def _wrong(self, **facts: object) -> None:
        kind, word, line = self._peek()
        found = END if kind == END else word if isinstance(word, str) else "a word"
        raise ScriptError("GRUB's grammar does not allow this", file=self._lexer.path, line=line,
                          found=repr(found[:64]), **facts)

    def _newlines(self) -> None:
        while self._peek()[0] == NEWLINE:
            self._take()

    def _statement(self) -> Node:
        if self._peek()[0] == END:
            self._wrong()
        if not self._is(*COMPOUND):
            return self._command()
        self._budget.line, self._budget.path = self._peek()[2], self._lexer.path
        self._budget.deeper()
        _kind, word, line = self._take()
        node = COMPOUND[str(word)](self, line)
        self._budget.depth -= 1
        return node

    def _statements(self, ends: Collection[str], opened: int, *, delimited: bool = True) -> list[Node]:
        """Return one statement or more, up to a word or sign of `ends`, which is left. A ; stands behind one only."""
        nodes = []
        self._newlines()
        while True:
            nodes.append(self._statement())
            had_delimiter = self._is(";", NEWLINE)
            if self._is(";"):
                self._take()
            self._newlines()
            if self._is(*ends) and (had_delimiter or not delimited):
                return nodes
            if not had_delimiter or self._peek()[0] == END:
                self._wrong(opened_in_line=opened)

    def _command(self) -> Node:
        kind, word, line = self._peek()
        if kind != WORD or (isinstance(word, str) and word in KEYWORDS):
            self._wrong()
        words = self._words()
        block = None
        if self._is("{"):
            self._budget.line, self._budget.path = line, self._lexer.path
            self._budget.deeper()
            opened = self._take()[2]
            block = self._statements(("}",), opened, delimited=False)
            self._take()
            self._budget.depth -= 1
        return Command(self._lexer.path, line, words, block)

    def _words(self) -> tuple[Word, ...]:
        words = []
        while self._peek()[0] == WORD:
            words.append(self._take()[1])
        return tuple(words)

    def _if(self, line: int) -> Node:
        clauses, otherwise = [], []
        while True:
            condition = self._statements(("then",), line)
            self._take()
            clauses.append((condition, self._statements(("elif", "else", "fi"), line)))
            found = self._take()[1]
            if found == "else":
                otherwise = self._statements(("fi",), line)
                self._take()
            if found != "elif":
                return If(self._lexer.path, line, clauses, otherwise)

    def _for(self, line: int) -> Node:
        name = self._name()
        self._expect("in", line)
        words = self._words()
        if not self._is(";", NEWLINE):
            self._wrong(opened_in_line=line)
        self._take()
        self._newlines()
        self._expect("do", line)
        body = self._statements(("done",), line)
        self._take()
        return For(self._lexer.path, line, name, words, body)

    def _while(self, line: int, *, until: bool = False) -> Node:
        condition = self._statements(("do",), line)
        self._take()
        body = self._statements(("done",), line)
        self._take()
        return While(self._lexer.path, line, condition, body, until)

    def _until(self, line: int) -> Node:
        return self._while(line, until=True)

    def _function(self, line: int) -> Node:
        """GRUB takes functions at the top only; live systems define them inside `if`, and so they are taken here."""
        name = self._name()
        self._newlines()
        self._expect("{", line)
        body = self._statements(("}",), line)
        self._take()
        return Function(self._lexer.path, line, name, body)

    def _name(self) -> str:
        word = self._peek()[1]
        if not is_name(word) or word in KEYWORDS:
            self._wrong()
        return str(self._take()[1])


COMPOUND = {"if": Parser._if, "for": Parser._for, "while": Parser._while, "until": Parser._until,
            "function": Parser._function}
