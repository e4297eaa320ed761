"""The host command `bootshim`: one verb a file.

A verb is a module with HELP (one line), `add_arguments(parser)` and `run(arguments) -> exit code`; its docstring
is the text of `bootshim VERB --help`. To add one, write the file and name it in VERBS.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import version

from shim.errors import ShimError

VERBS = ("inspect", "entries", "explain", "plan", "verify", "policy", "manifest", "measure", "build", "run", "install",
         "uninstall", "rom")
EPILOG = "Exit status: 0 done, 1 the answer is no (not trusted, nothing to boot, did not boot), 2 wrong usage or input."


def main(argv: list[str] | None = None) -> int:
    """Run one verb; print a ShimError as one sentence on standard error."""
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.verb_module.run(arguments)
        sys.stdout.flush()
    except ShimError as problem:
        print(f"bootshim {arguments.verb}: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        if isinstance(problem, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"bootshim {arguments.verb}: {problem.filename or ''}: {problem.strerror}", file=sys.stderr)
        return 2
    return status


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command; every verb adds its own part."""
    parser = argparse.ArgumentParser(
        prog="bootshim",
        description="Look at boot entries, verify kernels, build the boot shim's initramfs and try it in QEMU.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"bootshim {version('bootshim')}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        module = importlib.import_module(f"shim.cli.{verb}")
        part = verbs.add_parser(
            verb,
            help=module.HELP,
            description=module.__doc__,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(part)
        part.set_defaults(verb_module=module)
    return parser
