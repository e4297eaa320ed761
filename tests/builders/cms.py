"""Detached CMS signatures and appended ones, made in code, with the lies that tests need; and by openssl."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.builders.signing import (
    CONTENT_TYPE,
    EC_OIDS,
    HASH_OIDS,
    MESSAGE_DIGEST,
    RSA_OID,
    SIGNED_DATA,
    Identity,
    algorithm,
    attribute,
    der,
    der_integer,
    der_oid,
    key_pem,
    raw_signature,
)

DATA, EC_SHA1_OID = "1.2.840.113549.1.7.1", "1.2.840.10045.4.1"
MAGIC = b"~Module signature appended~\n"


@dataclass(frozen=True)
class By:
    """One signer: the honest way by default. Each field is one thing that a test may want to be wrong."""

    signer: Identity
    digest: str = "sha256"
    attributes: bool = True
    message_digest: bytes | None = None
    attribute_content_type: str = DATA
    extra_attributes: Sequence[bytes] = ()
    key_id: bytes | None = None
    version: int | None = None
    signature: bytes | None = None

    def info(self, content: bytes) -> bytes:
        """Return the SignerInfo."""
        certificate = self.signer.certificate
        is_rsa = isinstance(self.signer.private, rsa.RSAPrivateKey)
        told = hashlib.new(self.digest, content).digest() if self.message_digest is None else self.message_digest
        attributes = b"".join([
            attribute(CONTENT_TYPE, der_oid(self.attribute_content_type)), attribute(MESSAGE_DIGEST, der(0x04, told)),
            *self.extra_attributes,
        ]) if self.attributes else b""  # fmt: skip
        signature = self.signature
        if signature is None:
            covered = der(0x31, attributes) if self.attributes else content
            signature = raw_signature(self.signer.private, self.digest, covered)
        name = der(0x30, certificate.issuer.public_bytes(), der_integer(certificate.serial_number))
        return der(
            0x30,
            der_integer(self.version or (1 if self.key_id is None else 3)),
            name if self.key_id is None else der(0x80, self.key_id),
            algorithm(HASH_OIDS[self.digest]),
            der(0xA0, attributes) if self.attributes else b"",
            algorithm(RSA_OID) if is_rsa else der(0x30, der_oid(EC_OIDS.get(self.digest, EC_SHA1_OID))),
            der(0x04, signature),
        )


def cms(
    content: bytes, *signers: By, carried: Sequence[Identity] = (), certificates: bool = True,
    embedded: bytes | None = None, content_type: str = DATA, listed_digests: Sequence[str] | None = None,
) -> bytes:  # fmt: skip
    """Return a signature over the content, detached unless something is embedded."""
    listed = [one.digest for one in signers] if listed_digests is None else listed_digests
    held = dict.fromkeys((*(one.signer for one in signers), *carried))
    return der(0x30, der_oid(SIGNED_DATA), der(0xA0, der(
        0x30,
        der_integer(3 if any(one.key_id for one in signers) else 1),
        der(0x31, *(algorithm(HASH_OIDS[name]) for name in dict.fromkeys(listed))),
        der(0x30, der_oid(content_type), b"" if embedded is None else der(0xA0, der(0x04, embedded))),
        der(0xA0, *(one.der for one in held)) if certificates else b"",
        der(0x31, *(one.info(content) for one in signers)),
    )))  # fmt: skip


def appended(
    content: bytes, signature: bytes, *, size: int | None = None, head: bytes = b"\0\0\2\0\0\0\0\0",
    magic: bytes = MAGIC,
) -> bytes:  # fmt: skip
    """Return the content with a signature behind it, as the kernel's sign-file puts it there."""
    return content + signature + head + struct.pack(">I", len(signature) if size is None else size) + magic


def openssl_cms(
    directory: Path, content: bytes, *signers: Identity, form: str = "DER", more: Sequence[str] = ()
) -> bytes:
    """Return the detached signature that openssl makes."""
    (directory / "content").write_bytes(content)
    words: list[str | Path] = []
    for number, one in enumerate(signers):
        (directory / f"{number}.pem").write_bytes(one.pem)
        (directory / f"{number}.key").write_bytes(key_pem(one.private))
        words += ["-signer", directory / f"{number}.pem", "-inkey", directory / f"{number}.key"]
    command = ["openssl", "cms", "-sign", "-binary", "-in", directory / "content", *words, "-outform", form,
               "-out", directory / "signature", *more]  # fmt: skip
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return (directory / "signature").read_bytes()


def openssl_accepts(directory: Path, content: bytes, signature: bytes, anchor: Identity, form: str = "DER") -> bool:
    """Ask openssl whether every signer of a signature is good and under an anchor, for signing programs."""
    for name, data in (("content", content), ("signature", signature), ("anchor", anchor.pem)):
        (directory / name).write_bytes(data)
    words = ["openssl", "cms", "-verify", "-binary", "-inform", form, "-in", "signature", "-content", "content",
             "-CAfile", "anchor", "-partial_chain", "-purpose", "any", "-no_check_time",
             "-out", "/dev/null"]  # fmt: skip
    return subprocess.run(words, check=False, capture_output=True, cwd=directory).returncode == 0
