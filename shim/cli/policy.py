"""Check a policy, or say in plain words what it demands.

  bootshim policy check my.toml
  bootshim policy show my.toml

check reads the configuration and every file that it names, as the build does, and warns of what makes the policy weak:
it exits 0 when there is nothing to warn of, 1 when there is, 2 when the configuration is wrong. show says for each role
what is demanded, and whom it trusts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shim.cli.verify import read_file, read_text
from shim.config import parse_config
from shim.errors import printable
from shim.model import Role

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from shim.formats.x509 import Certificate
    from shim.verify.policy import Policy, Rule

HELP = "check a policy, or say in plain words what it demands"
SCHEMA = "bootshim.policy/1"
LOADED = (Role.KERNEL, Role.UKI, Role.OSPKG)
CHAINS = ("authenticode", "cms", "appended", "ospkg")  # kinds under whose anchors any number of signers may be


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("action", choices=("check", "show"), help="what to do")
    parser.add_argument("config", metavar="CONFIG.toml", help="the configuration with the policy")
    parser.add_argument("--json", action="store_true", help=f"print JSON, schema {SCHEMA}")


def run(args: argparse.Namespace) -> int:
    """Read the policy and say what there is to say."""
    source = Path(args.config)
    policy = parse_config(read_text(source), source.name, lambda name: read_file(str(source.parent / name))).policy
    warnings = list(weaknesses(policy))
    if args.json:
        print(json.dumps({"schema": SCHEMA, **as_json(policy), "warnings": warnings}, indent=2))
    elif args.action == "show":
        print("\n".join(printable(line, 500) for line in plain_words(policy)))
    else:
        print("\n".join([f"warning: {warning}" for warning in warnings] or [f"{source}: nothing to warn of"]))
    return 1 if args.action == "check" and warnings else 0


def weaknesses(policy: Policy) -> Iterator[str]:
    """Yield a sentence for everything that lets bytes pass which nobody vouched for, or that can never pass."""
    if policy.audit:
        yield "mode is audit: nothing is refused"
    for where, rules in rule_sets(policy):
        for role, rule in rules.items():
            if "unsigned" in rule.require:
                yield f"{where}{role.value}: unsigned takes anything"
            if rule.threshold > 1 and rule.threshold > most_approvals(policy, rule):
                yield f"{where}{role.value}: {rule.threshold} approvals can never come together"
    started = [policy.required(role) for role in LOADED if policy.required(role)]
    if policy.manifest_counter is not None and started and all(kinds == ("manifest",) for kinds in started):
        yield "nothing boots without a manifest: when the TPM's counter is lost, nothing boots at all"
    if not any(policy.required(role) for role in LOADED):
        yield f"none of {', '.join(role.value for role in LOADED)} has a rule: nothing boots"
    if policy.required(Role.KERNEL) and not policy.required(Role.CMDLINE):
        yield "cmdline has no rule: a kernel that is no UKI never boots"


def rule_sets(policy: Policy) -> Iterator[tuple[str, dict[Role, Rule]]]:
    """Yield the rules for all volumes, then those of each source, with words that begin a sentence about them."""
    yield "", dict(policy.rules)
    for source in policy.sources:
        yield f"{match_text(dict(source.match))}, ", dict(source.rules)


def most_approvals(policy: Policy, rule: Rule) -> int:
    """Return how many signers could approve at the most; a chain may end in any number of certificates."""
    if any(kind in rule.require for kind in CHAINS):
        return 1 << 16
    return sum(len(policy.keys[kind]) if kind in policy.keys else 1 for kind in rule.require)


def plain_words(policy: Policy) -> Iterator[str]:
    """Yield the policy as lines for people."""
    audit = "AUDIT: what is refused is told, and boots all the same"
    yield audit if policy.audit else "enforced: what is refused does not boot"
    for where, rules in rule_sets(policy):
        yield f"\n{where.rstrip(', ') or 'from every volume'}:"
        for role in Role:
            if role in rules:
                yield f"  {role.value:<12}{rule_text(rules[role])}"
            elif not where:
                silent = "not judged" if role is Role.ENTRY else "never"
                yield f"  {role.value:<12}{silent}: there is no rule for it"
    if policy.anchors:
        yield "\nX.509 anchors:"
        for anchor in policy.anchors:
            yield f"  {anchor.subject_text}, SHA-256 {fingerprint(anchor)}"
    for kind, keys in policy.keys.items():
        yield f"\n{kind} keys: {len(keys)}"
    if policy.manifest_path:
        yield f"\nmanifest: {policy.manifest_path}, version {policy.manifest_minimum} or newer"
        counter = policy.manifest_counter
        if counter is not None:
            yield f"  and not older than the TPM's counter {counter.nv_index:#x} says, which began at {counter.base}"
    yield f"\nrevoked: {len(policy.revoked.images)} images, {revoked_certificates(policy)} certificates"


def rule_text(rule: Rule) -> str:
    """Say what a rule demands."""
    if not rule.require:
        return "never: require is empty"
    kinds = " or ".join(f"{kind} ({len(rule.pins[kind])} listed)" if kind in rule.pins else kind
                        for kind in rule.require)
    if rule.threshold > 1:
        kinds = f"{rule.threshold} approvals by different signers: {kinds}"
    return kinds if rule.minimum_version is None else f"{kinds}; version {rule.minimum_version} or newer"


def match_text(match: dict[str, object]) -> str:
    if "url" in match:
        return f"from {match['url']}"
    return "from volumes with " + ", ".join(f"{name} {value}" for name, value in match.items())


def fingerprint(certificate: Certificate) -> str:
    return hashlib.sha256(certificate.encoded).hexdigest()


def revoked_certificates(policy: Policy) -> int:
    return len(policy.revoked.certificates) + len(policy.revoked.bodies)


def as_json(policy: Policy) -> dict[str, Any]:
    """Return the policy as JSON values; pins are counted, not listed."""

    def rules_json(rules: dict[Role, Rule]) -> dict[str, Any]:
        return {role.value: {"require": list(rule.require), "threshold": rule.threshold,
                             "minimum_version": rule.minimum_version,
                             "pins": {kind: len(pins) for kind, pins in rule.pins.items()}}
                for role, rule in rules.items()}

    counter = policy.manifest_counter
    return {
        "mode": "audit" if policy.audit else "enforce",
        "rules": rules_json(dict(policy.rules)),
        "sources": [{"match": dict(source.match), "rules": rules_json(dict(source.rules))}
                    for source in policy.sources],
        "anchors": [{"subject": anchor.subject_text, "sha256": fingerprint(anchor)} for anchor in policy.anchors],
        "keys": {kind: len(keys) for kind, keys in policy.keys.items()},
        "manifest": {"path": policy.manifest_path, "minimum_version": policy.manifest_minimum,
                     "counter": None if counter is None else {"nv_index": counter.nv_index, "base": counter.base}},
        "revoked": {"images": len(policy.revoked.images), "certificates": revoked_certificates(policy)},
    }  # fmt: skip
