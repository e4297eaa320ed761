"""The hash functions of a TPM's PCR banks. Spec: TCG Algorithm Registry, table 3 (TPM_ALG_ID).

A bank that is active and not extended would let anyone put anything into it, so SHA-1 is here too, unlike in
`digests`: it protects nothing, it keeps an old bank from being empty.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.digests import SHA256, SHA384, SHA512, new_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.digests import NewHash
    from shim.formats.record import Buffer
    from shim.ports import Hash

SHA1_BANK, SHA256_BANK = "sha1", "sha256"
ALGORITHMS = {0x0004: SHA1_BANK, 0x000B: SHA256_BANK, 0x000C: "sha384", 0x000D: "sha512"}
UNSUPPORTED = {0x0012: "sm3_256", 0x0027: "sha3_256", 0x0028: "sha3_384", 0x0029: "sha3_512"}
NUMBERS = {name: number for number, name in ALGORITHMS.items()}
SIZES = {SHA1_BANK: 20, SHA256_BANK: 32, "sha384": 48, "sha512": 64}
DIGESTS = {SHA256_BANK: SHA256, "sha384": SHA384, "sha512": SHA512}


def bank_name(algorithm: int) -> str:
    """Return the name of a bank, as the kernel and tpm2-tools spell it; a number where there is no name here."""
    return ALGORITHMS.get(algorithm) or UNSUPPORTED.get(algorithm) or f"{algorithm:#06x}"


def new_bank_hash(bank: str, new_hash: NewHash) -> Hash:
    """Start a digest of a bank; `new_hash` makes those of SHA-256. Raises FormatError for a bank unknown here."""
    if bank in DIGESTS:
        return new_digest(DIGESTS[bank], new_hash)
    if bank != SHA1_BANK:
        raise FormatError("this PCR bank's hash function is not known here", bank=bank, known=" ".join(SIZES))
    try:
        from _sha1 import sha1  # type: ignore[import-not-found,unused-ignore]  # hashlib is not in the frozen runtime
    except ImportError:
        from hashlib import sha1
    started: Hash = sha1(usedforsecurity=False)
    return started


def extended(bank: str, value: bytes, digest: bytes, new_hash: NewHash) -> bytes:
    """Return what a PCR holds after it was extended. Spec: TPM 2.0 part 1, 17.4 (Extend of a PCR)."""
    running = new_bank_hash(bank, new_hash)
    running.update(value + digest)
    return running.digest()


def bank_digest(bank: str, data: Buffer, new_hash: NewHash) -> bytes:
    """Return the digest of some bytes in a bank."""
    running = new_bank_hash(bank, new_hash)
    running.update(memoryview(data))
    return running.digest()
