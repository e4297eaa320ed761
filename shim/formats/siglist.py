"""Signature databases: EFI_SIGNATURE_LIST, bare or behind EFI_VARIABLE_AUTHENTICATION_2.

Spec: UEFI 2.10, 32.4.1 (lists and types of signatures), 8.2.2 (the header that db and dbx updates carry).

The signature in such a header is skipped, not checked: whoever bakes the file into a configuration vouches for it.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.guid import guid_bytes, guid_text
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.record import Buffer

SIGNATURE_LIST = Record("signature list", 28, """
    0x00  16s  signature_type
    0x10  I    signature_list_size      # bytes, this header included
    0x14  I    signature_header_size
    0x18  I    signature_size           # bytes of one signature, its owner included
""")
AUTHENTICATION_2 = Record("authenticated variable header", 40, """
    0x10  I    length                   # bytes from here to the variable's data; before it stands an EFI_TIME
    0x14  H    revision
    0x16  H    certificate_type
    0x18  16s  cert_type
""")
AUTHENTICATION_LENGTH_AT = AUTHENTICATION_2.offsets["length"]
WIN_CERT_REVISION, WIN_CERT_TYPE_EFI_GUID = 0x0200, 0x0EF1
EFI_CERT_TYPE_PKCS7 = guid_bytes("4aafd29d-68df-49ee-8aa9-347d375665a7")
OWNER_SIZE = 16
EFI_TIME_SIZE = 16
DATABASE_SIZE_MAX = 4 << 20
LISTS_MAX = 4096
SIGNATURES_MAX = 16384

TYPES = {
    "c1c41626-504c-4092-aca9-41f936934328": "sha256",
    "ff3e5307-9fd0-48c9-85f1-8ad56c701e01": "sha384",
    "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a": "sha512",
    "a5c059a1-94e4-4aa7-87b5-ab155c2bf072": "x509",
    "3bd2a492-96c0-4079-b420-fcf98ef103ed": "x509_sha256",
    "7076876e-80c2-4ee6-aad2-28b349a6865b": "x509_sha384",
    "446dbf63-2502-4cda-bcfa-2465d2b0fe9d": "x509_sha512",
    "826ca512-cf10-4ac9-b187-be01496631bd": "sha1",
    "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd": "sha224",
    "3c5766e8-269c-4e34-aa14-ed776e85b3b6": "rsa2048",
    "67f8444f-8743-48f1-a328-1eaab8736080": "rsa2048_sha1",
    "e2b36190-879b-4a3d-ad8d-f2e7bba32784": "rsa2048_sha256",
}
SIZES = {
    "sha256": 32, "sha384": 48, "sha512": 64,
    "x509_sha256": 32 + EFI_TIME_SIZE, "x509_sha384": 48 + EFI_TIME_SIZE, "x509_sha512": 64 + EFI_TIME_SIZE,
}  # fmt: skip


class ListedSignature(Value):
    """One signature of a database: its kind (a word of TYPES, or a GUID that is not there) and its bytes."""

    kind: str
    owner: bytes
    data: bytes


def parse_signature_database(data: Buffer) -> tuple[ListedSignature, ...]:
    """Return all signatures of a database, in order. Raises FormatError."""
    raw = bytes(data)
    if len(raw) > DATABASE_SIZE_MAX:
        raise FormatError("signature database is too long", expected=DATABASE_SIZE_MAX, found=len(raw))
    found: list[ListedSignature] = []
    at = _header_size(raw)
    for _ in range(LISTS_MAX):
        if at == len(raw):
            return tuple(found)
        row = SIGNATURE_LIST.parse(raw, at)
        found.extend(_parse_list(raw, at, row))
        if len(found) > SIGNATURES_MAX:
            raise FormatError("signature database has too many signatures", at=at, expected=SIGNATURES_MAX)
        at += row["signature_list_size"]
    raise FormatError("signature database has too many lists", expected=LISTS_MAX)


def _parse_list(raw: bytes, at: int, row: dict[str, int]) -> Iterator[ListedSignature]:
    """Yield the signatures of one list, which is at least as long as its own header."""
    list_size, size = row["signature_list_size"], row["signature_size"]
    start = SIGNATURE_LIST.size + row["signature_header_size"]
    if not start <= list_size <= len(raw) - at:
        raise FormatError("signature list has a wrong size", at=at, expected=len(raw) - at, found=list_size)
    if size <= OWNER_SIZE or (list_size - start) % size:
        raise FormatError("signature list has a wrong signature size", at=at, found=size, list_size=list_size)
    if (list_size - start) // size > SIGNATURES_MAX:
        raise FormatError("signature list has too many signatures", at=at, expected=SIGNATURES_MAX)
    guid = guid_text(row["signature_type"]) or ""  # type: ignore[arg-type]  # the only field that is no number
    kind = TYPES.get(guid, guid)
    expected = SIZES.get(kind)
    if expected is not None and size != OWNER_SIZE + expected:
        found = size - OWNER_SIZE
        raise FormatError("signature has a wrong size", at=at, kind=kind, expected=expected, found=found)
    for place in range(at + start, at + list_size, size):
        body = place + OWNER_SIZE
        yield ListedSignature(kind=kind, owner=raw[place:body], data=raw[body : place + size])


def _header_size(raw: bytes) -> int:
    """Return the size of an EFI_VARIABLE_AUTHENTICATION_2 in front of the lists, 0 when there is none."""
    if len(raw) < AUTHENTICATION_2.size:
        return 0
    row = AUTHENTICATION_2.parse(raw)
    is_header = (row["revision"], row["certificate_type"]) == (WIN_CERT_REVISION, WIN_CERT_TYPE_EFI_GUID)
    if not is_header or row["cert_type"] != EFI_CERT_TYPE_PKCS7:
        return 0
    end: int = AUTHENTICATION_LENGTH_AT + row["length"]
    if not AUTHENTICATION_2.size <= end <= len(raw):
        raise FormatError("authenticated variable header has a wrong size", expected=len(raw), found=end)
    return end
