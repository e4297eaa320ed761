"""Authenticode: which bytes of a PE file are signed, and where the signatures are.

Spec: Microsoft, Windows Authenticode Portable Executable Signature Format (2008); PE Format (2024), The Attribute
Certificate Table; UEFI 2.10, 32.2.

The specification hashes the headers, then the sections in the order of their place in the file, then what is left
before the certificate table. Here a file is taken only if these follow each other without gap or overlap and the
table ends the file: then every byte is hashed but those of three holes, and no byte that a loader could use
escapes. For such files all descriptions of the digest that are in use agree.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.der import OCTET_STRING, OID, SEQUENCE, parse_oid
from shim.formats.digests import SIZES, digest_name
from shim.formats.pe import DIRECTORY
from shim.formats.pkcs7 import parse_content_info, parse_signed_data
from shim.formats.record import Record
from shim.formats.x509 import parse_algorithm
from shim.ranges import Range, RangeSet
from shim.units import align_up
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.der import Der
    from shim.formats.pe import PE
    from shim.formats.pkcs7 import SignedData
    from shim.formats.record import Buffer
    from shim.ports import Hash

WIN_CERTIFICATE = Record("certificate table entry", 8, """
    0x00  I   length                    # bytes, this header included, the padding to 8 bytes not necessarily
    0x04  H   revision
    0x06  H   certificate_type
""")
REVISION_2, PKCS_SIGNED_DATA = 0x0200, 0x0002
SPC_INDIRECT_DATA, SPC_PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.4", "1.3.6.1.4.1.311.2.1.15"
SPC_NESTED_SIGNATURE = "1.3.6.1.4.1.311.2.4.1"
TABLE_ALIGNMENT = 8
CHECK_SUM_SIZE = 4
TABLE_SIZE_MAX = 1 << 18  # Microsoft's largest, with timestamps, have some 20 KiB an entry
ENTRIES_MAX = 16
NESTED_MAX = 8


class CertificateEntry(Value):
    """One entry of the certificate table; `at` is its offset in the file. Only PKCS #7 entries are signatures."""

    at: int
    revision: int
    certificate_type: int
    content: bytes

    @property
    def is_signature(self) -> bool:
        return (self.revision, self.certificate_type) == (REVISION_2, PKCS_SIGNED_DATA)


class Signature(Value):
    """A signature and the digest of the image that it vouches for, which stands in its `content`.

    `nested` are further ones that it carries.
    """

    signed: SignedData
    content: bytes
    digest_algorithm: str
    digest: bytes
    nested: tuple[Der, ...] = ()


def hashed_ranges(pe: PE, size: int) -> tuple[Range, ...]:
    """Return the parts of a file of `size` bytes that its Authenticode digest covers, in order.

    The holes are the checksum, the certificate table's directory entry, and the certificate table. Raises
    FormatError for a layout in which other bytes would go unhashed, or where descriptions of the digest differ.
    """
    end = pe.certificates_offset or size
    _check_table(pe, size)
    _check_sections(pe, end)
    holes = [Range.sized(pe.checksum_offset, CHECK_SUM_SIZE)]
    if pe.certificate_entry_offset:
        holes.append(Range.sized(pe.certificate_entry_offset, DIRECTORY.size))
    return RangeSet([Range(start=0, end=end)]).remove(*holes).ranges


def update_hash(running: Hash, data: Buffer, ranges: tuple[Range, ...]) -> bytes:
    """Feed the parts of a file to a hash, each in one piece, and return the digest."""
    view = memoryview(data)
    for part in ranges:
        running.update(view[part.start : part.end])
    return running.digest()


