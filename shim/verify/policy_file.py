"""The policy as it is written: a TOML table in, a checked `Policy` out; closed where it is silent. docs/policy.md."""

from __future__ import annotations

from shim.errors import ConfigError, FormatError
from shim.model import Role
from shim.verify.kinds import KINDS
from shim.verify.policy import Policy, Rule
from shim.verify.revoked import parse_revoked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.formats.x509 import Certificate

TOP_KEYS = ("anchors", "dbx", "dbx_sha256")


def parse_policy(table: Mapping[str, object], read_file: Callable[[str], bytes]) -> Policy:
    """Return the policy that a TOML table describes; `read_file` answers for the files it names.

    Raises ConfigError with the fact `key`.
    """
    roles = {role.value: role for role in Role}
    for name in table:
        if name not in TOP_KEYS and name not in roles:
            raise ConfigError("unknown key", key=f"policy.{name}", known=", ".join((*TOP_KEYS, *roles)))
    anchors = [
        anchor for name in _texts(table, "anchors", "policy") for anchor in parse_anchors(name, read_file(name))
    ]
    databases = [(name, read_file(name)) for name in _texts(table, "dbx", "policy")]
    images = KINDS["sha256"].parse_pins(_texts(table, "dbx_sha256", "policy"), "policy.dbx_sha256")
    rules = {role: _parse_rule(role, table[name]) for name, role in roles.items() if name in table}
    for role, rule in rules.items():
        if "authenticode" in rule.require and not anchors:
            raise ConfigError("authenticode needs policy.anchors", key=f"policy.{role.value}.require")
    return Policy(anchors=tuple(anchors), revoked=parse_revoked(databases, images), rules=rules)


def parse_anchors(name: str, data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a file: one in DER, or any number in PEM. Raises ConfigError."""
    from shim.formats.pem import PEM_BEGIN, parse_pem
    from shim.formats.x509 import parse_certificate

    try:
        blocks = parse_pem(data, "CERTIFICATE") if PEM_BEGIN in data else (data,)
        return tuple(parse_certificate(block) for block in blocks)
    except FormatError as problem:
        raise ConfigError(f"not a usable certificate: {problem}", key="policy.anchors", name=name) from problem


def _parse_rule(role: Role, given: object) -> Rule:
    path = f"policy.{role.value}"
    if not isinstance(given, dict):
        raise ConfigError("this must be a table", key=path)
    kinds = [name for name, kind in KINDS.items() if role in kind.ROLES]
    for key in given:
        if key != "require" and key not in kinds:
            raise ConfigError("unknown key", key=f"{path}.{key}", known=", ".join(("require", *kinds)))
    require = _texts(given, "require", path)
    for word in require:
        if word not in kinds:
            raise ConfigError("not a kind for this role", key=f"{path}.require", known=", ".join(kinds), found=word)
    pins: dict[str, tuple[bytes, ...]] = {}
    for key in given:
        if key == "require":
            continue
        if key not in require:
            raise ConfigError("this has no effect: require does not name it", key=f"{path}.{key}")
        pins[key] = KINDS[key].parse_pins(_texts(given, key, path), f"{path}.{key}")
    return Rule(require=require, pins=pins)


def _texts(table: Mapping[str, object], key: str, path: str) -> tuple[str, ...]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ConfigError("wrong type", key=f"{path}.{key}", expected="a list of texts", found=type(given).__name__)
    return tuple(given)
