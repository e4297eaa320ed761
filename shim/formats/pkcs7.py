"""PKCS #7 / CMS SignedData. Spec: RFC 2315, 9 (version 1, which Authenticode has); RFC 5652, 5 and 11.

Nothing is judged here. What must be there exactly once (contentType, messageDigest) is asked for with
`Signer.attribute`. A signature without its content is a detached one.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.der import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, context, parse_der, parse_integer, parse_oid
from shim.formats.x509 import parse_algorithm, parse_certificate
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from shim.formats.der import Der, Fields
    from shim.formats.x509 import Certificate

DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
CERTIFICATES_MAX = 32
SIGNERS_MAX = 8
ATTRIBUTES_MAX = 32
VALUES_MAX = 16
PADDING_MAX = 7  # a certificate table entry may count its padding to eight bytes


class Signer(Value):
    """One SignerInfo, which names its certificate by issuer and serial number or else by `key_id`.

    `signed` is what the signature covers: the signed attributes, encoded as a SET. Where there are none it is None,
    and the signature covers the content itself.
    """

    issuer: bytes = b""
    serial: int = 0
    key_id: bytes | None = None
    digest_algorithm: str
    signed: bytes | None
    attributes: Mapping[str, tuple[Der, ...]]
    unsigned_attributes: Mapping[str, tuple[Der, ...]]
    signature_algorithm: str
    signature: bytes

    def names(self, certificate: Certificate) -> bool:
        """Say whether a certificate is the one that the signer names. Several may be: names bind nothing."""
        if self.key_id is not None:
            return certificate.key_id == self.key_id
        return (certificate.issuer, certificate.serial) == (self.issuer, self.serial)

    @property
    def name(self) -> str:
        """The serial number or the key identifier of the signer's certificate, in hexadecimal."""
        return hex(self.serial) if self.key_id is None else self.key_id.hex()

    def attribute(self, oid: str) -> Der:
        """Return the single value of a signed attribute. Raises FormatError when there is not exactly one."""
        values = self.attributes.get(oid, ())
        if len(values) != 1:
            raise FormatError("signed attribute is not there exactly once", attribute=oid, found=len(values))
        return values[0]


class SignedData(Value):
    """One signature: what was signed (`content` is the element inside, None where the signature is detached), by
    whom, and certificates to help."""

    content_type: str
    content: Der | None
    digest_algorithms: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    signers: tuple[Signer, ...]


def parse_signed_data(data: bytes) -> SignedData:
    """Parse a ContentInfo that holds SignedData; zeros may pad it to eight bytes. Raises FormatError."""
    return parse_content_info(parse_der(_unpadded(data), "signature"))


def parse_content_info(der: Der) -> SignedData:
    """Parse a ContentInfo that is part of something else (a nested signature)."""
    outer = der.fields()
    kind = parse_oid(outer.take(OID, "content type"))
    if kind != SIGNED_DATA:
        raise FormatError("not a signature", found=kind)
    wrapped = outer.take(context(0), "signed data").fields()
    outer.finish("content info")
    fields = wrapped.take(SEQUENCE, "signed data").fields()
    wrapped.finish("content info")
    version = parse_integer(fields.take(INTEGER, "version"))
    if version not in (1, 3):
        raise FormatError("signed data has an unknown version", found=version)
    algorithms = fields.take(SET, "digest algorithms").children()
    content_type, content = _parse_content(fields.take(SEQUENCE, "content"))
    certificates = fields.maybe(context(0))
    fields.maybe(context(1))
    signers = fields.take(SET, "signers").children()
    fields.finish("signed data")
    if not 1 <= len(signers) <= SIGNERS_MAX or len(algorithms) > SIGNERS_MAX:
        raise FormatError("signed data has a wrong count of signers", expected=SIGNERS_MAX, found=len(signers))
    return SignedData(
        content_type=content_type,
        content=content,
        digest_algorithms=tuple(parse_algorithm(algorithm) for algorithm in algorithms),
        certificates=() if certificates is None else _parse_certificates(certificates),
        signers=tuple(_parse_signer(signer) for signer in signers),
    )


def _unpadded(data: bytes) -> bytes:
    """Cut off the zeros behind the one element, PADDING_MAX of them at most: anything else is not DER any more."""
    if len(data) < 4 or data[:1] != b"\x30" or data[1] < 0x80:
        return data
    count = data[1] & 0x7F
    size = 2 + count + int.from_bytes(data[2 : 2 + count], "big")
    padding = data[size:]
    return data[:size] if len(padding) <= PADDING_MAX and not any(padding) else data


def _parse_content(der: Der) -> tuple[str, Der | None]:
    fields = der.fields()
    kind = parse_oid(fields.take(OID, "content type"))
    element = fields.maybe(context(0))
    fields.finish("content")
    if element is None:
        return kind, None
    wrapped = element.fields()
    content = wrapped.any("signed content")
    wrapped.finish("content")
    return kind, content


def _parse_certificates(der: Der) -> tuple[Certificate, ...]:
    found = [element for element in der.children() if element.tag == SEQUENCE]
    if len(found) > CERTIFICATES_MAX:
        raise FormatError("signature carries too many certificates", expected=CERTIFICATES_MAX, found=len(found))
    return tuple(parse_certificate(element.encoded) for element in found)


def _parse_signer(der: Der) -> Signer:
    """Return a SignerInfo. Spec: RFC 5652, 5.3."""
    fields = der.fields()
    version = parse_integer(fields.take(INTEGER, "signer version"))
    named = _parse_signer_name(fields, version)
    digest_algorithm = parse_algorithm(fields.take(SEQUENCE, "digest algorithm"))
    signed = fields.maybe(context(0))
    signature_algorithm = parse_algorithm(fields.take(SEQUENCE, "signature algorithm"))
    signature = fields.take(OCTET_STRING, "signature").content
    unsigned = fields.maybe(context(1))
    fields.finish("signer")
    return Signer(
        **named,
        digest_algorithm=digest_algorithm,
        signed=None if signed is None else bytes([SET]) + signed.encoded[1:],
        attributes={} if signed is None else _parse_attributes(signed),
        unsigned_attributes={} if unsigned is None else _parse_attributes(unsigned),
        signature_algorithm=signature_algorithm,
        signature=signature,
    )


def _parse_signer_name(fields: Fields, version: int) -> dict[str, Any]:
    """Return how a signer names its certificate: in version 1 by issuer and serial number, in 3 by the key."""
    if version == 3:
        return {"key_id": fields.take(context(0, constructed=False), "subject key identifier").content}
    if version != 1:
        raise FormatError("signer is of an unknown version", version=version)
    name = fields.take(SEQUENCE, "issuer and serial number").fields()
    issuer = name.take(SEQUENCE, "issuer").encoded
    serial = parse_integer(name.take(INTEGER, "serial number"))
    name.finish("issuer and serial number")
    return {"issuer": issuer, "serial": serial}


def _parse_attributes(der: Der) -> dict[str, tuple[Der, ...]]:
    rows = der.children()
    if len(rows) > ATTRIBUTES_MAX:
        raise FormatError("signer has too many attributes", expected=ATTRIBUTES_MAX, found=len(rows))
    found: dict[str, tuple[Der, ...]] = {}
    for row in rows:
        fields = row.fields()
        oid = parse_oid(fields.take(OID, "attribute type"))
        values = fields.take(SET, "attribute values").children()
        fields.finish("attribute")
        if len(values) > VALUES_MAX:
            raise FormatError("attribute has too many values", attribute=oid, expected=VALUES_MAX, found=len(values))
        found[oid] = (*found.get(oid, ()), *values)
    return found
