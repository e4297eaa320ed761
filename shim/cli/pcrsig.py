"""Sign what PCR 11 will hold, as `systemd-measure sign` does: the text of a UKI's `.pcrsig`.

What is signed is a TPM policy for each bank and each phase of systemd's boot. The private key is openssl's business:
none of this is in the boot shim itself.
Spec: systemd-measure(1) of systemd 257 and src/measure/measure.c; TPM 2.0 part 3, 23.7 (TPM2_PolicyPCR).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from shim.errors import ConfigError, FormatError
from shim.formats.banks import NUMBERS, SIZES, extended
from shim.formats.der import SEQUENCE, parse_bits, parse_der
from shim.formats.pem import parse_pem
from shim.formats.spki import RsaKey, parse_public_key
from shim.measure.pcrs import SECTION
from shim.values import Value

# From the beginning of the initrd to the beginning of shutdown; systemd extends each word into PCR 11 on its way.
PHASES = ("enter-initrd", "enter-initrd:leave-initrd", "enter-initrd:leave-initrd:sysinit",
          "enter-initrd:leave-initrd:sysinit:ready")  # fmt: skip
PUBLIC_KEY = "PUBLIC KEY"
POLICY_PCR = 0x017F  # TPM_CC_PolicyPCR
RSA_BITS_MIN = 2048  # what every TPM takes; systemd knows no other kind of key here


class SigningKey(Value):
    """A private key in PEM, and its public half as SubjectPublicKeyInfo in DER."""

    private: bytes
    public: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the RSAPublicKey inside the public half, by which the next OS finds its signatures."""
        fields = parse_der(self.public, "public key").fields()
        fields.take(SEQUENCE, "key algorithm")
        bits, _ = parse_bits(fields.any("key"))
        return hashlib.sha256(bits).hexdigest()


def read_key(path: str) -> SigningKey:
    """Return a private key; openssl asks for its passphrase where it has one. Raises ConfigError."""
    private = _openssl(["pkey", "-in", path], f"the private key cannot be read: {path}")
    public = _openssl(["pkey", "-pubout", "-outform", "DER"], "the private key has no public half", private)
    try:
        parsed = parse_public_key(public)
    except FormatError as problem:
        raise ConfigError(f"PCR policies are signed with RSA: {problem}", file=path) from problem
    if not isinstance(parsed, RsaKey) or parsed.modulus.bit_length() < RSA_BITS_MIN:
        raise ConfigError("PCR policies are signed with RSA of 2048 bits or more", file=path, found=parsed.text)
    return SigningKey(private=private, public=public)


def has_public_key(pem: bytes, key: SigningKey) -> bool:
    """Say whether a public key in PEM is that of a private key. Raises FormatError when it is no PEM."""
    return parse_pem(pem, PUBLIC_KEY) == (key.public,)


def check_public_key(path: str, data: bytes, key: SigningKey) -> None:
    """Check that a public key is that of the private key. Raises ConfigError."""
    try:
        is_same = has_public_key(data, key)
    except FormatError as problem:
        raise ConfigError(f"the public key cannot be read: {problem}", file=path) from problem
    if not is_same:
        raise ConfigError("the public key is not that of the private key", file=path, expected=key.fingerprint)


def sign_pcr11(
    values: Mapping[str, bytes], phases: Iterable[str], key: SigningKey, appended: str | None = None
) -> str:
    """Return signatures for the values of PCR 11, by bank, in these phases, as one line of JSON.

    `appended` is the text of an earlier answer (of another profile, say), which is continued.
    Spec: the policy's digest is signed with the hash function of the bank, RSASSA-PKCS1-v1_5.
    """
    found: dict[str, list[Any]] = {} if appended is None else _parse_signatures(appended)
    for phase in sorted(set(phases)) or PHASES:
        for bank in sorted(values):
            policy = policy_digest(bank, value_in_phase(bank, values[bank], phase))
            row = {"pcrs": [SECTION.pcr], "pkfp": key.fingerprint, "pol": policy.hex(),
                   "sig": base64.b64encode(_sign(policy, bank, key)).decode("ascii")}  # fmt: skip
            rows = found.pop(bank, [])
            found[bank] = rows if row in rows else [*rows, row]
    return json.dumps(found, separators=(",", ":"))


def value_in_phase(bank: str, value: bytes, phase: str) -> bytes:
    """Return a PCR's value after systemd has extended the words of a phase, divided by colons; "" is before them."""
    for word in filter(None, phase.split(":")):
        value = extended(bank, value, hashlib.new(bank, word.encode("utf-8", "surrogateescape")).digest(),
                         hashlib.sha256)  # fmt: skip
    return value


def policy_digest(bank: str, value: bytes) -> bytes:
    """Return the digest of a SHA-256 policy that asks for this value of PCR 11 in a bank, and for nothing else."""
    selected = (1 << SECTION.pcr).to_bytes(3, "little")
    selection = struct.pack(">IHB3s", 1, NUMBERS[bank], len(selected), selected)  # TPML_PCR_SELECTION
    start = bytes(SIZES["sha256"])
    return hashlib.sha256(start + struct.pack(">I", POLICY_PCR) + selection + hashlib.sha256(value).digest()).digest()


def _parse_signatures(text: str) -> dict[str, list[Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"--append: the signatures are not JSON: {problem}") from problem
    if not isinstance(found, dict) or not all(isinstance(rows, list) for rows in found.values()):
        raise ConfigError("--append: the signatures are not lists by bank")
    return found


def _sign(message: bytes, bank: str, key: SigningKey) -> bytes:
    with tempfile.NamedTemporaryFile(prefix="bootshim-") as file:
        file.write(message)
        file.flush()
        return _openssl(["dgst", f"-{bank}", "-sign", "/dev/stdin", file.name], "the policy cannot be signed",
                        key.private)  # fmt: skip


def _openssl(words: list[str], reason: str, given: bytes | None = None) -> bytes:
    """Return what openssl prints; `given` is what it reads."""
    try:
        done = subprocess.run(["openssl", *words], input=given, capture_output=True, check=False)
    except FileNotFoundError as problem:
        raise ConfigError("signing needs the program openssl, which is not installed here") from problem
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(reason, openssl=said[-1] if said else done.returncode)
    return done.stdout
