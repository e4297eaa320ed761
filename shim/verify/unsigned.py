"""The kind "unsigned": whatever comes is taken. It exists only as this word in the policy, said on every boot."""

from __future__ import annotations

from shim.errors import ConfigError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "unsigned"
ROLES: tuple[Role, ...] = tuple(role for role in Role if role is not Role.MANIFEST)  # it would speak for the others
SUFFIXES: tuple[str, ...] = ()


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: there is nothing to compare them with."""
    raise ConfigError("unsigned takes everything and pins nothing", key=key, found=len(values))


def judge(piece: Piece, policy: Policy) -> tuple[Verdict, ...]:
    """Accept."""
    return (piece.accepted(NAME, f"the policy takes any {piece.role.value}: NOT verified"),)
