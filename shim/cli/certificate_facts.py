"""Certificates and their keys as JSON values, for `bootshim inspect`."""

from __future__ import annotations

import hashlib
from typing import Any

from shim.errors import FormatError
from shim.formats.spki import parse_public_key
from shim.formats.x509 import Certificate


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """Return whose certificate it is, by whom, for which key and how long."""
    return {
        "subject": certificate.subject_text,
        "issuer": certificate.issuer_text,
        "serial": f"{certificate.serial:x}",
        "key": key_text(certificate),
        "ca": certificate.is_ca,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "sha256": hashlib.sha256(certificate.encoded).hexdigest(),
    }


def key_text(certificate: Certificate) -> str:
    """Return the kind of a key, or why it is of none that is known."""
    try:
        return parse_public_key(certificate.spki).text
    except FormatError as problem:
        return str(problem)
