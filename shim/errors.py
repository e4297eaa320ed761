"""The one tree of errors: a short reason and facts; the sentence is formed when it is printed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Verdict


class ShimError(Exception):
    """Say what is wrong with which thing.

    `reason` is a short clause without numbers; `facts` are the numbers and names that belong to it, in the
    order given. Facts named `at` and those ending in `_address` are printed in hexadecimal.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.facts = facts

    def __str__(self) -> str:
        if not self.facts:
            return self.reason
        return f"{self.reason} ({', '.join(f'{name}={_show(name, value)}' for name, value in self.facts.items())})"

    def about(self, **facts: object) -> ShimError:
        """Add facts that the raiser did not know (the file's name, say) and return self; given names win."""
        self.facts = {**facts, **self.facts}
        return self


class FormatError(ShimError):
    """Bytes that break the format they claim to be."""


class EntryError(ShimError):
    """A boot entry or a boot configuration that cannot be used."""


class ConfigError(ShimError):
    """The shim's own configuration or policy is wrong."""


class FetchError(ShimError):
    """Bytes that could not be read whole, within their ceiling, or from inside their volume."""


class VerifyError(ShimError):
    """Bytes that the policy does not trust. `verdicts` are the judgements made so far (`shim.model.Verdict`)."""

    verdicts: tuple[Verdict, ...] = ()


class MeasureError(ShimError):
    """A measurement that the policy demands and the machine did not make; a TPM that does not answer as it should.

    `code` is the TPM's response code, where it gave one.
    """

    code: int | None = None


class PlanError(ShimError):
    """Segments that do not fit into the memory there is."""


class LoadError(ShimError):
    """A kernel that cannot be loaded, or that the running kernel refused."""


class SystemError_(ShimError):
    """A system call that failed. `errno` is its number; the sentence carries the name and the text."""

    def __init__(self, reason: str, errno: int, **facts: object) -> None:
        super().__init__(reason, **facts, errno=errno)
        self.errno = errno

    def __str__(self) -> str:
        return f"{super().__str__()}: {os.strerror(self.errno)}"


def _show(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (name == "at" or name.endswith("_address")):
        return hex(value)
    if isinstance(value, bytes):
        return value[:64].hex() + ("…" if len(value) > 64 else "")
    if isinstance(value, str):
        return printable(value, 256)
    return str(value)


def printable(text: str, limit: int = 4096) -> str:
    """Return text that is safe on a terminal: controls and unprintables as \\xNN or \\uNNNN, cut at `limit`."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
