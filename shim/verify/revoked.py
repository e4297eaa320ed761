"""What must not be trusted any more: the dbx of the policy. Spec: UEFI 2.10, 32.4.1 and 32.5.3.3.

A revoked certificate is matched by the digest of its body or by its key, so that another certificate for the same
key does not bring it back; and it revokes what it has issued, also where no chain would have come so far. A time of
revocation never saves a signature: that would take a trusted timestamp, and UEFI trusts timestamps only under its
database dbt, which this policy does not have.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.formats.digests import SHA256, SHA384, SHA512, SIZES, digest_of
from shim.formats.siglist import parse_signature_database
from shim.formats.x509 import parse_certificate
from shim.model import Role
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from shim.formats.digests import NewHash
    from shim.formats.x509 import Certificate
    from shim.verify.keys import SignatureChecker
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

PROGRAMS = (Role.KERNEL, Role.UKI, Role.ADDON)
IMAGE_KINDS = {"sha256": SHA256, "sha384": SHA384, "sha512": SHA512}
BODY_KINDS = {"x509_sha256": SHA256, "x509_sha384": SHA384, "x509_sha512": SHA512}


class Revoked(Value):
    """Digests of images and of certificates' bodies, with the names of the hash functions; and certificates."""

    images: frozenset[tuple[str, bytes]] = frozenset()
    bodies: frozenset[tuple[str, bytes]] = frozenset()
    certificates: frozenset[Certificate] = frozenset()

    def joined(self, other: Revoked) -> Revoked:
        """Return what either of the two revokes."""
        return Revoked(**{name: getattr(self, name) | getattr(other, name) for name in self.as_dict()})

    @property
    def image_digests(self) -> tuple[str, ...]:
        """The hash functions by which images are revoked."""
        return tuple(sorted({name for name, _ in self.images}))

    def has_image(self, name: str, digest: bytes) -> bool:
        """Say whether an image is revoked by its digest, an Authenticode digest or that of the whole file."""
        return (name, digest) in self.images

    def has_certificate(self, certificate: Certificate, new_hash: NewHash) -> bool:
        """Say whether a certificate is revoked by its key or its body's digest."""
        if any(certificate.spki == revoked.spki for revoked in self.certificates):
            return True
        names = sorted({name for name, _ in self.bodies})
        return any((name, digest_of(name, certificate.tbs, new_hash)) in self.bodies for name in names)

    def issuer_of(self, certificate: Certificate, checker: SignatureChecker) -> Certificate | None:
        """Return the revoked certificate that has issued this one, None when there is none."""
        return next((revoked for revoked in self.certificates if checker.is_issued_by(certificate, revoked)), None)


def parse_revoked(databases: Iterable[tuple[str, bytes]], image_sha256: Iterable[bytes]) -> Revoked:
    """Join signature databases, given with their names, and further SHA-256 digests of images.

    Raises ConfigError for a database that is malformed, or that revokes in a way that is not understood here: it
    could not be obeyed.
    """
    images = {(SHA256, digest) for digest in image_sha256}
    bodies: set[tuple[str, bytes]] = set()
    certificates: list[Certificate] = []
    for name, data in databases:
        try:
            for listed in parse_signature_database(data):
                if listed.kind in IMAGE_KINDS:
                    images.add((IMAGE_KINDS[listed.kind], listed.data))
                elif listed.kind in BODY_KINDS:
                    algorithm = BODY_KINDS[listed.kind]
                    bodies.add((algorithm, listed.data[: SIZES[algorithm]]))
                elif listed.kind == "x509":
                    certificates.append(parse_certificate(listed.data))
                else:
                    raise FormatError("revocations of this kind are not understood", kind=listed.kind)
        except FormatError as problem:
            raise ConfigError(f"not a usable dbx: {problem}", key="policy.dbx", name=name) from problem
    return Revoked(
        images=frozenset(images),
        bodies=frozenset(bodies),
        certificates=frozenset(certificates),
    )


def check_not_revoked(piece: Piece, policy: Policy) -> None:
    """Raise VerifyError for bytes that the policy's dbx names, whatever else would speak for them."""
    revoked = policy.revoked
    if revoked.has_image(SHA256, piece.sha256):
        raise VerifyError("its SHA-256 is revoked", sha256=piece.sha256)
    if piece.role not in PROGRAMS or bytes(piece.data[:2]) != b"MZ":
        return
    try:
        image = piece.image
    except VerifyError:
        return  # no image digest is defined for it; only kinds that judge all its bytes can still accept it
    for name in revoked.image_digests:
        for digest in {image.digest(name), image.padded_digest(name)}:
            if revoked.has_image(name, digest):
                raise VerifyError("its image digest is revoked", digest=name, found=digest)
