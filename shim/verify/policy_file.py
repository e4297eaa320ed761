"""The policy as it is written: a TOML table in, a checked `Policy` out; closed where it is silent. docs/policy.md."""

from __future__ import annotations

from shim.errors import ConfigError, FormatError
from shim.model import Role
from shim.verify.kinds import KINDS
from shim.verify.origin import parse_match
from shim.verify.policy import Policy, Rule, Source
from shim.verify.revoked import PROGRAMS, parse_revoked
from shim.verify.rollback import KEYS as COUNTER_KEYS
from shim.verify.rollback import Counter, parse_counter_keys
from shim.verify.sbat import parse_levels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from shim.formats.x509 import Certificate

TOP_KEYS = ("mode", "anchors", "dbx", "dbx_sha256", "sbat", "keys", "source")
MODES = ("enforce", "audit")
RULE_KEYS = ("require", "threshold")
# More keys of some roles: a manifest's version is a number, a kernel's a text.
KERNELS = (Role.KERNEL, Role.UKI)
ROLE_KEYS = {Role.MANIFEST: ("path", "minimum_version", *COUNTER_KEYS), **dict.fromkeys(PROGRAMS, ("sbat",)),
             **dict.fromkeys(KERNELS, ("minimum_version", "sbat"))}
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
    sources = _parse_sources(table.get("source", []), roles)
    levels = parse_levels((name, read_file(name)) for name in _texts(table, "sbat", "policy"))
    keys = _parse_keys(table.get("keys", {}), read_file)
    everything = [*rules.items(), *(item for source in sources for item in source.rules.items())]
    for role, rule in everything:
        _check_rule(role, rule, keys, anchors)
        if rule.sbat and levels is None:
            raise ConfigError("there is no level to hold it to: policy.sbat", key=f"policy.{role.value}.sbat")
    path, minimum, counter = _parse_manifest(table.get(Role.MANIFEST.value), everything)
    required = dict.fromkeys(kind for _role, rule in everything for kind in rule.require)
    return Policy(
        anchors=tuple(anchors), keys=keys, revoked=parse_revoked(databases, images), rules=rules, sources=sources,
        suffixes=tuple(dict.fromkeys(suffix for kind in required for suffix in KINDS[kind].SUFFIXES)),
        manifest_path=path, manifest_minimum=minimum, manifest_counter=counter,
        audit=_parse_mode(table.get("mode", MODES[0])) == "audit",
        sbat=levels,
    )


def _check_rule(role: Role, rule: Rule, keys: Mapping[str, object], anchors: Sequence[Certificate]) -> None:
    """Raise ConfigError for a kind that has nobody to trust."""
    for kind in rule.require:
        if hasattr(KINDS[kind], "parse_keys") and kind not in keys:
            raise ConfigError(f"{kind} needs policy.keys.{kind}", key=f"policy.{role.value}.require")
        if hasattr(KINDS[kind], "USES_ANCHORS") and not anchors:
            raise ConfigError(f"{kind} needs policy.anchors", key=f"policy.{role.value}.require")


def _parse_sources(given: object, roles: Mapping[str, Role]) -> tuple[Source, ...]:
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise ConfigError("this must be a list of tables: [[policy.source]]", key="policy.source")
    return tuple(_parse_source(table, roles) for table in given)


def _parse_source(table: Mapping[str, object], roles: Mapping[str, Role]) -> Source:
    for name in table:
        if name != "match" and name not in roles:
            raise ConfigError("unknown key", key=f"policy.source.{name}", known=", ".join(("match", *roles)))
    return Source(match=parse_match(table.get("match"), "policy.source.match"), rules={
        role: _parse_rule(role, table[name], "policy.source") for name, role in roles.items() if name in table})


def _parse_manifest(given: object, rules: Sequence[tuple[Role, Rule]]) -> tuple[str | None, int, Counter | None]:
    """Return where the manifest lies, its least version and the counter of it; none where no rule asks for one."""
    asked = [role.value for role, rule in rules if "manifest" in rule.require]
    if not isinstance(given, dict):
        if asked:
            raise ConfigError("manifest needs the table policy.manifest", key=f"policy.{asked[0]}.require")
        return None, 0, None
    path, minimum = given.get("path"), given.get("minimum_version", 0)
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigError("not the absolute path of a file", key="policy.manifest.path", found=str(path))
    if not isinstance(minimum, int) or isinstance(minimum, bool) or minimum < 0:
        raise ConfigError("not a version", key="policy.manifest.minimum_version", found=str(minimum))
    return path, minimum, parse_counter_keys(given, "policy.manifest")


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


def _parse_rule(role: Role, given: object, table: str = "policy") -> Rule:
    path = f"{table}.{role.value}"
    if not isinstance(given, dict):
        raise ConfigError("this must be a table", key=path)
    kinds = [name for name, kind in KINDS.items() if role in kind.ROLES]
    plain = (*RULE_KEYS, *ROLE_KEYS.get(role, ()))
    for key in given:
        if key not in plain and key not in kinds:
            raise ConfigError("unknown key", key=f"{path}.{key}", known=", ".join((*plain, *kinds)))
    require = _texts(given, "require", path)
    for word in require:
        if word not in kinds:
            raise ConfigError("not a kind for this role", key=f"{path}.require", known=", ".join(kinds), found=word)
    pins: dict[str, tuple[bytes, ...]] = {}
    for key in given:
        if key in plain:
            continue
        if key not in require:
            raise ConfigError("this has no effect: require does not name it", key=f"{path}.{key}")
        pins[key] = KINDS[key].parse_pins(_texts(given, key, path), f"{path}.{key}")
    minimum = given.get("minimum_version") if role in KERNELS else None
    if minimum is not None and (not isinstance(minimum, str) or not minimum.isprintable() or not minimum):
        raise ConfigError("not a version", key=f"{path}.minimum_version", found=str(minimum))
    sbat = given.get("sbat", SBAT_WORDS[0])
    if sbat not in SBAT_WORDS:
        raise ConfigError("neither of two words", key=f"{path}.sbat", expected=" ".join(SBAT_WORDS), found=sbat)
    threshold = _parse_threshold(given, require, path)
    return Rule(require=require, threshold=threshold, minimum_version=minimum, sbat=sbat == "required", pins=pins)


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
