"""Keys, certificates, small PE files and Authenticode signatures, made in code, with the lies that tests need."""

from __future__ import annotations

import datetime
import hashlib
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "md5": hashes.MD5, "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}  # fmt: skip
HASH_OIDS = {
    "md5": "1.2.840.113549.2.5", "sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3",
}  # fmt: skip
RSA_OID, EC_SHA256_OID = "1.2.840.113549.1.1.1", "1.2.840.10045.4.3.2"
EC_OIDS = {"sha256": EC_SHA256_OID, "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
SIGNED_DATA, SPC_INDIRECT, SPC_PE_IMAGE = "1.2.840.113549.1.7.2", "1.3.6.1.4.1.311.2.1.4", "1.3.6.1.4.1.311.2.1.15"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
NESTED = "1.3.6.1.4.1.311.2.4.1"
CODE_SIGNING = "1.3.6.1.5.5.7.3.3"


@cache
def key(kind: str, number: int = 0) -> Key:
    """Return a key of this kind (rsa2048, p256 ...); the same one for the same number within a test run."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


def key_pem(private: Key) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Identity:
    """A private key with its certificate."""

    private: Key
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def identity(
    subject: str,
    private: Key,
    issuer: Identity | None = None,
    *,
    ca: bool | None = False,
    path_length: int | None = None,
    usage: Sequence[str] | None = None,
    extended: Sequence[str] | None = None,
    critical: str | None = None,
    digest: str = "sha256",
    years: tuple[int, int] = (2020, 2040),
    serial: int | None = None,
) -> Identity:
    """Issue a certificate, self-signed without an issuer. `ca` None leaves the basic constraints out.

    SHA-1 is only claimed, by an RSA issuer: today's libraries refuse to make such signatures.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(private.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(datetime.datetime(years[0], 1, 1))
        .not_valid_after(datetime.datetime(years[1], 1, 1))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usage is not None:
        builder = builder.add_extension(key_usage(usage), critical=True)
    if extended is not None:
        uses = x509.ExtendedKeyUsage([ObjectIdentifier(oid) for oid in extended])
        builder = builder.add_extension(uses, critical=False)
    if critical is not None:
        extension = x509.UnrecognizedExtension(ObjectIdentifier(critical), b"\x05\x00")
        builder = builder.add_extension(extension, critical=True)
    signing_hash = HASHES["sha256" if digest == "sha1" else digest]()
    certificate = builder.sign(issuer.private if issuer else private, signing_hash)
    if digest == "sha1":
        encoded = certificate.public_bytes(serialization.Encoding.DER)
        claimed = encoded.replace(der_oid("1.2.840.113549.1.1.11"), der_oid("1.2.840.113549.1.1.5"))
        certificate = x509.load_der_x509_certificate(claimed)
    return Identity(private, certificate)


def key_usage(words: Sequence[str]) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{word: word in words for word in names})


def small_pe(section_sizes: Sequence[int] = (0x200, 0x200), *, tail: bytes = b"", is_64: bool = True) -> bytes:
    """Return an unsigned PE32+ (or PE32) file: 0x200 bytes of headers, sections one after the other, a tail."""
    optional_size = 112 + 128 if is_64 else 96 + 128
    optional = bytearray(optional_size)
    struct.pack_into("<H", optional, 0, 0x20B if is_64 else 0x10B)
    struct.pack_into("<II", optional, 0x20, 0x1000, 0x200)
    struct.pack_into("<III", optional, 0x38, 0x1000 * (1 + len(section_sizes)), 0x200, 0xDEADBEEF)
    struct.pack_into("<H", optional, 0x44, 10)
    struct.pack_into("<I", optional, optional_size - 132, 16)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(section_sizes), 0, 0, 0, optional_size, 0x22)
    headers = bytearray(struct.pack("<2s58xI", b"MZ", 64) + coff + optional)
    body, at = b"", 0x200
    for number, size in enumerate(section_sizes):
        where = (f".s{number}".encode(), size, 0x1000 * (number + 1), size, at, 0, 0, 0, 0, 0x60000020)
        headers += struct.pack("<8sIIIIIIHHI", *where)
        body += bytes((number * 7 + i * 31) & 0xFF for i in range(size))
        at += size
    return bytes(headers.ljust(0x200, b"\0")) + body + tail


def places(pe: bytes) -> tuple[int, int]:
    """Return the offsets of the checksum and of the certificate table's directory entry."""
    optional = struct.unpack_from("<I", pe, 0x3C)[0] + 24
    is_64 = struct.unpack_from("<H", pe, optional)[0] == 0x20B
    return optional + 0x40, optional + (112 if is_64 else 96) + 32


def image_digest(pe: bytes, digest: str) -> bytes:
    """Return the Authenticode digest of an unsigned file (sections in order, nothing behind them to skip)."""
    checksum, slot = places(pe)
    return hashlib.new(digest, pe[:checksum] + pe[checksum + 4 : slot] + pe[slot + 8 :]).digest()


def with_table(pe: bytes, table: bytes) -> bytes:
    """Append a certificate table to an unsigned file whose size is a multiple of eight."""
    assert len(pe) % 8 == 0
    _, slot = places(pe)
    return pe[:slot] + struct.pack("<II", len(pe), len(table)) + pe[slot + 8 :] + table


def entry(content: bytes, *, padded: bool = True, revision: int = 0x200, kind: int = 2) -> bytes:
    """Return a certificate table entry."""
    raw = struct.pack("<IHH", 8 + len(content), revision, kind) + content
    return raw + bytes(-len(raw) % 8 if padded else 0)


