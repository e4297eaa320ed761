"""The kinds of judgement, one line each. A new one is a file with the same names, and a line here."""

from __future__ import annotations

from shim.verify import appended, authenticode, cms, exact, manifest, minisign, openpgp, sha256, ssh, unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from shim.model import Role, Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

    class Kind(Protocol):
        """NAME is the word of the policy, ROLES what it can judge, `parse_pins` reads the list named like it.

        SUFFIXES are those of the detached signatures that it looks for. A kind with keys of its own has
        `parse_keys(data)`, too, which returns those of one file of `policy.keys.NAME` or raises FormatError.
        One that trusts `policy.anchors` says so with USES_ANCHORS.
        """

        NAME: str
        ROLES: tuple[Role, ...]
        SUFFIXES: tuple[str, ...]

        def parse_pins(self, values: tuple[str, ...], key: str) -> tuple[bytes, ...]: ...
        def judge(self, piece: Piece, policy: Policy) -> Iterable[Verdict]:
            """Give a verdict that accepts for each signer, one after another.

            Raises VerifyError at the end with the reasons against others, or when there is none.
            """

KINDS: dict[str, Kind] = {
    authenticode.NAME: authenticode,
    cms.NAME: cms,
    appended.NAME: appended,
    sha256.NAME: sha256,
    exact.NAME: exact,
    manifest.NAME: manifest,
    minisign.NAME: minisign,
    openpgp.NAME: openpgp,
    ssh.NAME: ssh,
    unsigned.NAME: unsigned,
}
