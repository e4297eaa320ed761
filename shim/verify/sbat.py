"""Generations that are too old: the SBAT level of the policy. Spec: SBAT.md of https://github.com/rhboot/shim.

Like the dbx, the level speaks against an image whatever else speaks for it. In a UKI the kernel inside is asked, too:
it is what runs.
"""

from __future__ import annotations

from shim.errors import ConfigError, FormatError, VerifyError
from shim.formats.pe import parse_pe
from shim.verify.revoked import PROGRAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from shim.formats.pe import PE
    from shim.formats.record import Buffer
    from shim.formats.sbat import Component, Level
    from shim.verify.piece import Piece
    from shim.verify.policy import Policy


def parse_levels(files: Iterable[tuple[str, bytes]]) -> Level | None:
    """Join the levels of several files, given with their names; None when there are none. Raises ConfigError."""
    joined: Level | None = None
    for name, data in files:
        from shim.formats.sbat import parse_level

        try:
            level = parse_level(data)
        except FormatError as problem:
            raise ConfigError(f"not a usable SBAT level: {problem}", key="policy.sbat", name=name) from problem
        joined = joined.joined(level) if joined else level
    return joined


def check_sbat(piece: Piece, policy: Policy) -> None:
    """Raise VerifyError for an image with a part below the level of the policy, or without SBAT where that is required.

    Without a level nothing is looked at. SBAT that cannot be read could hide a part: it is refused.
    """
    if policy.sbat is None or piece.role not in PROGRAMS:
        return
    try:
        own, inner = _components(piece.data)
    except FormatError as problem:
        raise VerifyError(f"its SBAT cannot be read: {problem}") from problem
    if not own and policy.requires_sbat(piece.role):
        raise VerifyError("it has no SBAT, which the policy requires")
    for row in (*own, *inner):
        demanded = policy.sbat.generations.get(row.component, 0)
        if row.generation < demanded:
            raise VerifyError(
                f"its SBAT component {row.component} is of generation {row.generation}: "
                f"the policy demands {demanded} at least"
            )


def _components(data: Buffer) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """Return the SBAT of an image, and that of the kernels inside it. What is no PE has none."""
    from shim.formats.sbat import image_sbat

    pe = _headers(data)
    if pe is None:
        return (), ()
    inner: list[Component] = []
    for section in pe.sections:
        kernel = section.data(data) if section.name == ".linux" else b""
        headers = _headers(kernel)
        if headers is not None:
            inner += image_sbat(headers, kernel)
    return image_sbat(pe, data), tuple(inner)


def _headers(data: Buffer) -> PE | None:
    try:
        return parse_pe(data) if bytes(data[:2]) == b"MZ" else None
    except FormatError:
        return None  # what no firmware would start as a PE is a kernel of another kind, which has no SBAT
