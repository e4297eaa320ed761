"""Certificate authorities and signing keys as people make them, with openssl, in files as signing tools want them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

KINDS = {
    "rsa2048": ("-newkey", "rsa:2048"),
    "rsa4096": ("-newkey", "rsa:4096"),
    "p256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
}
CA_EXTENSIONS = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
LEAF_EXTENSIONS = (
    "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=codeSigning",
)  # fmt: skip


class KeyFiles(NamedTuple):
    """A private key and its certificate, both PEM, and the certificate again as DER."""

    key: Path
    certificate: Path
    der: Path


def make_ca(directory: Path, name: str, kind: str = "rsa2048") -> KeyFiles:
    """Make a self-signed certificate authority."""
    return _request(directory, name, kind, CA_EXTENSIONS)


def make_leaf(directory: Path, name: str, issuer: KeyFiles, kind: str = "rsa2048") -> KeyFiles:
    """Make a code-signing certificate under an authority."""
    return _request(directory, name, kind, LEAF_EXTENSIONS, "-CA", str(issuer.certificate), "-CAkey", str(issuer.key))


def _request(directory: Path, name: str, kind: str, extensions: tuple[str, ...], *more: str) -> KeyFiles:
    files = KeyFiles(*(directory / f"{name}.{suffix}" for suffix in ("key", "pem", "der")))
    command = [
        "openssl", "req", "-x509", *KINDS[kind], "-nodes", "-sha256", "-days", "3650", "-subj", f"/CN={name}",
        "-keyout", str(files.key), "-out", str(files.certificate), *more,
    ]  # fmt: skip
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, check=True, capture_output=True)
    convert = ["openssl", "x509", "-in", str(files.certificate), "-outform", "DER", "-out", str(files.der)]
    subprocess.run(convert, check=True, capture_output=True)
    return files
