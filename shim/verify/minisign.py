"""The kind "minisign": a detached signature by minisign or signify beside the file, by a key of the policy."""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.verify.piece import FILE_ROLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.formats.minisign import MinisignKey, MinisignSignature
    from shim.model import Role, Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy

NAME = "minisign"
ROLES: tuple[Role, ...] = FILE_ROLES
SUFFIXES: tuple[str, ...] = (".minisig", ".sig")
BLAKE2B_SIZE = SIGNATURE_SIZE = 64
COMMENT_SIZE_MAX = 1 << 14


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Refuse pins: what this kind trusts are its keys."""
    raise ConfigError("keys stand in policy.keys.minisign, not here", key=key, found=len(values))


def parse_keys(data: bytes) -> tuple[MinisignKey, ...]:
    """Return the key of a .pub file. Raises FormatError."""
    from shim.formats.minisign import parse_minisign_key

    return (parse_minisign_key(data),)


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signature by a key of the policy.

    Raises VerifyError at the end with the reasons against the others, or when there is none.
    """
    problems, accepted = list[str](), False
    for suffix in SUFFIXES:
        data = piece.beside.get(suffix)
        if data is None:
            continue
        try:
            key, reason = _check(piece, policy, data)
        except (FormatError, VerifyError) as problem:
            problems.append(f"{suffix}: {problem}")
            continue
        accepted = True
        yield piece.accepted(NAME, reason, signer=f"minisign key {key.key_id}", covered="all bytes", keys=(key.key,))
    if problems or not accepted:
        raise VerifyError("; ".join(problems) or "no signature of minisign beside it")


def _check(piece: Piece, policy: Policy, data: bytes) -> tuple[MinisignKey, str]:
    """Return the key that made a signature, and the sentence. Keys of one ID may differ: each is tried."""
    from shim.formats.minisign import parse_minisign_signature

    signature = parse_minisign_signature(data)
    problem = VerifyError("signed by a key that the policy does not have", key=signature.key_id)
    for key in policy.keys.get(NAME, ()):
        if key.key_id != signature.key_id:
            continue
        try:
            return key, _check_by(piece, key, signature)
        except VerifyError as found:
            problem = found
    raise problem


def _check_by(piece: Piece, key: MinisignKey, signature: MinisignSignature) -> str:
    """Check a signature, return the sentence."""
    from shim.errors import printable
    from shim.formats.digests import new_blake2b
    from shim.verify.ed25519 import check_ed25519

    signed = piece.data
    if not signature.hashed and _could_be_inside(piece, signature):
        raise VerifyError("the signature could be a part of another file's: over its BLAKE2b-512, or over its "
                          "signature with the comment")
    if signature.hashed:
        running = new_blake2b()
        running.update(memoryview(piece.data))
        signed = running.digest()
    check_ed25519(key.key, (signed,), signature.signature)
    if signature.comment is None:
        return f"signed by the signify key {key.key_id}"
    check_ed25519(key.key, (signature.signature, signature.comment), signature.comment_signature)
    comment = printable(signature.comment.decode("utf-8", "replace"), 120)
    return f"signed by the minisign key {key.key_id} ({comment})"


def _could_be_inside(piece: Piece, signature: MinisignSignature) -> bool:
    """Say whether a file is something that minisign signs on the way to signing another one.

    Whether a signature is over a file or over its BLAKE2b-512 is said in two letters that nobody has signed, and the
    comment's signature, over the file's and the comment, is one in signify's format. The last byte of a signature
    is small, because its second half is a number below L (RFC 8032, 5.1.7), and a comment is one line.
    """
    size = len(piece.data)
    if size == BLAKE2B_SIZE:
        return True
    if signature.comment is not None or not SIGNATURE_SIZE < size <= SIGNATURE_SIZE + COMMENT_SIZE_MAX:
        return False
    head, comment = bytes(piece.data[:SIGNATURE_SIZE]), bytes(piece.data[SIGNATURE_SIZE:])
    return head[-1] <= 0x10 and b"\0" not in comment and b"\n" not in comment
