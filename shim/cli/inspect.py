"""Say what a file is: kernel, UKI, OS package, ELF or something else; its parts, signatures and what loading it takes.

Nothing is judged: a signature is shown with what it claims, and whether its digest is that of the file. Whether it
is trusted says `bootshim verify`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any

from shim.cli.facts import describe, format_of
from shim.cli.verify import read_file
from shim.errors import printable

HELP = "say what a kernel, UKI or other file is"
SCHEMA = "bootshim.inspect/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts; 0 also for a file of no known format."""
    facts = inspect_bytes(arguments.file, read_file(arguments.file))
    if arguments.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        print("\n".join(printable(line) for line in lines_of(facts)))
    return 0


def inspect_bytes(name: str, data: bytes) -> dict[str, Any]:
    """Return everything that the formats know about a file, as JSON values; what is broken stands in `problems`."""
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "file": name,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": format_of(data),
    }
    facts.update(describe(data))
    return facts


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines for people."""
    lines = [f"{facts['file']}: {facts['format']}, {facts['size']} bytes", f"  SHA-256 {facts['sha256']}"]
    for title in ("linux", "uki", "elf", "ospkg", "descriptor"):
        for key, value in (facts.get(title) or {}).items():
            if value not in (None, [], {}):
                lines += _fact_lines(f"  {title} {key}", value)
    if pe := facts.get("pe"):
        lines += _pe_lines(pe)
    for row in facts.get("sbat", ()):
        lines.append(f"  SBAT {row['component']}, generation {row['generation']}: {row['package']} {row['version']}")
    for signature in facts.get("signatures", ()):
        lines += _signature_lines(signature)
    if appended := facts.get("appended"):
        lines.append(f"  appended signature over {appended['content_size']} bytes")
        lines += _signer_lines(appended)
    lines += [f"  problem: {problem}" for problem in facts["problems"]]
    return lines


def _fact_lines(name: str, value: object) -> list[str]:
    """Return a fact on one line, the items of a list on one each."""
    if isinstance(value, list):
        return [line for number, item in enumerate(value) for line in _fact_lines(f"{name} {number}", item)]
    if isinstance(value, dict):
        items = (f"{key} {_shown(key, item)}" for key, item in value.items() if item not in (None, "", {}))
        return [f"{name}: {', '.join(items)}"]
    return [f"{name}: {_shown(name, value)}"]


def _shown(name: str, value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(("address", "alignment", "offset")):
        return hex(value)
    return str(value)


def _pe_lines(pe: dict[str, Any]) -> list[str]:
    lines = [f"  PE {pe['machine']}, subsystem {pe['subsystem']}, {len(pe['sections'])} sections"]
    for row in pe["sections"]:
        place = f"{row['raw_offset']:#010x} + {row['raw_size']:#010x}, in memory {row['virtual_address']:#010x}"
        lines.append(f"    {row['name']:10} {place} + {row['virtual_size']:#x}")
    if pe.get("unhashable"):
        lines.append(f"  no image digest: {pe['unhashable']}")
    if pe["image_digests"]:
        lines.append(f"  image digest over {pe['hashed_size']} bytes:")
        lines += [f"    {name} {digest}" for name, digest in pe["image_digests"].items()]
    return lines


def _signature_lines(signature: dict[str, Any]) -> list[str]:
    if "problem" in signature:
        return [f"  {signature['place']}: {signature['problem']}"]
    fits = "that of the file" if signature["digest_matches"] else "NOT that of the file"
    line = f"  {signature['place']}: {signature['digest_algorithm']}, its digest is {fits}"
    return [line, *_signer_lines(signature)]


def _signer_lines(signature: dict[str, Any]) -> list[str]:
    lines = []
    for signer in signature["signers"]:
        stamp = ", timestamped" if signer["timestamped"] else ""
        lines.append(f"    signer {signer['subject']}, issued by {signer['issuer']}, {signer['key']}{stamp}")
    for row in signature["certificates"]:
        span = f"{row['not_before'][:10]} to {row['not_after'][:10]}"
        lines.append(f"    carries {row['subject']}, issued by {row['issuer']}, {row['key']}, {span}")
    return lines
