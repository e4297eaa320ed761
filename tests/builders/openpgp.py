"""OpenPGP keys and signatures by gpg, in a home of its own; gpgv as the witness."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

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
