"""The policy: what each role must show before it is booted. Values only; `policy_file` reads them. docs/policy.md."""

from __future__ import annotations

from types import MappingProxyType

from shim.values import Value
from shim.verify.revoked import Revoked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from shim.formats.sbat import Level
    from shim.formats.x509 import Certificate
    from shim.model import Role


class Rule(Value):
    """What one role must show: `threshold` approvals, each of another signer, by any of the kinds in `require`.

    `pins` are lists that belong to some of the kinds. With `sbat` an image must say its generations.
    """

    require: tuple[str, ...] = ()
    threshold: int = 1
    sbat: bool = False
    pins: Mapping[str, tuple[bytes, ...]]


class Policy(Value):
    """Whom to trust for what. A role without a rule is refused.

    `keys` are what the kinds other than Authenticode trust, by kind. `suffixes` are those of the detached signatures
    that some rule may need. With `audit` a refusal is told and stops nothing. `sbat` holds the lowest generations.
    """

    anchors: tuple[Certificate, ...] = ()
    keys: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    revoked: Revoked = Revoked()
    rules: Mapping[Role, Rule]
    suffixes: tuple[str, ...] = ()
    audit: bool = False
    sbat: Level | None = None

    def required(self, role: Role) -> tuple[str, ...]:
        """Return the kinds of which a role must satisfy one; none means that it is refused."""
        rule = self.rules.get(role)
        return rule.require if rule else ()

    def threshold(self, role: Role) -> int:
        """Return how many approvals a role must have, each of another signer."""
        rule = self.rules.get(role)
        return rule.threshold if rule else 1

    def pins(self, role: Role, kind: str) -> tuple[bytes, ...]:
        """Return what the policy lists for a role under the name of a kind."""
        rule = self.rules.get(role)
        return rule.pins.get(kind, ()) if rule else ()

    def requires_sbat(self, role: Role) -> bool:
        """Say whether an image in a role must say its generations."""
        rule = self.rules.get(role)
        return rule.sbat if rule else False

    def allows_unsigned(self, role: Role) -> bool:
        """Say whether anything at all is taken for a role."""
        return "unsigned" in self.required(role)
