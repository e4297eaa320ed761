"""Say whether a file would be trusted, and why, by the code that says so at boot.

  bootshim verify vmlinuz --anchor debian-uefi-ca.der
  bootshim verify vmlinuz --policy my.toml
  bootshim verify initrd.img --policy my.toml --role initrd
  bootshim verify kernel.efi --policy my.toml --source url=https://boot.example.org/kernel.efi
  bootshim verify ospkg/my.zip --anchor ospkg_signing_root.pem

--policy judges by the [policy] of a configuration, --anchor by a signature under one of the certificates given
(PEM or DER): in an OS package's case by those in its descriptor, which lies beside it. --dbx adds a revocation list
(EFI_SIGNATURE_LIST, or a UEFI dbx update file), --sbat a level of generations (rows of
a component and its lowest generation). --source says where the file would come from, for policies with rules for some
sources: label=…, kind=esp, removable=yes, url=… and what else [[policy.source]] takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from shim.config import CONFIG_SIZE_LIMIT, parse_config
from shim.errors import ConfigError, printable
from shim.fetch import path_beside
from shim.formats.ospkg import is_package
from shim.formats.uki import has_linux_section
from shim.model import Role, Verdict
from shim.report import verdict_json
from shim.verify import judge_piece
from shim.verify.origin import MATCHES, parse_match
from shim.verify.piece import Piece
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy
from shim.verify.revoked import parse_revoked
from shim.verify.sbat import parse_levels

HELP = "say whether a file is trusted, and why"
SCHEMA = "bootshim.verify/1"
FILE_SIZE_LIMIT = 4 << 30
SIGNATURE_SIZE_MAX = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the kernel, UKI, initrd, add-on or whatever --role says")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--policy", metavar="CONFIG.toml", help="judge by the policy of this configuration")
    trust.add_argument("--anchor", metavar="CERT.pem", nargs="+", help="trust signatures under these certificates")
    parser.add_argument("--dbx", metavar="FILE", action="append", default=[], help="distrust what this lists")
    parser.add_argument("--sbat", metavar="LEVEL", action="append", default=[], help="demand these generations")
    parser.add_argument("--source", metavar="KEY=VALUE", action="append", default=[],
                        help="judge as if it came from there")
    roles = [role.value for role in Role]
    parser.add_argument("--role", choices=roles, help="default: uki, ospkg or kernel, by what the file is")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict; 0 when the file is trusted, 1 when not."""
    data = read_file(arguments.file)
    role = Role(arguments.role) if arguments.role else role_of(data)
    policy = read_policy(arguments)
    names = {suffix: path_beside(arguments.file, suffix) for suffix in policy.suffixes}
    beside = {suffix: read_file(name, SIGNATURE_SIZE_MAX) for suffix, name in names.items()
              if name is not None and Path(name).is_file()}
    piece = Piece(role, arguments.file, data, hashlib.sha256(data).digest(), hashlib.sha256, beside)
    verdict = judge_piece(piece, policy.on(parse_origin(arguments.source)))
    if arguments.json:
        json.dump({"schema": SCHEMA, **verdict_json(verdict)}, sys.stdout, indent=2)
        print()
    else:
        print(sentence(verdict))
    return 0 if verdict.accepted else 1


def role_of(data: bytes) -> Role:
    """Return the role of a file that is to be started, by what it is."""
    if is_package(data):
        return Role.OSPKG
    return Role.UKI if has_linux_section(data) else Role.KERNEL


def read_policy(arguments: argparse.Namespace) -> Policy:
    """Return the policy of a configuration, or one that asks for a signature under the given anchors."""
    if arguments.policy:
        source = Path(arguments.policy)
        text = read_text(source)
        policy = parse_config(text, str(source), lambda name: read_file(str(source.parent / name))).policy
    else:
        rule = {"require": ["authenticode"]}
        table: dict[str, object] = {"anchors": arguments.anchor, "kernel": rule, "uki": rule, "addon": rule,
                                    "keys": {"ospkg": arguments.anchor}, "ospkg": {"require": ["ospkg"]}}
        policy = parse_policy(table, read_file)
    extra = parse_revoked([(name, read_file(name)) for name in arguments.dbx], ())
    level = parse_levels((name, read_file(name)) for name in arguments.sbat)
    if level and policy.sbat:
        level = policy.sbat.joined(level)
    return policy.replace(revoked=policy.revoked.joined(extra), sbat=level or policy.sbat)


def parse_origin(given: list[str]) -> dict[str, object]:
    """Return where a file would come from, as the policy's sources know it. Raises ConfigError."""
    words = {"yes": True, "no": False}
    facts: dict[str, object] = {}
    for text in given:
        name, _, value = text.partition("=")
        facts[name] = words.get(value, value) if MATCHES.get(name) is bool else value
    return parse_match(facts, "--source") if facts else {}


def read_text(path: Path) -> str:
    """Return a configuration's text. Raises ConfigError when it is not UTF-8."""
    data = read_file(str(path), CONFIG_SIZE_LIMIT)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ConfigError("the configuration is not UTF-8", file=str(path), at=problem.start) from problem


def read_file(name: str, limit: int = FILE_SIZE_LIMIT) -> bytes:
    """Return a whole file, read once. Raises ConfigError when it is longer than `limit` bytes."""
    with Path(name).open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigError("the file is too long", file=name, expected=limit)
    return data


def sentence(verdict: Verdict) -> str:
    """Say the verdict in one line."""
    word = "trusted" if verdict.accepted else "NOT trusted"
    return printable(f"{verdict.name}: {word} as {verdict.role.value}: {verdict.reason}")
