"""The policy: what each role must show before it is booted. Values only; `policy_file` reads them. docs/policy.md."""

from __future__ import annotations

from types import MappingProxyType

from shim.values import Value
from shim.verify.origin import is_from
from shim.verify.revoked import Revoked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from shim.formats.sbat import Level
    from shim.formats.x509 import Certificate
    from shim.model import Role
    from shim.verify.origin import Origin
    from shim.verify.rollback import Counter


class Rule(Value):
    """What one role must show: `threshold` approvals, each of another signer, by any of the kinds in `require`.

    `minimum_version` is the least version of a kernel. With `sbat` an image must say its generations. `pins` are lists
    that belong to some of the kinds.
    """

    require: tuple[str, ...] = ()
    threshold: int = 1
    minimum_version: str | None = None
    sbat: bool = False
    pins: Mapping[str, tuple[bytes, ...]]


class Source(Value):
    """Rules of their own for what comes from somewhere: from where all that `match` names is so (`origin`)."""

    match: Mapping[str, object]
    rules: Mapping[Role, Rule]


class Policy(Value):
    """Whom to trust for what. A role without a rule is refused.

    `keys` are what the kinds other than Authenticode trust, by kind. `suffixes` are those of the detached signatures
    that some rule may need. `sbat` holds the lowest generations, `manifest_path` is where a manifest is looked for,
    `manifest_minimum` the version that it must have at least; the platform remembers a higher one in
    `manifest_counter`, and `manifest_problem` is why none is taken (`rollback`). `sources` have rules of their own for
    what comes from there; the first that matches counts. With `audit` a refusal is told and stops nothing.
    """

    anchors: tuple[Certificate, ...] = ()
    keys: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    revoked: Revoked = Revoked()
    rules: Mapping[Role, Rule]
    suffixes: tuple[str, ...] = ()
    manifest_path: str | None = None
    manifest_minimum: int = 0
    manifest_counter: Counter | None = None
    manifest_problem: str | None = None
    sources: tuple[Source, ...] = ()
    audit: bool = False
    sbat: Level | None = None

    def on(self, origin: Origin) -> Policy:
        """Return the policy for what comes from there: roles with rules of their own, the others as they are."""
        found = next((source for source in self.sources if is_from(origin, source.match)), None)
        return self if found is None else self.replace(rules={**self.rules, **found.rules})

    def asks_for(self, kind: str) -> bool:
        """Say whether some rule names a kind, so that what it needs has to be read."""
        return any(kind in rule.require for held in self._every for rule in held.values())

    def may_judge(self, role: Role) -> bool:
        """Say whether there is a rule for a role, for some source at least."""
        return any(role in held for held in self._every)

    def judges(self, role: Role) -> bool:
        """Say whether there is a rule for a role."""
        return role in self.rules

    @property
    def _every(self) -> Iterator[Mapping[Role, Rule]]:
        return iter((self.rules, *(source.rules for source in self.sources)))

    def required(self, role: Role) -> tuple[str, ...]:
        """Return the kinds of which a role must satisfy one; none means that it is refused."""
        rule = self.rules.get(role)
        return rule.require if rule else ()

    def threshold(self, role: Role) -> int:
        """Return how many approvals a role must have, each of another signer."""
        rule = self.rules.get(role)
        return rule.threshold if rule else 1

    def minimum_version(self, role: Role) -> str | None:
        """Return the least version of a kernel in a role, None where any will do."""
        rule = self.rules.get(role)
        return rule.minimum_version if rule else None

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