def certificate_entries(data: Buffer, pe: PE) -> tuple[CertificateEntry, ...]:
    """Return the entries of the certificate table, none when there is no table.

    The last one may lack its padding. Raises FormatError when an entry is shorter than its header or leaves the
    table.
    """
    _check_table(pe, len(data))
    at, end = pe.certificates_offset, pe.certificates_offset + pe.certificates_size
    found: list[CertificateEntry] = []
    while at < end:
        if len(found) == ENTRIES_MAX:
            raise FormatError("certificate table has too many entries", expected=ENTRIES_MAX)
        row = WIN_CERTIFICATE.parse(memoryview(data)[:end], at)
        length = row["length"]
        if not WIN_CERTIFICATE.size < length <= end - at:
            raise FormatError("certificate table entry has a wrong length", at=at, expected=end - at, found=length)
        content = bytes(memoryview(data)[at + WIN_CERTIFICATE.size : at + length])
        found.append(
            CertificateEntry(
                at=at, revision=row["revision"], certificate_type=row["certificate_type"], content=content
            )
        )
        at = align_up(at + length, TABLE_ALIGNMENT)
    return tuple(found)


def parse_signature(content: bytes) -> Signature:
    """Parse the PKCS #7 content of a certificate table entry. Raises FormatError."""
    return _signature(parse_signed_data(content))


def parse_nested(der: Der) -> Signature:
    """Parse one of the signatures that `Signature.nested` holds. Raises FormatError."""
    return _signature(parse_content_info(der))


def _signature(signed: SignedData) -> Signature:
    if signed.content_type != SPC_INDIRECT_DATA:
        raise FormatError("signature is not one over a program", found=signed.content_type)
    if signed.content is None:
        raise FormatError("signature does not carry the image digest that it is over")
    algorithm, digest = _parse_indirect_data(signed.content)
    unsigned = [signer.unsigned_attributes for signer in signed.signers]
    nested = tuple(der for attributes in unsigned for der in attributes.get(SPC_NESTED_SIGNATURE, ()))
    if len(nested) > NESTED_MAX:
        raise FormatError("signature carries too many others", expected=NESTED_MAX, found=len(nested))
    content = signed.content.content
    return Signature(signed=signed, content=content, digest_algorithm=algorithm, digest=digest, nested=nested)


def _parse_indirect_data(der: Der) -> tuple[str, bytes]:
    """Return the hash function's identifier and the digest of SpcIndirectDataContent."""
    fields = der.fields()
    subject = fields.take(SEQUENCE, "what is signed").fields()
    kind = parse_oid(subject.take(OID, "what is signed"))
    if kind != SPC_PE_IMAGE_DATA:
        raise FormatError("signature is not one over a PE image", found=kind)
    digest_info = fields.take(SEQUENCE, "image digest").fields()
    fields.finish("indirect data")
    oid = parse_algorithm(digest_info.take(SEQUENCE, "digest algorithm"))
    digest = digest_info.take(OCTET_STRING, "image digest").content
    digest_info.finish("image digest")
    expected = SIZES[digest_name(oid)]
    if len(digest) != expected:
        raise FormatError("image digest has a wrong size", expected=expected, found=len(digest))
    return oid, digest


def _check_table(pe: PE, size: int) -> None:
    start, end = pe.certificates_offset, pe.certificates_offset + pe.certificates_size
    if not pe.certificates_size:
        return
    if end > size:
        left = max(size - start, 0)
        raise FormatError("certificate table lies outside the file", at=start, expected=end - start, found=left)
    if end < size:
        raise FormatError("bytes follow the certificate table", at=end, found=size - end)
    if start % TABLE_ALIGNMENT or end - start > TABLE_SIZE_MAX:
        raise FormatError("certificate table is misplaced or too long", at=start, found=end - start)


def _check_sections(pe: PE, end: int) -> None:
    at = pe.size_of_headers
    for section in sorted(pe.sections, key=lambda section: section.raw_offset):
        if not section.raw_size:
            continue
        if section.raw_offset != at:
            what = "overlaps what is before it" if section.raw_offset < at else "leaves a gap before it"
            raise FormatError(f"PE section {what}", section=section.name, at=section.raw_offset, expected=hex(at))
        at += section.raw_size
    if at > end:
        raise FormatError("PE sections reach beyond what is signed", at=at, expected=hex(end))
