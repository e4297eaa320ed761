"""The kind "ssh": a detached signature by `ssh-keygen -Y sign` beside the file, by an allowed signer of the policy."""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.verify.piece import FILE_ROLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.formats.digests import NewHash
    from shim.formats.sshsig import AllowedSigner, SshSignature
    from shim.model import Role, Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

    Check = Callable[[SshSignature, bytes, NewHash], None]

NAME = "ssh"
ROLES: tuple[Role, ...] = FILE_ROLES
SUFFIXES: tuple[str, ...] = (".sig",)
NAMESPACE = "file"  # what ssh-keygen(1) proposes for files


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are its allowed signers."""
    raise ConfigError("allowed signers stand in policy.keys.ssh, not here", key=key, found=len(values))


def parse_keys(data: bytes) -> tuple[AllowedSigner, ...]:
    """Return the lines of an allowed-signers file. Raises FormatError."""
    from shim.formats.sshsig import parse_allowed_signers

    return parse_allowed_signers(data)


def judge(piece: Piece, policy: Policy) -> tuple[Verdict, ...]:
    """Give the verdict of the signer. Raises VerifyError when it is none of the policy's."""
    from shim.formats.sshsig import parse_ssh_signature

    suffix, = SUFFIXES
    data = piece.beside.get(suffix)
    if data is None:
        raise VerifyError("no SSH signature beside it")
    try:
        signature = parse_ssh_signature(data)
        signer = _signer_of(signature, piece, policy)
        _check(signature, piece)
    except (FormatError, VerifyError) as problem:
        raise VerifyError(f"{suffix}: {problem}") from problem
    text = f"{signer.principals} ({signature.key.type.decode('ascii')})"
    return (piece.accepted(NAME, f"signed by {text}", signer=text, covered="all bytes", keys=(signature.key.key,)),)


def _signer_of(signature: SshSignature, piece: Piece, policy: Policy) -> AllowedSigner:
    """Return the allowed signer with the signature's key and namespace."""
    from shim.formats.sshsig import word

    known = [signer for signer in policy.keys.get(NAME, ()) if signer.key.blob == signature.key.blob]
    if not known:
        print_ = _fingerprint(signature.key.blob, piece.new_hash)
        raise VerifyError("signed by a key that is not among the allowed signers", type=word(signature.key.type),
                          key=print_)
    for signer in known:
        if signature.namespace in (signer.namespaces or (NAMESPACE,)):
            found: AllowedSigner = signer
            return found
    allowed = " ".join(dict.fromkeys(name for signer in known for name in signer.namespaces or (NAMESPACE,)))
    raise VerifyError("signed for another namespace", expected=allowed, found=signature.namespace)


def _fingerprint(blob: bytes, new_hash: NewHash) -> str:
    """Return the fingerprint of a key as `ssh-keygen -l` shows it."""
    from binascii import b2a_base64

    from shim.formats.digests import SHA256, digest_of

    return f"SHA256:{b2a_base64(digest_of(SHA256, blob, new_hash), newline=False).decode().rstrip('=')}"


def _check(signature: SshSignature, piece: Piece) -> None:
    from shim.formats.digests import digest_of
    from shim.formats.sshsig import word

    check = CHECKS.get(signature.algorithm)
    if check is None:
        raise VerifyError("signature algorithm is too weak or unknown", found=word(signature.algorithm))
    message = signature.message(digest_of(signature.hash_name, piece.data, piece.new_hash))
    check(signature, message, piece.new_hash)


def _ed25519(signature: SshSignature, message: bytes, new_hash: NewHash) -> None:
    from shim.verify.ed25519 import check_ed25519

    if not isinstance(signature.key.key, bytes):
        raise VerifyError("signature algorithm does not go with the key")
    check_ed25519(signature.key.key, (message,), signature.signature)


def _rsa(hash_name: str) -> Check:
    """Return the check of an RSA signature. Spec: RFC 8332, 3."""

    def check(signature: SshSignature, message: bytes, new_hash: NewHash) -> None:
        from shim.formats.digests import digest_of
        from shim.formats.spki import RsaKey
        from shim.verify.rsa import check_rsa

        if not isinstance(signature.key.key, RsaKey):
            raise VerifyError("signature algorithm does not go with the key")
        check_rsa(signature.key.key, hash_name, digest_of(hash_name, message, new_hash), signature.signature)

    return check


def _ecdsa(hash_name: str) -> Check:
    """Return the check of an ECDSA signature. Spec: RFC 5656, 3.1.2."""

    def check(signature: SshSignature, message: bytes, new_hash: NewHash) -> None:
        from shim.formats.digests import digest_of
        from shim.formats.spki import EcKey
        from shim.formats.sshsig import Reader
        from shim.verify.ecdsa import check_ecdsa_pair

        if not isinstance(signature.key.key, EcKey) or signature.key.type != signature.algorithm:
            raise VerifyError("signature algorithm does not go with the key")
        try:
            reader = Reader(signature.signature)
            r, s = reader.positive(), reader.positive()
            reader.end()
        except FormatError as problem:
            raise VerifyError(f"ECDSA signature is malformed: {problem}") from problem
        check_ecdsa_pair(signature.key.key, hash_name, digest_of(hash_name, message, new_hash), r, s)

    return check


CHECKS: dict[bytes, Check] = {
    b"ssh-ed25519": _ed25519,
    b"rsa-sha2-256": _rsa("SHA-256"),
    b"rsa-sha2-512": _rsa("SHA-512"),
    b"ecdsa-sha2-nistp256": _ecdsa("SHA-256"),
    b"ecdsa-sha2-nistp384": _ecdsa("SHA-384"),
}
