"""The kind "verity": a command line that is listed but for its dm-verity root hash, which is signed.

The pins are command lines without `roothash=` and `usrhash=`. What these name must carry a signature under an anchor,
in a signature partition of some disk: a new image of the operating system brings a new root hash with its signature,
and the policy stays as it is. Spec: systemd-veritysetup-generator(8), roothash= and usrhash=.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from shim.model import Verdict
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy
    from shim.verify.signers import Claim

NAME = "verity"
ROLES: tuple[Role, ...] = (Role.CMDLINE,)
SUFFIXES: tuple[str, ...] = ()
USES_ANCHORS = True
OPTIONS = ("roothash", "usrhash")


def parse_pins(values: tuple[str, ...], key: str) -> tuple[bytes, ...]:
    """Return command lines as a kernel would get them, without their root hashes."""
    for text in values:
        if not text.isprintable() or _is_ambiguous(text) or text != " ".join(text.split()):
            raise ConfigError("not words with one blank between them, without quotes and --", key=key, found=text)
        if _root_hashes(text):
            raise ConfigError("the root hash is what is not listed", key=key, found=text)
    return tuple(text.encode("utf-8") for text in values)


def judge(piece: Piece, policy: Policy) -> Iterator[Verdict]:
    """Give a verdict for each signer of all root hashes of a command line. Raises VerifyError when there is none."""
    line = bytes(piece.data).decode("utf-8")
    if _is_ambiguous(line):
        raise VerifyError("with quotes or -- in it, a command line cannot be taken apart")
    hashes = _root_hashes(line)
    names = [name for name, _ in hashes]
    if not hashes or len(set(names)) < len(names):
        raise VerifyError(f"it does not say once what its root is: {' or '.join(f'{name}=' for name in OPTIONS)}")
    rest = " ".join(word for word in line.split(" ") if not _is_root_hash_word(word))
    if rest.encode("utf-8") not in policy.pins(piece.role, NAME):
        raise VerifyError("without its root hash it is none of the command lines listed", found=rest)
    signed = [dict(_signers(piece, policy, name, root_hash)) for name, root_hash in hashes]
    for key, verdict in signed[0].items():
        if all(key in others for others in signed):
            yield verdict.replace(covered="the root hash; the other words are listed")
    if not set(signed[0]).intersection(*signed):
        raise VerifyError("no one has signed all of its root hashes")


def _signers(piece: Piece, policy: Policy, name: str, root_hash: str) -> Iterator[tuple[tuple[Hashable, ...], Verdict]]:
    """Yield those who signed a root hash, by their keys. Raises VerifyError when there is none."""
    from shim.verify.signers import judge_claims

    problems: list[str] = []
    claims = list(_claims(piece, root_hash, problems))
    if not claims and not problems:
        raise VerifyError(f"no disk has a signature of its {name}", found=root_hash)
    for verdict in judge_claims(NAME, piece, policy, claims, problems):
        yield verdict.keys, verdict


def _claims(piece: Piece, root_hash: str, problems: list[str]) -> Iterator[Claim]:
    """Yield a claim for every signer of this root hash; tell of the partitions that cannot be read."""
    from shim.formats.pkcs7 import parse_signed_data
    from shim.formats.verity_sig import parse_verity_signature
    from shim.verify.cms import detached_claims

    content = piece.containing(root_hash.encode("ascii"))
    for volume, data in piece.beside.items():
        try:
            found = parse_verity_signature(data)
            if found.root_hash == root_hash:
                yield from detached_claims(volume, parse_signed_data(found.signature), content, "the root hash")
        except FormatError as problem:
            problems.append(f"{volume}: {problem}")


def _is_ambiguous(line: str) -> bool:
    return '"' in line or "--" in line.split()


def _is_root_hash_word(word: str) -> bool:
    return word.partition("=")[0] in OPTIONS


def _root_hashes(line: str) -> list[tuple[str, str]]:
    """Return the options that name root hashes, in order, with what they name."""
    words = [word.partition("=") for word in line.split(" ") if _is_root_hash_word(word)]
    return [(name, value) for name, _, value in words]
