"""Detached signatures as people make them: minisign, signify and ssh-keygen, with keys made for a test."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SSH_TYPES = {"ssh ed25519": ("ed25519",), "ssh rsa": ("rsa", "-b", "3072"), "ssh ecdsa": ("ecdsa", "-b", "384")}
KINDS = {"minisign": "minisign", "minisign legacy": "minisign", "signify": "minisign",
         **dict.fromkeys(SSH_TYPES, "ssh")}
SUFFIXES = {"minisign": ".minisig", "minisign legacy": ".minisig"}


class Signer(NamedTuple):
    """A tool with a key: `public` is the file that a policy names, `kind` the policy's word for it."""

    tool: str
    folder: Path
    public: bytes

    @property
    def kind(self) -> str:
        return KINDS[self.tool]

    @property
    def suffix(self) -> str:
        return SUFFIXES.get(self.tool, ".sig")

    def sign(self, data: bytes, namespace: str = "file") -> bytes:
        """Return the signature file for these bytes."""
        message, output = self.folder / "message", self.folder / "message.sig"
        message.write_bytes(data)
        output.unlink(missing_ok=True)
        secret = str(self.folder / "secret")
        if self.tool.startswith("minisign"):
            legacy = ("-l",) if self.tool.endswith("legacy") else ()
            run("minisign", "-S", "-W", *legacy, "-s", secret, "-m", str(message), "-x", str(output), "-t", "a comment")
        elif self.tool == "signify":
            run("signify-openbsd", "-S", "-s", f"{secret}.sec", "-m", str(message), "-x", str(output))
        else:
            run("ssh-keygen", "-q", "-Y", "sign", "-f", secret, "-n", namespace, str(message))
        return output.read_bytes()

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Say what the tool itself thinks: the witness."""
        message, given, public = (self.folder / name for name in ("message", "given.sig", "public"))
        message.write_bytes(data)
        given.write_bytes(signature)
        if self.tool.startswith("minisign"):
            command = ["minisign", "-V", "-p", str(public), "-m", str(message), "-x", str(given)]
        elif self.tool == "signify":
            command = ["signify-openbsd", "-V", "-p", str(public), "-m", str(message), "-x", str(given)]
        else:
            (self.folder / "allowed").write_bytes(self.public)
            command = ["ssh-keygen", "-Y", "verify", "-f", str(self.folder / "allowed"), "-I", "me@example.org",
                       "-n", "file", "-s", str(given)]
        return subprocess.run(command, input=data, capture_output=True, check=False).returncode == 0


def make_signer(folder: Path, tool: str) -> Signer:
    """Make a key for a tool."""
    folder.mkdir(parents=True, exist_ok=True)
    secret, public = str(folder / "secret"), folder / "public"
    if tool.startswith("minisign"):
        run("minisign", "-G", "-W", "-p", str(public), "-s", secret)
    elif tool == "signify":
        run("signify-openbsd", "-G", "-n", "-p", f"{secret}.pub", "-s", f"{secret}.sec")  # it insists on such names
        public.write_bytes((folder / "secret.pub").read_bytes())
    else:
        run("ssh-keygen", "-q", "-t", *SSH_TYPES[tool], "-N", "", "-C", "", "-f", secret)
        public.write_bytes(b"me@example.org " + (folder / "secret.pub").read_bytes())
    return Signer(tool, folder, public.read_bytes())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")


def policy_table(signers: Sequence[Signer], threshold: int = 1) -> tuple[dict[str, object], dict[str, bytes]]:
    """Return a policy's table that takes kernels signed by these, and the files that it names."""
    files = {f"{signer.kind}.{number}": signer.public for number, signer in enumerate(signers)}
    kinds = list(dict.fromkeys(signer.kind for signer in signers))
    keys = {kind: [name for name in files if name.startswith(f"{kind}.")] for kind in kinds}
    return {"keys": keys, "kernel": {"require": kinds, "threshold": threshold}}, files
