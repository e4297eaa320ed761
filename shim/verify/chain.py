"""From a signer's certificate to an anchor of the policy. Spec: RFC 5280, 4.2.1 and 6.1; UEFI 2.10, 32.5.1.

A chain ends at an anchor, or it is none: the anchor is the signer's certificate itself, or has issued the last
certificate of the chain, whether it is a root, an intermediate or anything else. Certificates that the signature
carries only help to get there; the last of them is never trusted because nobody above it is known.

As UEFI has it, time does not end a signature: validity is not checked. Everything else that a certificate says of
its use is.
"""

from __future__ import annotations

from shim.errors import ShimError, VerifyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.formats.x509 import Certificate
    from shim.verify.keys import SignatureChecker

DIGITAL_SIGNATURE, KEY_CERT_SIGN = 0, 5  # bits of the key usage
OBJECT_SIGNING, OBJECT_SIGNING_CA = 3, 7  # bits of the Netscape certificate type
CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
ANY_USE = "2.5.29.37.0"
MODULES_ONLY = "1.3.6.1.4.1.2312.16.1.2"  # keys that distributions make for kernel modules and nothing else
CHAIN_MAX = 8  # certificates, the anchor not counted


class ChainBuilder:
    """Look for a way from one signer to an anchor."""

    def __init__(
        self, pool: Sequence[Certificate], anchors: Sequence[Certificate], checker: SignatureChecker
    ) -> None:
        self.pool, self.anchors, self.checker = pool, anchors, checker
        self.problem: ShimError | None = None

    def build(self, signer: Certificate) -> tuple[Certificate, ...]:
        """Return the chain, the signer first, the anchor last. Raises VerifyError with the best reason there is."""
        check_signer(signer)
        found = self._extend((signer,))
        if found is None:
            raise self.problem or VerifyError(
                "no anchor of the policy has issued it", signer=signer.subject_text, issuer=signer.issuer_text
            )
        return found

    def _extend(self, path: tuple[Certificate, ...]) -> tuple[Certificate, ...] | None:
        last = path[-1]
        if any(last.encoded == anchor.encoded for anchor in self.anchors):
            return path
        for anchor in self._issuers(self.anchors, path):
            if self._is_issued(path, anchor):
                return (*path, anchor)
        if len(path) == CHAIN_MAX:
            self.problem = self.problem or VerifyError("the chain is too long", expected=CHAIN_MAX)
            return None
        issuers = [issuer for issuer in self._issuers(self.pool, path) if self._is_issued(path, issuer)]
        for issuer in issuers:
            found = self._extend((*path, issuer))
            if found is not None:
                return found
        if not issuers and len(path) > 1:
            self.problem = self.problem or VerifyError(
                "the chain ends before an anchor of the policy", last=last.subject_text, issuer=last.issuer_text
            )
        return None

    def _issuers(self, among: Sequence[Certificate], path: tuple[Certificate, ...]) -> Iterator[Certificate]:
        for certificate in among:
            if certificate.subject == path[-1].issuer and certificate not in path:
                yield certificate

    def _is_issued(self, path: tuple[Certificate, ...], issuer: Certificate) -> bool:
        """Say whether `issuer` may have issued the last of the path and did; keep the reason when not."""
        last = path[-1]
        try:
            check_issuer(issuer, below=len(path) - 1)
            self.checker.check(issuer.spki, last.signature_algorithm, last.tbs, last.signature)
        except VerifyError as problem:
            if self.checker.checks_left == 0:
                raise
            self.problem = self.problem or problem.about(certificate=last.subject_text, issuer=issuer.subject_text)
            return False
        return True


def named_above(signer: Certificate, pool: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Return the signer and every certificate that could stand above it by its name, whoever signed what."""
    found = [signer]
    for certificate in found:
        found.extend(
            above for above in pool if above.subject == certificate.issuer and above not in found
        )
    return tuple(found)


def check_signer(certificate: Certificate) -> None:
    """Raise VerifyError when a certificate forbids that its key signs programs."""
    _check_extensions(certificate)
    if certificate.key_usage is not None and DIGITAL_SIGNATURE not in certificate.key_usage:
        raise VerifyError("the signer's key usage does not include signatures", signer=certificate.subject_text)
    if certificate.netscape_type is not None and OBJECT_SIGNING not in certificate.netscape_type:
        raise VerifyError("the signer's Netscape type does not include programs", signer=certificate.subject_text)
    uses = certificate.extended_key_usage
    if uses is not None and (CODE_SIGNING not in uses or MODULES_ONLY in uses):
        name = certificate.subject_text
        raise VerifyError("the signer's extended key usage does not include programs", signer=name)


def check_issuer(certificate: Certificate, below: int) -> None:
    """Raise VerifyError when a certificate may not issue others, with `below` issuers between it and the signer.

    Self-issued certificates count like others: RFC 5280 lets them pass a path length, which nobody needs here.
    """
    _check_extensions(certificate)
    if not certificate.is_ca:
        raise VerifyError("the issuer is no certificate authority")
    limit = certificate.path_length
    if limit is not None and below > limit:
        raise VerifyError("the chain is longer than the issuer allows", expected=limit, found=below)
    if certificate.key_usage is not None and KEY_CERT_SIGN not in certificate.key_usage:
        raise VerifyError("the issuer's key usage does not include certificates")
    if certificate.netscape_type is not None and OBJECT_SIGNING_CA not in certificate.netscape_type:
        raise VerifyError("the issuer's Netscape type does not include programs")
    uses = certificate.extended_key_usage
    if uses is not None and CODE_SIGNING not in uses and ANY_USE not in uses:
        raise VerifyError("the issuer's extended key usage does not include programs")


def _check_extensions(certificate: Certificate) -> None:
    if certificate.unknown_critical:
        raise VerifyError(
            "a certificate has a critical extension that is not understood",
            certificate=certificate.subject_text,
            extension=certificate.unknown_critical[0],
        )
