"""The kind "sha256": bytes whose SHA-256 stands in the policy. For what cannot carry a signature."""

from __future__ import annotations

from shim.errors import ConfigError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "sha256"
ROLES = tuple(Role)
SUFFIXES: tuple[str, ...] = ()
SIZE = 32


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Return digests written as 64 hexadecimal digits each."""
    digests = []
    for text in values:
        try:
            digest = bytes.fromhex(text)
        except ValueError as problem:
            raise ConfigError("not a SHA-256 in hexadecimal", key=key, found=text) from problem
        if len(digest) != SIZE or len(text) != 2 * SIZE:
            raise ConfigError("not a SHA-256 in hexadecimal", key=key, found=text)
        digests.append(digest)
    return tuple(digests)


def judge(piece: Piece, policy: Policy) -> tuple[Verdict, ...]:
    """Accept a piece that is pinned. Raises VerifyError for others."""
    if piece.sha256 not in policy.pins(piece.role, NAME):
        raise VerifyError("its SHA-256 is not pinned", sha256=piece.sha256)
    return (piece.accepted(NAME, f"its SHA-256 {piece.sha256.hex()} is pinned", covered="all bytes"),)
