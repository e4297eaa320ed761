"""Signatures by `ssh-keygen -Y sign`, and the keys that may make them.

Spec: OpenSSH PROTOCOL.sshsig; ssh-keygen(1), "ALLOWED SIGNERS"; RFC 4253, 6.6; RFC 5656, 3.1; RFC 8332, 3; RFC 8709.
"""

from __future__ import annotations

import binascii

from shim.errors import FormatError
from shim.formats.digests import SHA256, SHA512
from shim.formats.spki import EcKey, RsaKey, parse_point
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
MAGIC, VERSION = b"SSHSIG", 1
FILE_SIZE_MAX = 64 << 10
SIGNERS_MAX, LINE_SIZE_MAX = 1000, 16 << 10
HASHES = {b"sha256": SHA256, b"sha512": SHA512}
EC_CURVES = {b"ecdsa-sha2-nistp256": (b"nistp256", "P-256"), b"ecdsa-sha2-nistp384": (b"nistp384", "P-384")}
ED25519, RSA = b"ssh-ed25519", b"ssh-rsa"
KEY_TYPES = (ED25519, RSA, *EC_CURVES)


class SshKey(Value):
    """A public key: its type, its whole blob, and what stands in it: an RSA or EC key, or 32 bytes of Ed25519."""

    type: bytes
    blob: bytes
    key: RsaKey | EcKey | bytes


class AllowedSigner(Value):
    """A line of an allowed-signers file. `namespaces` are patterns; empty where the line does not say."""

    principals: str
    key: SshKey
    namespaces: tuple[str, ...] = ()


class SshSignature(Value):
    """A signature: `message` is what was signed around the digest of the file, which `hash_name` makes."""

    key: SshKey
    namespace: str
    hash_name: str
    algorithm: bytes
    signature: bytes

    def message(self, digest: bytes) -> bytes:
        """Return what the key has signed for a file with this digest. Spec: PROTOCOL.sshsig, 2."""
        name = next(name for name, known in HASHES.items() if known == self.hash_name)
        return MAGIC + b"".join(_text(part) for part in (self.namespace.encode("utf-8"), b"", name, digest))


class Reader:
    """Length-prefixed fields of a blob, one after another. Spec: RFC 4251, 5."""

    def __init__(self, data: Buffer) -> None:
        self.data, self.at = bytes(data), 0

    def text(self) -> bytes:
        size = self.number()
        left = len(self.data) - self.at
        if size > left:
            raise FormatError("a field lies outside the blob", at=self.at, expected=size, found=left)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self) -> int:
        if len(self.data) - self.at < 4:
            raise FormatError("the blob is cut short", at=self.at, expected=4, found=len(self.data) - self.at)
        self.at += 4
        return int.from_bytes(self.data[self.at - 4 : self.at], "big")

    def positive(self) -> int:
        """Return an mpint that is not negative, in its one shortest form."""
        raw = self.text()
        if raw[:1] >= b"\x80" or (raw[:1] == b"\0" and raw[:2] < b"\0\x80"):
            raise FormatError("a number is negative or padded", at=self.at - len(raw))
        return int.from_bytes(raw, "big")

    def end(self) -> None:
        if self.at != len(self.data):
            raise FormatError("bytes behind the end of the blob", at=self.at, found=len(self.data) - self.at)


def parse_ssh_signature(data: bytes) -> SshSignature:
    """Return the signature of an armored file. Raises FormatError."""
    reader = Reader(_unarmored(data))
    if reader.data[: len(MAGIC)] != MAGIC:
        raise FormatError("not an SSH signature", found=reader.data[: len(MAGIC)])
    reader.at = len(MAGIC)
    version = reader.number()
    if version != VERSION:
        raise FormatError("an SSH signature of another version", expected=VERSION, found=version)
    key = parse_ssh_key(reader.text())
    namespace, _reserved, hash_name = _namespace(reader.text()), reader.text(), reader.text()
    inner = Reader(reader.text())
    reader.end()
    algorithm, signature = inner.text(), inner.text()
    inner.end()
    if hash_name not in HASHES:
        raise FormatError("an SSH signature over an unknown hash", found=word(hash_name))
    return SshSignature(key=key, namespace=namespace, hash_name=HASHES[hash_name], algorithm=algorithm,
                        signature=signature)


