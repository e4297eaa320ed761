"""The kernel modules that were baked into the initramfs, in the order of their names. Spec: finit_module(2)."""

from __future__ import annotations

import errno
import os

from shim.errors import SystemError_
from shim.model import Problem
from shim.system.calls import finit_module

DIRECTORY = "/lib/modules"


def load_modules(directory: str = DIRECTORY) -> tuple[Problem, ...]:
    """Load every file NN-name.ko in `directory`; return what the kernel did not take.

    A module whose hardware is not there (ENODEV) or that is loaded already (EEXIST) is as it should be.
    """
    problems = []
    for name in sorted(_names(directory)):
        path = f"{directory}/{name}"
        try:
            _load(path)
        except SystemError_ as problem:
            problems.append(Problem(source=path, error=str(problem)))
    return tuple(problems)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _load(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        raise SystemError_("cannot open the module", problem.errno or 0) from problem
    try:
        finit_module(fd)
    except SystemError_ as problem:
        if problem.errno not in (errno.EEXIST, errno.ENODEV):
            raise
    finally:
        os.close(fd)
