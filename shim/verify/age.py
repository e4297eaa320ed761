"""How old a kernel may be: its own version, which its signature covers, against the least that the policy takes."""

from __future__ import annotations

from shim.errors import FormatError, VerifyError
from shim.model import Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy


def check_age(piece: Piece, policy: Policy) -> None:
    """Raise VerifyError for a kernel that is older than its rule allows, or that does not say how old it is."""
    minimum = policy.minimum_version(piece.role)
    if minimum is None:
        return
    from shim.formats.vercmp import compare_versions

    found = version_of(piece)
    if compare_versions(found, minimum) < 0:
        raise VerifyError("the kernel is too old", expected=minimum, found=found)


def version_of(piece: Piece) -> str:
    """Return the version of a bzImage, or of the one in a UKI, up to the first blank: what `uname -r` says of it."""
    from shim.formats.bzimage import parse_bzimage
    from shim.formats.uki import split_uki

    try:
        data = split_uki(piece.data).linux if piece.role is Role.UKI else piece.data
        version = parse_bzimage(data).kernel_version
    except FormatError as problem:
        raise VerifyError(f"no version can be read: {problem}") from problem
    if not version.split():
        raise VerifyError("the kernel does not say its version")
    return version.split()[0]
