"""What `bootshim inspect` knows of OS packages: the archive, and the descriptor beside it."""

from __future__ import annotations

import hashlib
from typing import Any

from shim.cli.certificate_facts import certificate_facts
from shim.formats.ospkg import is_package, parse_descriptor, unpack_package
from shim.formats.x509 import parse_certificate
from shim.formats.zip import parse_zip

UNPACKED_SIZE_MAX = 4 << 30


def describe_package(data: bytes) -> dict[str, Any]:
    """Return the members of an archive, and its manifest with the digests of what would be loaded."""
    names = [member.name for member in parse_zip(data)]
    package = unpack_package(data, UNPACKED_SIZE_MAX)
    return {
        **package.manifest.as_dict(),
        "members": names,
        "kernel_sha256": hashlib.sha256(package.kernel).hexdigest(),
        "initramfs_sha256": hashlib.sha256(package.initramfs).hexdigest(),
    }


def is_descriptor(data: bytes) -> bool:
    """Say whether a file could be a descriptor: an object with its keys."""
    return data.lstrip()[:1] == b"{" and b'"certificates"' in data and b'"signatures"' in data


def describe_descriptor(data: bytes) -> dict[str, Any]:
    """Return who signed, by the descriptor's own word: only the archive could show whether it is true."""
    found = parse_descriptor(data)
    return {
        "os_pkg_url": found.os_pkg_url,
        "certificates": [certificate_facts(parse_certificate(pair.certificate)) for pair in found.pairs],
    }


FORMATS = {"OS package": is_package, "OS package descriptor": is_descriptor}
DESCRIBERS = {"ospkg": (is_package, describe_package), "descriptor": (is_descriptor, describe_descriptor)}
