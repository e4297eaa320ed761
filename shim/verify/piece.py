"""What the kinds of judgement get to see: one piece of a candidate, and its PE image if it is one."""

from __future__ import annotations

from types import MappingProxyType

from shim.errors import FormatError, VerifyError
from shim.formats.authenticode import TABLE_ALIGNMENT, hashed_ranges, update_hash
from shim.formats.digests import SHA256, digest_of, new_digest
from shim.formats.pe import parse_pe
from shim.model import Role, Verdict
from shim.units import align_up
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from shim.formats.digests import NewHash
    from shim.formats.manifest import Manifest
    from shim.formats.pe import PE
    from shim.formats.record import Buffer
    from shim.ranges import Range


# What is a file, so that a signature may lie beside it, and a manifest name it.
FILE_ROLES = tuple(role for role in Role if role is not Role.CMDLINE)


class Image:
    """A PE file, and its Authenticode digests: each hash function runs over it at most once.

    Raises FormatError for a file that is no PE, or whose layout lets bytes escape the digest.
    """

    def __init__(self, data: Buffer, new_hash: NewHash) -> None:
        self.pe: PE = parse_pe(data)
        self.ranges: tuple[Range, ...] = hashed_ranges(self.pe, len(data))
        self._data, self._new_hash = data, new_hash
        self._digests: dict[str, bytes] = {}

    @property
    def hashed_size(self) -> int:
        return sum(part.size for part in self.ranges)

    def digest(self, name: str) -> bytes:
        """Return the Authenticode digest by this hash function."""
        if name not in self._digests:
            self._digests[name] = update_hash(new_digest(name, self._new_hash), self._data, self.ranges)
        return self._digests[name]

    def padded_digest(self, name: str) -> bytes:
        """Return the digest that the file would have with a signature behind it, which begins at eight bytes.

        Tools that list unsigned files in a dbx mean this one.
        """
        end = self.ranges[-1].end
        if not end % TABLE_ALIGNMENT:
            return self.digest(name)
        padded = bytes(memoryview(self._data)[:end]).ljust(align_up(end, TABLE_ALIGNMENT), b"\0")
        return update_hash(new_digest(name, self._new_hash), padded, hashed_ranges(self.pe, len(padded)))


class Proof(Value):
    """A manifest that was trusted, with the verdict on it; or the problem that leaves none."""

    manifest: Manifest | None = None
    verdict: Verdict | None = None
    problem: str = "there is no manifest"


NO_PROOF = Proof()


class Piece:
    """Bytes with the role they play. `sha256` is that of all of them; `beside` are detached signatures by suffix, for
    a command line those of root hashes by the volumes that they lie on; `proof` is what the manifest says.
    """

    def __init__(
        self, role: Role, name: str, data: Buffer, sha256: bytes, new_hash: NewHash,
        beside: Mapping[str, bytes] = MappingProxyType({}), proof: Proof = NO_PROOF,
    ) -> None:  # fmt: skip
        self.role, self.name, self.data, self.sha256, self.new_hash = role, name, data, sha256, new_hash
        self.beside, self.proof = beside, proof
        self._image: Image | FormatError | None = None
        self._digests = {SHA256: sha256}

    def digest(self, name: str) -> bytes:
        """Return the digest of all bytes by this hash function, which runs over them once."""
        if name not in self._digests:
            self._digests[name] = digest_of(name, self.data, self.new_hash)
        return self._digests[name]

    def containing(self, data: Buffer) -> Piece:
        """Return other bytes, which a signature about this piece covers, as a piece of their own."""
        return Piece(self.role, self.name, data, digest_of(SHA256, data, self.new_hash), self.new_hash)

    def before(self, end: int) -> Piece:
        """Return the first `end` bytes as a piece of its own, with nothing beside it."""
        return self.containing(memoryview(self.data)[:end])

    @property
    def image(self) -> Image:
        """The PE image that the piece is. Raises VerifyError when it is none that could be verified."""
        if self._image is None:
            try:
                self._image = Image(self.data, self.new_hash)
            except FormatError as problem:
                self._image = problem
        if isinstance(self._image, FormatError):
            raise VerifyError(f"no signed program: {self._image}") from self._image
        return self._image

    def accepted(
        self, rule: str, reason: str, *, signer: str | None = None, covered: str | None = None,
        keys: tuple[Hashable, ...] = (),
    ) -> Verdict:  # fmt: skip
        """Return the verdict that lets the piece pass."""
        return Verdict(
            role=self.role, name=self.name, accepted=True, rule=rule, reason=reason, signer=signer, covered=covered,
            sha256=self.sha256, keys=keys,
        )  # fmt: skip

    def refused(self, rule: str, reason: str) -> Verdict:
        """Return the verdict that stops the boot of the piece."""
        return Verdict(
            role=self.role, name=self.name, accepted=False, rule=rule, reason=reason, sha256=self.sha256
        )
