"""Appended signatures: of kernel modules, and of kernels and configurations on firmware without PE.

Spec: Linux Documentation/admin-guide/module-signing.rst; include/linux/module_signature.h (struct module_signature,
MODULE_SIG_STRING) and mod_check_sig() in kernel/module_signature.c, 6.12. GRUB's appended signatures (IEEE 1275) are
the same.

A file ends in: the content, a CMS signature over it, a record, a line of text. The signature covers all that stands
before it, earlier appended signatures as well.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

MODULE_SIGNATURE = Record("appended signature", 12, """
    0x00  B   algo                      # 0, as the signature itself says it
    0x01  B   hash                      # 0
    0x02  B   id_type                   # PKEY_ID_PKCS7
    0x03  B   signer_len                # 0
    0x04  B   key_id_len                # 0
    0x05  3s  pad
    0x08  I   sig_len                   # bytes of the signature, which ends where this record begins
""", order=">")
MAGIC = b"~Module signature appended~\n"
PKEY_ID_PKCS7 = 2
ZERO_FIELDS = ("algo", "hash", "signer_len", "key_id_len")
SIGNATURE_SIZE_MAX = 1 << 18


class AppendedSignature(Value):
    """A signature at the end of a file: it covers the first `content_size` bytes."""

    content_size: int
    signature: bytes


def find_appended(data: Buffer) -> AppendedSignature | None:
    """Return the last appended signature, None when the file does not end in the magic line. Raises FormatError."""
    view = memoryview(data)
    if bytes(view[-len(MAGIC) :]) != MAGIC:
        return None
    record_at = len(view) - len(MAGIC) - MODULE_SIGNATURE.size
    row = MODULE_SIGNATURE.parse(view[: -len(MAGIC)], record_at)
    if row["id_type"] != PKEY_ID_PKCS7:
        raise FormatError("appended signature is of an unknown kind: id_type", at=record_at + 2, found=row["id_type"])
    for name in ZERO_FIELDS:
        if row[name]:
            at = record_at + MODULE_SIGNATURE.offsets[name]
            raise FormatError(f"appended signature has a field that must be zero: {name}", at=at, found=row[name])
    if any(row["pad"]):
        raise FormatError("appended signature has a field that must be zero: pad", at=record_at + 5, found=row["pad"])
    size, limit = row["sig_len"], min(SIGNATURE_SIZE_MAX, max(record_at - 1, 0))
    if not 0 < size <= limit:
        at = record_at + MODULE_SIGNATURE.offsets["sig_len"]
        raise FormatError("appended signature has a wrong length: sig_len", at=at, expected=limit, found=size)
    start = record_at - size
    return AppendedSignature(content_size=start, signature=bytes(view[start:record_at]))
