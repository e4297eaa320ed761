"""The signature of a dm-verity root hash, as it lies in a partition of its own.

Spec: UAPI.2, Discoverable Partitions Specification, "Partition types" (root and /usr Verity Signature partitions): one
JSON object, filled up with NULs: `rootHash` in hexadecimal, and `signature`, a detached CMS over that text, in DER and
Base64. `certificateFingerprint` is a hint for whoever looks for the certificate, and is not looked at.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.json_parse import parse_json
from shim.formats.pem import parse_base64
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

PARTITION_SIZE_MAX = 64 << 10
HASH_DIGITS_MIN, HASH_DIGITS_MAX = 64, 128  # SHA-256 to SHA-512
HEXADECIMAL = frozenset("0123456789abcdef")


class RootHashSignature(Value):
    """A root hash, in lower-case hexadecimal as it was signed, and the signature in DER."""

    root_hash: str
    signature: bytes


def parse_verity_signature(data: Buffer) -> RootHashSignature:
    """Return what a signature partition holds."""
    told = parse_json(bytes(data).rstrip(b"\0"), "the signature of a root hash")
    if not isinstance(told, dict):
        raise FormatError("the signature of a root hash is no JSON object")
    root_hash, signature = told.get("rootHash"), told.get("signature")
    if not isinstance(root_hash, str) or not is_root_hash(root_hash):
        raise FormatError("no root hash", key="rootHash", found=str(root_hash))
    if not isinstance(signature, str):
        raise FormatError("no signature", key="signature", found=str(signature))
    try:
        return RootHashSignature(root_hash=root_hash, signature=parse_base64(signature.encode("utf-8")))
    except FormatError as problem:
        raise problem.about(key="signature") from None


def is_root_hash(text: str) -> bool:
    """Say whether a text is a root hash by a hash function that is strong enough."""
    return HASH_DIGITS_MIN <= len(text) <= HASH_DIGITS_MAX and not len(text) % 2 and HEXADECIMAL.issuperset(text)
