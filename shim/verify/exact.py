"""The kind "exact": a command line that stands in the policy, character by character."""

from __future__ import annotations

from shim.errors import ConfigError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "exact"
ROLES: tuple[Role, ...] = (Role.CMDLINE,)
SUFFIXES: tuple[str, ...] = ()


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Return command lines as the bytes that a kernel would get."""
    for text in values:
        if not text.isprintable():
            raise ConfigError("a command line has characters that are not printable", key=key, found=text)
    return tuple(text.encode("utf-8") for text in values)


def judge(piece: Piece, policy: Policy) -> tuple[Verdict, ...]:
    """Accept a command line that is listed. Raises VerifyError for others."""
    line = bytes(piece.data)
    if line not in policy.pins(piece.role, NAME):
        raise VerifyError("it is none of the command lines listed", found=line.decode("utf-8", "replace"))
    return (piece.accepted(NAME, "it is listed word for word", covered="all bytes"),)
