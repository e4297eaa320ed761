"""The policy as it is written: a TOML table in, a checked `Policy` out; closed where it is silent. docs/policy.md."""

from __future__ import annotations

from shim.errors import ConfigError, FormatError
from shim.model import Role
from shim.verify.kinds import KINDS
from shim.verify.policy import Policy, Rule
from shim.verify.revoked import PROGRAMS, parse_revoked
from shim.verify.sbat import parse_levels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from shim.formats.x509 import Certificate

TOP_KEYS = ("mode", "anchors", "dbx", "dbx_sha256", "sbat", "keys")
MODES = ("enforce", "audit")
RULE_KEYS = ("require", "threshold")
SBAT_WORDS = ("optional", "required")
THRESHOLD_MAX = 16


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
    levels = parse_levels((name, read_file(name)) for name in _texts(table, "sbat", "policy"))
    keys = _parse_keys(table.get("keys", {}), read_file)
    for role, rule in rules.items():
        for kind in rule.require:
            if hasattr(KINDS[kind], "parse_keys") and kind not in keys:
                raise ConfigError(f"{kind} needs policy.keys.{kind}", key=f"policy.{role.value}.require")
            if hasattr(KINDS[kind], "USES_ANCHORS") and not anchors:
                raise ConfigError(f"{kind} needs policy.anchors", key=f"policy.{role.value}.require")
        if rule.sbat and levels is None:
            raise ConfigError("there is no level to hold it to: policy.sbat", key=f"policy.{role.value}.sbat")
    required = dict.fromkeys(kind for rule in rules.values() for kind in rule.require)
    return Policy(
        anchors=tuple(anchors), keys=keys, revoked=parse_revoked(databases, images), rules=rules,
        suffixes=tuple(dict.fromkeys(suffix for kind in required for suffix in KINDS[kind].SUFFIXES)),
        audit=_parse_mode(table.get("mode", MODES[0])) == "audit", sbat=levels,
    )


def _parse_mode(given: object) -> str:
    if given not in MODES:
        raise ConfigError("not a mode", key="policy.mode", expected=" ".join(MODES), found=given)
    return str(given)


def _parse_keys(given: object, read_file: Callable[[str], bytes]) -> dict[str, tuple[Any, ...]]:
    """Return the keys of each kind that has some of its own, from the files that are named."""
    if not isinstance(given, dict):
        raise ConfigError("this must be a table", key="policy.keys")
    kinds = {name: kind.parse_keys for name, kind in KINDS.items() if hasattr(kind, "parse_keys")}
    for name in given:
        if name not in kinds:
            raise ConfigError("unknown key", key=f"policy.keys.{name}", known=", ".join(kinds))
    keys: dict[str, tuple[Any, ...]] = {}
    for name in given:
        held: list[Any] = []
        for file in _texts(given, name, "policy.keys"):
            try:
                held += kinds[name](read_file(file))
            except FormatError as problem:
                raise ConfigError(f"not a usable key: {problem}", key=f"policy.keys.{name}", name=file) from problem
        if not held:
            raise ConfigError("no key is named", key=f"policy.keys.{name}")
        keys[name] = tuple(held)
    return keys


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
    rule_keys = (*RULE_KEYS, "sbat") if role in PROGRAMS else RULE_KEYS
    for key in given:
        if key not in rule_keys and key not in kinds:
            raise ConfigError("unknown key", key=f"{path}.{key}", known=", ".join((*rule_keys, *kinds)))
    require = _texts(given, "require", path)
    for word in require:
        if word not in kinds:
            raise ConfigError("not a kind for this role", key=f"{path}.require", known=", ".join(kinds), found=word)
    pins: dict[str, tuple[bytes, ...]] = {}
    for key in given:
        if key in rule_keys:
            continue
        if key not in require:
            raise ConfigError("this has no effect: require does not name it", key=f"{path}.{key}")
        pins[key] = KINDS[key].parse_pins(_texts(given, key, path), f"{path}.{key}")
    sbat = given.get("sbat", SBAT_WORDS[0])
    if sbat not in SBAT_WORDS:
        raise ConfigError("neither of two words", key=f"{path}.sbat", expected=" ".join(SBAT_WORDS), found=sbat)
    threshold = _parse_threshold(given, require, path)
    return Rule(require=require, threshold=threshold, sbat=sbat == "required", pins=pins)


def _parse_threshold(given: Mapping[str, object], require: tuple[str, ...], path: str) -> int:
    threshold = given.get("threshold", 1)
    if not isinstance(threshold, int) or isinstance(threshold, bool) or not 1 <= threshold <= THRESHOLD_MAX:
        raise ConfigError("not a number of approvals", key=f"{path}.threshold", expected=f"1..{THRESHOLD_MAX}",
                          found=threshold)
    if threshold > 1 and "unsigned" in require:
        raise ConfigError("unsigned takes anything: a threshold beside it means nothing", key=f"{path}.threshold")
    return threshold


def _texts(table: Mapping[str, object], key: str, path: str) -> tuple[str, ...]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ConfigError("wrong type", key=f"{path}.{key}", expected="a list of texts", found=type(given).__name__)
    return tuple(given)