def der(tag: int, *parts: bytes) -> bytes:
    """Return a DER element."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def der_oid(text: str) -> bytes:
    arcs = [int(arc) for arc in text.split(".")]
    body = b""
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return der(0x06, body)


def der_integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def algorithm(oid: str) -> bytes:
    return der(0x30, der_oid(oid), b"\x05\x00")


def attribute(oid: str, *values: bytes) -> bytes:
    return der(0x30, der_oid(oid), der(0x31, *values))


@dataclass
class Signing:
    """How to sign: the honest way by default. Each field is one thing that a test may want to be wrong."""

    signer: Identity
    certificates: Sequence[Identity] = ()
    digest: str = "sha256"
    image_digest: bytes | None = None
    signer_digest: str | None = None
    listed_digest: str | None = None
    content_type: str = SPC_INDIRECT
    attribute_content_type: str | None = None
    message_digest: bytes | None = None
    extra_attributes: Sequence[bytes] = ()
    signature_oid: str | None = None
    spoil_signature: bool = False
    signed_attributes: bool = True
    nested: Sequence[bytes] = field(default_factory=tuple)
    signer_count: int = 1


def signed_data(pe: bytes, how: Signing) -> bytes:
    """Return the PKCS #7 content of a certificate table entry."""
    told = image_digest(pe, how.digest) if how.image_digest is None else how.image_digest
    data = der(0x30, der_oid(SPC_PE_IMAGE), der(0x30, der(0x03, b"\0"), der(0xA0, der(0xA2, der(0x80)))))
    indirect = data + der(0x30, algorithm(HASH_OIDS[how.digest]), der(0x04, told))
    signer = _signer_info(indirect, how)
    certificates = b"".join(one.der for one in dict.fromkeys((how.signer, *how.certificates)))
    content = der(
        0x30,
        der_integer(1),
        der(0x31, algorithm(HASH_OIDS[how.listed_digest or how.digest])),
        der(0x30, der_oid(how.content_type), der(0xA0, der(0x30, indirect))),
        der(0xA0, certificates),
        der(0x31, *[signer] * how.signer_count),
    )
    return der(0x30, der_oid(SIGNED_DATA), der(0xA0, content))


def signed_pe(pe: bytes, *hows: Signing) -> bytes:
    """Return the file with one certificate table entry for each signing."""
    return with_table(pe, b"".join(entry(signed_data(pe, how)) for how in hows))


def _signer_info(indirect: bytes, how: Signing) -> bytes:
    digest = how.signer_digest or how.digest
    told = hashlib.new(digest, indirect).digest() if how.message_digest is None else how.message_digest
    attributes = b"".join([
        attribute(CONTENT_TYPE, der_oid(how.attribute_content_type or how.content_type)),
        attribute(MESSAGE_DIGEST, der(0x04, told)),
        *how.extra_attributes,
    ])
    covered = der(0x31, attributes) if how.signed_attributes else indirect
    signature = raw_signature(how.signer.private, digest, covered)
    if how.spoil_signature:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    is_rsa = isinstance(how.signer.private, rsa.RSAPrivateKey)
    oid = how.signature_oid or (RSA_OID if is_rsa else EC_OIDS[digest])
    certificate = how.signer.certificate
    unsigned = der(0xA1, attribute(NESTED, *how.nested)) if how.nested else b""
    return der(
        0x30,
        der_integer(1),
        der(0x30, certificate.issuer.public_bytes(), der_integer(certificate.serial_number)),
        algorithm(HASH_OIDS[digest]),
        der(0xA0, attributes) if how.signed_attributes else b"",
        algorithm(oid) if is_rsa else der(0x30, der_oid(oid)),
        der(0x04, signature),
        unsigned,
    )


def raw_signature(private: Key, digest: str, data: bytes) -> bytes:
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, padding.PKCS1v15(), HASHES[digest]())
    return private.sign(data, ec.ECDSA(HASHES[digest]()))


LIST_TYPES = {
    "sha256": "c1c41626-504c-4092-aca9-41f936934328",
    "sha384": "ff3e5307-9fd0-48c9-85f1-8ad56c701e01",
    "sha512": "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a",
    "sha1": "826ca512-cf10-4ac9-b187-be01496631bd",
    "x509": "a5c059a1-94e4-4aa7-87b5-ab155c2bf072",
    "x509_sha256": "3bd2a492-96c0-4079-b420-fcf98ef103ed",
    "x509_sha384": "7076876e-80c2-4ee6-aad2-28b349a6865b",
    "x509_sha512": "446dbf63-2502-4cda-bcfa-2465d2b0fe9d",
}


def signature_list(kind: str, *signatures: bytes) -> bytes:
    """Return an EFI_SIGNATURE_LIST of signatures of one size."""
    size = 16 + len(signatures[0])
    body = b"".join(uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b").bytes_le + one for one in signatures)
    return uuid.UUID(LIST_TYPES[kind]).bytes_le + struct.pack("<III", 28 + len(body), 0, size) + body


def variable_update(lists: bytes, certificate: bytes = bytes(100)) -> bytes:
    """Return the lists as a UEFI dbx update carries them: behind an EFI_VARIABLE_AUTHENTICATION_2."""
    kind = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
    return bytes(16) + struct.pack("<IHH", 24 + len(certificate), 0x200, 0x0EF1) + kind + certificate + lists
