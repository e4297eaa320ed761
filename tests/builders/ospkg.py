"""OS packages as people make them: certificates and signatures by openssl, archives by zip. The lies are in the tests.

stmgr, the project's own tool, is no Debian package. Its certificates are imitated: no names, key usage, no basic
constraints in a leaf; and its descriptor: JSON as Go writes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ED25519 = ("-newkey", "ed25519")
RSA = ("-newkey", "rsa:2048")
P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
ROOT_EXTENSIONS = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign")
LEAF_EXTENSIONS = ("keyUsage=critical,digitalSignature",)


class PackageSigner(NamedTuple):
    """A private key and its certificate, both PEM."""

    key: Path
    certificate: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.read_bytes()

    @property
    def der(self) -> bytes:
        return openssl("x509", "-in", str(self.certificate), "-outform", "DER")

    def sign(self, archive: bytes) -> bytes:
        """Return the signature over the SHA-256 of an archive."""
        digest = self.key.with_suffix(".digest")
        digest.write_bytes(hashlib.sha256(archive).digest())
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(self.key), "-in", str(digest))

    def is_under(self, root: PackageSigner) -> bool:
        """Say whether openssl takes the certificate for one that this root issued, whenever."""
        command = ["openssl", "verify", "-no_check_time", "-CAfile", str(root.certificate), str(self.certificate)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def verifies(self, archive: bytes, signature: bytes) -> bool:
        """Say what openssl thinks: the witness."""
        digest, given = self.key.with_suffix(".digest"), self.key.with_suffix(".signature")
        digest.write_bytes(hashlib.sha256(archive).digest())
        given.write_bytes(signature)
        command = ["openssl", "pkeyutl", "-verify", "-rawin", "-certin", "-inkey", str(self.certificate),
                   "-in", str(digest), "-sigfile", str(given)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def make_root(
    folder: Path, name: str, kind: Sequence[str] = ED25519, more: Sequence[str] = (), subject: str | None = None
) -> PackageSigner:
    """Make a self-signed root certificate."""
    return _request(folder, name, kind, ROOT_EXTENSIONS, more, subject)


def make_package_signer(
    folder: Path, name: str, root: PackageSigner, kind: Sequence[str] = ED25519, subject: str = "/",
    extensions: Sequence[str] = LEAF_EXTENSIONS, more: Sequence[str] = (),
) -> PackageSigner:  # fmt: skip
    """Make a signing certificate that a root issues."""
    issued = ("-CA", str(root.certificate), "-CAkey", str(root.key), *more)
    return _request(folder, name, kind, extensions, issued, subject)


def _request(
    folder: Path, name: str, kind: Sequence[str], extensions: Sequence[str], more: Sequence[str],
    subject: str | None = None,
) -> PackageSigner:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    made = PackageSigner(folder / f"{name}.key", folder / f"{name}.pem")
    plain = folder / "openssl.cnf"
    plain.write_text("[req]\ndistinguished_name = name\n[name]\n")
    openssl("req", "-x509", "-config", str(plain), *kind, "-nodes", "-days", "3650", "-subj", subject or f"/CN={name}",
            "-keyout", str(made.key), "-out", str(made.certificate),
            *(word for extension in extensions for word in ("-addext", extension)), *more)
    return made


def openssl(*words: str) -> bytes:
    done = subprocess.run(["openssl", *words], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout


def manifest(**changes: object) -> bytes:
    """Return a manifest.json as stmgr writes it, with changes."""
    return go_json({"version": 1, "label": "A test", "kernel": "boot/kernel", "initramfs": "boot/initramfs",
                    "cmdline": "console=ttyS0", **changes})


def go_json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def make_archive(folder: Path, files: Mapping[str, bytes], *options: str) -> bytes:
    """Return what zip makes of these files, in this order. With the option "-" it writes to a pipe, as Go's packer
    does: sizes stand behind the bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    streamed = "-" in options
    output = folder / "made.zip"
    output.unlink(missing_ok=True)
    command = ["zip", "-q", "-X", *(option for option in options if option != "-"), "-" if streamed else str(output)]
    done = subprocess.run([*command, *files], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return done.stdout if streamed else output.read_bytes()


def make_package(folder: Path, kernel: bytes, initramfs: bytes, *options: str, **changes: object) -> bytes:
    """Return the archive of an OS package."""
    files = {"boot/kernel": kernel, "boot/initramfs": initramfs, "manifest.json": manifest(**changes)}
    return make_archive(folder, files, *options)


def descriptor(archive: bytes, *signers: PackageSigner, **changes: object) -> bytes:
    """Return the descriptor of an archive."""
    return descriptor_of([(signer.pem, signer.sign(archive)) for signer in signers], **changes)


def descriptor_of(pairs: Sequence[tuple[bytes, bytes]], **changes: object) -> bytes:
    """Return a descriptor of certificates and signatures, whatever they are; Go writes null for empty lists."""
    columns = [[base64.b64encode(one[column]).decode() for one in pairs] or None for column in (0, 1)]
    return go_json({"version": 1, "os_pkg_url": "https://example.org/a.zip", "certificates": columns[0],
                    "signatures": columns[1], **changes})