def parse_ssh_key(blob: bytes) -> SshKey:
    """Return a public key from its blob. Raises FormatError for types that are not known."""
    reader = Reader(blob)
    kind = reader.text()
    key: RsaKey | EcKey | bytes
    if kind == ED25519:
        key = reader.text()
        if len(key) != 32:
            raise FormatError("an Ed25519 key of a wrong size", expected=32, found=len(key))
    elif kind == RSA:
        exponent, modulus = reader.positive(), reader.positive()
        key = RsaKey(modulus=modulus, exponent=exponent)
    elif kind in EC_CURVES:
        name, curve = EC_CURVES[kind]
        if reader.text() != name:
            raise FormatError("the key's curve is not that of its type", type=word(kind))
        key = parse_point(curve, reader.text())
    else:
        raise FormatError("an SSH key of a type that is not known", found=word(kind))
    reader.end()
    return SshKey(type=kind, blob=blob, key=key)


def parse_allowed_signers(data: bytes) -> tuple[AllowedSigner, ...]:
    """Return the lines of an allowed-signers file. Raises FormatError with the line.

    Options other than `namespaces` are refused: a certificate authority or a time limit could not be obeyed.
    """
    found = []
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as problem:
        raise FormatError("allowed signers are not UTF-8", at=problem.start) from problem
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(_allowed_signer(line))
            except FormatError as problem:
                raise problem.about(line=number) from None
    if not found or len(found) > SIGNERS_MAX:
        raise FormatError("no allowed signer, or too many", limit=SIGNERS_MAX, found=len(found))
    return tuple(found)


def _allowed_signer(line: str) -> AllowedSigner:
    words = line.split()
    if len(line) > LINE_SIZE_MAX or len(words) < 3:
        raise FormatError("expected: principals [options] type key")
    principals, *rest = words
    namespaces: tuple[str, ...] = ()
    if rest[0].encode() not in KEY_TYPES:
        name, _, value = rest.pop(0).partition("=")
        if name.lower() != "namespaces" or len(value) < 3 or (value[0], value[-1]) != ('"', '"') or len(rest) < 2:
            raise FormatError("an option or a type of key that is not known", found=name[:64])
        namespaces = tuple(value[1:-1].split(","))
    key = parse_ssh_key(_decoded(rest[1].encode()))
    if key.type != rest[0].encode():
        raise FormatError("the key is of another type than its line says", expected=rest[0], found=word(key.type))
    return AllowedSigner(principals=principals, key=key, namespaces=namespaces)


def word(raw: bytes) -> str:
    """Return a name of the protocol as people know it, for a sentence; what is none has escapes in it."""
    return raw[:64].decode("ascii", "backslashreplace")


def _namespace(raw: bytes) -> str:
    if not raw or len(raw) > 256 or not raw.isascii() or not raw.decode("ascii").isprintable():
        raise FormatError("no namespace in the SSH signature", found=raw[:64])
    return raw.decode("ascii")


def _unarmored(data: bytes) -> bytes:
    if len(data) > FILE_SIZE_MAX:
        raise FormatError("too long for an SSH signature", limit=FILE_SIZE_MAX, found=len(data))
    lines = data.replace(b"\r\n", b"\n").strip(b"\n").split(b"\n")
    if lines[0] != BEGIN or lines[-1] != END:
        raise FormatError("not an SSH signature: no armor")
    if BEGIN in lines[1:]:
        raise FormatError("more than one SSH signature in a file")
    return _decoded(b"".join(lines[1:-1]))


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as problem:
        raise FormatError("not base64", problem=str(problem)) from problem


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
