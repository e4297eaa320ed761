"""OpenPGP keys and signatures by gpg, with gpgv as the witness; and some that gpg would not make."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BASE = ("gpg", "--batch", "--yes", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")
DAY = 86400
THEN = 1_600_000_000  # when keys are made, unless said otherwise


class Gpg:
    """One home of gpg. Its path is short, because the agent's socket lies in it."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg"))

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(self.home)], check=False)

    def run(self, *words: str, data: bytes = b"", when: int = THEN) -> bytes:
        command = [*BASE, "--homedir", str(self.home), "--faked-system-time", f"{when}!", *words]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
        return done.stdout

    def make(self, name: str, kind: str, expires: str = "never", *words: str) -> str:
        """Make a key that signs; return its fingerprint."""
        self.run(*words, "--quick-generate-key", f"{name} <{name}@example.org>", kind, "sign", expires)
        return self.fingerprints(name)[0]

    def add_subkey(self, name: str, kind: str, use: str = "sign", expires: str = "never") -> str:
        self.run("--quick-add-key", self.fingerprints(name)[0], kind, use, expires)
        return self.fingerprints(name)[-1]

    def fingerprints(self, name: str) -> list[str]:
        """Return those of the primary key and the subkeys, in order."""
        lines = self.run("--with-colons", "--list-keys", f"{name}@").decode().splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr:")]

    def export(self, *names: str, armor: bool = False) -> bytes:
        return self.run(*(["--armor"] if armor else []), "--export", *(f"{name}@" for name in names))

    def sign(self, data: bytes, *names: str, when: int = THEN + DAY, words: tuple[str, ...] = (), armor: bool = True,
             action: str = "--detach-sign") -> bytes:
        """Return a signature by each of the keys, named or given by fingerprint with "!" for that very one."""
        users = [word for name in names for word in ("-u", name if name.endswith("!") else f"{name}@")]
        return self.run(*words, *users, *(["--armor"] if armor else []), action, data=data, when=when)

    def revoke(self, name: str, subkey: int = 0) -> bytes:
        """Revoke a key, or a subkey by its number; return the keyring."""
        if subkey:
            command = [*BASE, "--homedir", str(self.home), "--command-fd", "0", "--edit-key", f"{name}@"]
            command.remove("--batch")
            answers = f"key {subkey}\nrevkey\ny\n0\n\ny\nsave\n".encode()
            subprocess.run(command, input=answers, capture_output=True, check=True)
        else:
            text = (self.home / f"openpgp-revocs.d/{self.fingerprints(name)[0]}.rev").read_text()
            self.run("--import", data=text.replace(":-----BEGIN", "-----BEGIN").encode())
        return self.export(name)

    def gpgv(self, ring: bytes, data: bytes, signature: bytes) -> bool:
        """Say what gpgv thinks."""
        for name, content in (("ring.gpg", ring), ("message", data), ("given.sig", signature)):
            (self.home / name).write_bytes(content)
        command = ["gpgv", "--homedir", str(self.home), "--keyring", str(self.home / "ring.gpg"),
                   str(self.home / "given.sig"), str(self.home / "message")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Maker:
    """A key of version 4 or 6 that says and signs what gpg would not. Spec: RFC 9580, 5.2 and 5.5."""

    def __init__(self, version: int = 6, created: int = THEN) -> None:
        self.version, self.private = version, Ed25519PrivateKey.generate()
        raw = self.private.public_key().public_bytes_raw()
        size = struct.pack(">I", len(raw)) if version == 6 else b""
        self.body = bytes((version,)) + struct.pack(">IB", created, 27) + size + raw

    @property
    def hashed(self) -> bytes:
        if self.version == 4:
            return b"\x99" + struct.pack(">H", len(self.body)) + self.body
        return b"\x9b" + struct.pack(">I", len(self.body)) + self.body

    def sign(self, kind: int, covered: bytes, *subpackets: tuple[int, bytes], name: str = "sha512",
             created: int = THEN, salt_size: int | None = None) -> bytes:
        """Return the body of a signature; it names its issuer and its time."""
        number, width = {"sha1": 2, "sha256": 8, "sha512": 10}[name], ">H" if self.version == 4 else ">I"
        print_ = hashlib.new("sha1" if self.version == 4 else "sha256", self.hashed).digest()
        rows = [(2, struct.pack(">I", created)), (33, bytes((self.version,)) + print_), *subpackets]
        area = b"".join(b"\xff" + struct.pack(">IB", len(value) + 1, one) + value for one, value in rows)
        head = bytes((self.version, kind, 27, number)) + struct.pack(width, len(area)) + area
        usual = 0 if self.version == 4 else {"sha1": 16, "sha256": 16, "sha512": 32}[name]
        salt = bytes(usual if salt_size is None else salt_size)
        trailer = bytes((self.version, 0xFF)) + struct.pack(">I", len(head))
        digest = hashlib.new(name, salt + covered + head + trailer).digest()
        shown = b"" if self.version == 4 else bytes((len(salt),)) + salt
        return head + struct.pack(width, 0) + digest[:2] + shown + self.private.sign(digest)


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet in the new format with the longest form of a length."""
    return bytes((0xC0 | kind, 0xFF)) + struct.pack(">I", len(body)) + body
