"""The kinds of judgement, one line each. A new one is a file with the same four names, and a line here."""

from __future__ import annotations

from shim.verify import authenticode, exact, sha256, unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from shim.model import Role, Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

    class Kind(Protocol):
        """NAME is the word of the policy, ROLES what it can judge, `parse_pins` reads the list named like it."""

        NAME: str
        ROLES: tuple[Role, ...]

        def parse_pins(self, values: tuple[str, ...], key: str) -> tuple[bytes, ...]: ...
        def judge(self, piece: Piece, policy: Policy) -> Verdict:
            """Return a verdict that accepts, or raise VerifyError."""

KINDS: dict[str, Kind] = {
    authenticode.NAME: authenticode,
    sha256.NAME: sha256,
    exact.NAME: exact,
    unsigned.NAME: unsigned,
}
