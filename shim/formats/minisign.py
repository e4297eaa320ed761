"""Keys and detached signatures of minisign and of OpenBSD's signify.

Spec: minisign(1), "Signature format" and "Public key format" (jedisct1.github.io/minisign); signify.c of OpenBSD
(struct pubkey and struct sig). Both are a line of comment that nobody signed and a line of base64; minisign adds a
comment that is signed, and may sign the BLAKE2b-512 of the file in place of the file.
"""

from __future__ import annotations

import binascii

from shim.errors import FormatError
from shim.values import Value

FILE_SIZE_MAX = 16 << 10
UNTRUSTED, TRUSTED = b"untrusted comment: ", b"trusted comment: "
PLAIN, HASHED = b"Ed", b"ED"
KEY_BODY, SIGNATURE_BODY, GLOBAL_SIZE = 2 + 8 + 32, 2 + 8 + 64, 64


class MinisignKey(Value):
    """A public key: `key_id` as minisign prints it (hexadecimal, most significant byte first)."""

    key_id: str
    key: bytes


class MinisignSignature(Value):
    """A signature. `hashed` where it signs the BLAKE2b-512 of the file.

    `comment` is the trusted comment with the signature over `signature` and itself; None in signify's format.
    """

    key_id: str
    hashed: bool
    signature: bytes
    comment: bytes | None
    comment_signature: bytes


def parse_minisign_key(data: bytes) -> MinisignKey:
    """Return the key of a .pub file. Raises FormatError."""
    lines = _lines(data, "minisign public key")
    if len(lines) != 2:
        raise FormatError("a minisign public key has two lines", found=len(lines))
    algorithm, key_id, key = _body(lines[0], lines[1], KEY_BODY)
    if algorithm != PLAIN:
        raise FormatError("not an Ed25519 key", found=algorithm)
    return MinisignKey(key_id=key_id, key=key)


def parse_minisign_signature(data: bytes) -> MinisignSignature:
    """Return the signature of a .minisig or .sig file. Raises FormatError."""
    lines = _lines(data, "minisign signature")
    if len(lines) not in (2, 4):
        raise FormatError("a minisign signature has four lines, one of signify two", found=len(lines))
    algorithm, key_id, signature = _body(lines[0], lines[1], SIGNATURE_BODY)
    if algorithm not in (PLAIN, HASHED):
        raise FormatError("not an Ed25519 signature", found=algorithm)
    if len(lines) == 2:
        if algorithm == HASHED:
            raise FormatError("a signature of signify is never over a hash")
        return MinisignSignature(key_id=key_id, hashed=False, signature=signature, comment=None,
                                 comment_signature=b"")
    if not lines[2].startswith(TRUSTED):
        raise FormatError("the third line is no trusted comment", line=3)
    return MinisignSignature(
        key_id=key_id, hashed=algorithm == HASHED, signature=signature, comment=lines[2].removeprefix(TRUSTED),
        comment_signature=_decoded(lines[3], GLOBAL_SIZE, 4),
    )


def _lines(data: bytes, what: str) -> list[bytes]:
    if len(data) > FILE_SIZE_MAX:
        raise FormatError(f"too long for a {what}", limit=FILE_SIZE_MAX, found=len(data))
    if not data.startswith(UNTRUSTED):
        raise FormatError(f"not a {what}: no untrusted comment")
    return data.removesuffix(b"\n").replace(b"\r\n", b"\n").split(b"\n")


def _body(comment: bytes, line: bytes, size: int) -> tuple[bytes, str, bytes]:
    """Return the algorithm, the key's ID and the rest."""
    if not comment.startswith(UNTRUSTED):
        raise FormatError("the first line is no untrusted comment", line=1)
    body = _decoded(line, size, 2)
    return body[:2], body[9:1:-1].hex().upper(), body[10:]


def _decoded(line: bytes, size: int, number: int) -> bytes:
    try:
        body = binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error as problem:
        raise FormatError("not base64", line=number, problem=str(problem)) from problem
    if len(body) != size:
        raise FormatError("base64 of a wrong size", line=number, expected=size, found=len(body))
    return body
