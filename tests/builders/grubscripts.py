"""Scripts of GRUB that nobody wrote: random statements, for GRUB and for us to run. The same seed, the same script."""

from __future__ import annotations

import random

PLAIN = ("a", "b", "''", '""', "1", "10", "x\\ y", "'}'", "if", "file", "k-2", "k-10", "a#b", "\\\\", "\\;", "a*", "?",
         "(", ")")
OPERATORS = ("-eq", "=", "!=", "==", "-lt", "-pgt", "!", "-n", "-z", "-o", "-a", "-f", "-e")
VARIABLES = ("$v", '"$v"', "'$v'", "${w}", '"a $v b"', "$v$w", "$unset", "\\$v", "x$v", '"$w"c', "$?", "$#", "$1", "$@",
             '"$@"', "$*", '"$*"', '"$@ x"', "y$@z")
VALUES = ('"p q"', "z", "", '" l m "', '"a*"', "1", "''", "ww")
SIMPLE = ("true", "false", "! true", "! false", "shift", "break", "continue", "break 2", "return", "return 2",
          "setparams p q", "unset v", "export v", "eval false", 'eval "set v=ev"', 'eval "echo :e $v"')


class Writer:
    """Writes a script."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.in_function = False

    def script(self) -> str:
        """Return variables, a function, and statements that use them."""
        self.in_function = True
        function = self.block(1)
        self.in_function = False
        v, w = self.random.choice(VALUES), self.random.choice(VALUES)
        return (f'set v={v}\nset w={w}\nfunction f {{\n{function}\necho ":f" "$#" "$1"\n}}\n'
                f'{self.block(2)}\n{self.block(2)}\necho ":end $? <$v> <$w>"\n')

    def block(self, depth: int) -> str:
        return "\n".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def words(self) -> str:
        return " ".join(self.word() for _ in range(self.random.randint(0, 4)))

    def word(self) -> str:
        return self.random.choice(self.random.choice((PLAIN, OPERATORS, VARIABLES)))

    def statement(self, depth: int) -> str:
        """Return a statement; one that holds others only where there is depth left."""
        kinds = [self.echo, self.set, self.test, self.simple, self.call]
        kinds += [self.if_, self.for_, self.while_] if depth else []
        return self.random.choice(kinds)(depth)

    def echo(self, _depth: int) -> str:
        return f'echo ":{self.random.randint(0, 99)}" {self.words()}'

    def set(self, _depth: int) -> str:
        return f"{self.random.choice(('set ', ''))}{self.random.choice('vw')}={self.word()}"

    def test(self, _depth: int) -> str:
        return self.random.choice(("test {}", "! test {}", "[ {} ]")).format(self.words())

    def simple(self, _depth: int) -> str:
        return self.random.choice(SIMPLE)

    def call(self, _depth: int) -> str:
        return self.echo(0) if self.in_function else f"f {self.words()}"

    def if_(self, depth: int) -> str:
        middle = f"\nelif {self.statement(0)}; then\n{self.block(depth - 1)}" if self.random.random() < 0.3 else ""
        ending = f"\nelse\n{self.block(depth - 1)}" if self.random.random() < 0.5 else ""
        return f"if {self.statement(0)}; then\n{self.block(depth - 1)}{middle}{ending}\nfi"

    def for_(self, depth: int) -> str:
        return f'for i in {self.words()}; do\n{self.block(depth - 1)}\necho ":i" "$i"\ndone'

    def while_(self, depth: int) -> str:
        return f'set n=\nwhile [ "$n" != xxx ]; do\nset n=x$n\n{self.block(depth - 1)}\ndone'
