"""GRUB's commands that work on variables and on the flow of a script."""

from __future__ import annotations

from shim.entries.grub.conditions import is_number, is_true, number
from shim.entries.grub.lexer import Lexer
from shim.entries.grub.options import VALUE, parse_options
from shim.entries.grub.regex import match
from shim.entries.grub.status import BAD_ARGUMENT, FAILED, OK, WRONG
from shim.entries.grub.syntax import QUOTED_VARIABLE, VARIABLE
from shim.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.entries.grub.interpreter import Interpreter
    from shim.entries.grub.syntax import Command


TRACED = ("default", "fallback")


def true(_run: Interpreter, _args: list[str], _node: Command) -> int:
    return OK


def false(_run: Interpreter, _args: list[str], _node: Command) -> int:
    return FAILED


def set_(run: Interpreter, args: list[str], node: Command) -> int:
    """set NAME=VALUE. Further words are passed over, as in GRUB."""
    if not args:
        return OK
    name, equals, value = args[0].partition("=")
    if not equals or not name:
        return run.fail(node, f"set {args[0][:64]} is no assignment", BAD_ARGUMENT)
    run.environment.set(name, value, (node.path, node.line))
    if name in TRACED:
        _remember_origin(run, node)
    return OK


def _remember_origin(run: Interpreter, node: Command) -> None:
    """Remember which variable of the environment block a default came from: the script may unset it again."""
    for word in node.words:
        for kind, text in () if isinstance(word, str) else word:
            place = run.environment.place(text) if kind in (VARIABLE, QUOTED_VARIABLE) else None
            if place is not None and not place[1] and run.environment.get(text):
                run.origins[node.path, node.line] = f"{text[:64]} of {run.shown_path(place[0]).rpartition(':')[2]}"


def unset(run: Interpreter, args: list[str], node: Command) -> int:
    if not args:
        return run.fail(node, "unset names no variable", BAD_ARGUMENT)
    run.environment.unset(args[0])
    return OK


def export(run: Interpreter, args: list[str], node: Command) -> int:
    if not args:
        return run.fail(node, "export names no variable", BAD_ARGUMENT)
    for name in args:
        run.environment.export(name, (node.path, node.line))
    return OK


def test(run: Interpreter, args: list[str], _node: Command) -> int:
    """test EXPRESSION, [ EXPRESSION ] and, which GRUB does not have, [[ EXPRESSION ]]."""
    words = args[:-1] if args[-1:] in (["]"], ["]]"]) else args
    return OK if is_true(words, run.devices, run.root) else FAILED


def eval_(run: Interpreter, args: list[str], node: Command) -> int:
    text = " ".join(args)
    run.budget.source(f"{node.path}:{node.line}", len(text))
    return run.run_text(Lexer(node.path, text, run.budget, node.line))


def break_(run: Interpreter, args: list[str], node: Command) -> int:
    return _leave(run, args, node, again=False)


def continue_(run: Interpreter, args: list[str], node: Command) -> int:
    return _leave(run, args, node, again=True)


def _leave(run: Interpreter, args: list[str], node: Command, *, again: bool) -> int:
    count = number(args[0]) if args else 1
    if count < 1 or len(args) > 1:
        return run.fail(node, "break and continue take the number of loops", BAD_ARGUMENT)
    run.leave_loops(count, again=again)
    return OK


def return_(run: Interpreter, args: list[str], node: Command) -> int:
    """return [STATUS], of a function."""
    if len(args) > 1 or (args and not is_number(args[0])) or not run.leave_function():
        return run.fail(node, "return takes a number, inside a function", BAD_ARGUMENT)
    return min(number(args[0]), 255) if args else run.status


def shift(run: Interpreter, args: list[str], _node: Command) -> int:
    count = number(args[0]) if args else 1
    if run.parameters is None:
        return OK
    if len(args) > 1 or not 0 <= count <= len(run.parameters):
        return BAD_ARGUMENT
    run.budget.spend(len(run.parameters))
    run.parameters = run.parameters[count:]
    return OK


def setparams(run: Interpreter, args: list[str], node: Command) -> int:
    if run.parameters is None:
        return run.fail(node, "setparams stands outside of any function", WRONG)
    run.parameters = args
    return OK


def read(run: Interpreter, args: list[str], node: Command) -> int:
    """read NAME: what a person types. Nobody does: an empty line."""
    for name in args[:1]:
        run.environment.set(name, "", (node.path, node.line))
    return OK


def time(run: Interpreter, args: list[str], node: Command) -> int:
    """time COMMAND: the command."""
    return run.call(args, node) if args else OK


def increment(run: Interpreter, args: list[str], node: Command) -> int:
    """increment NAME, of Red Hat's GRUB."""
    if len(args) != 1:
        return run.fail(node, "increment takes a variable", BAD_ARGUMENT)
    run.environment.set(args[0], str(number(run.environment.get(args[0]) or "") + 1), (node.path, node.line))
    return OK


def decrement(run: Interpreter, args: list[str], node: Command) -> int:
    """decrement NAME, likewise; not below 0."""
    if len(args) != 1:
        return run.fail(node, "decrement takes a variable", BAD_ARGUMENT)
    value = max(number(run.environment.get(args[0]) or "") - 1, 0)
    run.environment.set(args[0], str(value), (node.path, node.line))
    return OK


def regexp(run: Interpreter, args: list[str], node: Command) -> int:
    """regexp [--set [NUMBER:]NAME]... PATTERN TEXT."""
    given = parse_options(args, {"set": VALUE}, {"s": "set"})
    if given.wrong or len(given.words) != 2:
        return run.fail(node, given.wrong or "regexp takes a pattern and a text", BAD_ARGUMENT)
    try:
        groups = match(given.words[0], given.words[1], lambda states: run.budget.spend(states * 8))
    except FormatError as problem:
        return run.fail(node, str(problem))
    if groups is None:
        return FAILED
    for variable in given.all("set"):
        digits, colon, name = variable.rpartition(":")
        if colon and not is_number(digits):
            return run.fail(node, f"regexp cannot set {variable[:64]}", BAD_ARGUMENT)
        group = number(digits) if colon else 1
        value = groups[group] if group < len(groups) else None
        if value is None:
            run.environment.unset(name)
        else:
            run.environment.set(name, value, (node.path, node.line))
    return OK
