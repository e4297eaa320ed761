"""The rows of "minisign", "openpgp" and "ssh", whose signatures lie beside a file, by the tools of these names."""

from __future__ import annotations

import binascii
import hashlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing

from shim.formats.minisign import parse_minisign_key
from tests.builders.detached import Signer, make_signer
from tests.builders.judgements import Bench, File, Row, real_kernel
from tests.builders.judgements.detached import (
    Scheme,
    first_rows,
    halved_beside,
    last_rows,
    moved_beside,
    revoked_file,
)
from tests.builders.openpgp import DAY, THEN, Gpg

SSH_ARMOR = (b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n")


def minisign_rows(bench: Bench) -> Iterator[Row]:
    mine, legacy, signify, stranger = (
        make_signer(bench.folder / f"{number}", tool)
        for number, tool in enumerate(("minisign", "minisign legacy", "signify", "minisign"))
    )
    for signer, name in ((mine, "MINISIGNS-KEY"), (legacy, "MINISIGNS-OTHER-KEY"), (signify, "SIGNIFYS-KEY"),
                         (stranger, "STRANGERS-KEY")):
        bench.named(parse_minisign_key(signer.public).key_id, name)
    bench.files = {f"{number}.pub": one.public for number, one in enumerate((mine, legacy, signify))}
    bench.top = {"keys": {"minisign": list(bench.files)}}

    def sign(data: bytes, signer: Signer = mine) -> File:
        return File(data, {signer.suffix: signer.sign(data)})

    def twice(signed: File) -> File:
        return signed.changed(minisig=signed.beside[".minisig"], sig=signed.beside[".minisig"])

    scheme = Scheme(sign, lambda data: sign(data, stranger), moved_beside, lambda file: _cut_base64(file, ".minisig"),
                    twice)
    for signer in (mine, legacy, signify):
        yield bench.trial("good", f"{signer.tool} signed the kernel", sign(real_kernel(), signer))
    yield from first_rows(bench, scheme)
    yield bench.absent("expired", "neither keys nor signatures of minisign end: take the key out of the policy")
    yield bench.absent("revoked", "a key cannot be revoked: take it out of the policy")
    yield revoked_file(bench, sign(real_kernel()))
    yield from _relabelled_minisign(bench, sign)
    yield from last_rows(bench, scheme)


def _relabelled_minisign(bench: Bench, sign: Callable[[bytes], File]) -> Iterator[Row]:
    """Whether a signature is over a file or its BLAKE2b-512 is said in two letters that nobody signed."""
    signed = sign(real_kernel())
    lines = signed.beside[".minisig"].split(b"\n")
    body = binascii.a2b_base64(lines[1])
    lines[1] = binascii.b2a_base64(b"Ed" + body[2:], newline=False)
    relabelled = b"\n".join(lines)
    yield bench.trial("downgraded hash", "a signature over the file's BLAKE2b says that it is over the file",
                      File(real_kernel(), {".minisig": relabelled}))
    hashed = hashlib.blake2b(real_kernel()).digest()
    yield bench.trial("downgraded hash", "the same, with that BLAKE2b in place of the kernel",
                      File(hashed, {".minisig": relabelled}))
    inside = body[10:] + lines[2].removeprefix(b"trusted comment: ")
    second = binascii.b2a_base64(b"Ed" + body[2:10] + binascii.a2b_base64(lines[3]), newline=False)
    yield bench.trial("another role", "the signature and its comment in place of the kernel, by the signature over "
                      "these", File(inside, {".sig": lines[0] + b"\n" + second + b"\n"}))


def _cut_base64(signed: File, suffix: str) -> File:
    """Cut one byte off the signature in the second line."""
    lines = signed.beside[suffix].split(b"\n")
    lines[1] = binascii.b2a_base64(binascii.a2b_base64(lines[1])[:-1], newline=False)
    return File(signed.data, {suffix: b"\n".join(lines)})


def openpgp_rows(bench: Bench) -> Iterator[Row]:
    with closing(Gpg()) as gpg:
        for name in ("anna", "stranger", "short", "lost"):
            gpg.make(name, "ed25519", "10d" if name == "short" else "never")
        gpg.make("old", "rsa2048")
        gpg.make("ancient", "rsa2048", "never", "--cert-digest-algo", "SHA1")
        yield from _openpgp(bench, gpg)


def _openpgp(bench: Bench, gpg: Gpg) -> Iterator[Row]:
    trusted = ("anna", "short", "old", "ancient")
    for name in (*trusted, "stranger", "lost"):
        bench.named(gpg.fingerprints(name)[0], f"{name.upper()}S-KEY")
    bench.files = {"ring": gpg.export(*trusted)}
    bench.top = {"keys": {"openpgp": ["ring"]}}

    def sign(data: bytes, name: str = "anna", *words: str, when: int = THEN + DAY) -> File:
        return File(data, {".sig": gpg.sign(data, name, words=words, when=when, armor=False)})

    scheme = Scheme(sign, lambda data: sign(data, "stranger"), moved_beside, halved_beside,
                    lambda signed: signed.changed(sig=signed.beside[".sig"] * 2))
    data = real_kernel()
    size = len(scheme.sign(data).beside[".sig"])
    bench.named(f"expected={size - 2}, found={size - 3}", "expected=SIZE, found=SIZE-1")
    yield bench.trial("good", "gpg signed the kernel", scheme.sign(data))
    yield bench.trial("good", "the same, with armor",
                      File(data, {".asc": gpg.sign(data, "anna")}))
    yield from first_rows(bench, scheme)
    yield bench.trial("expired", "the key had ended when it signed",
                      File(data, {".sig": _late_signature(gpg, data)}))
    yield bench.trial("expired", "the key ended after it had signed", sign(data, "short", when=THEN + 9 * DAY))
    yield bench.trial("expired", "the signature says that it ended itself (no clock is looked at)",
                      sign(data, "anna", "--default-sig-expire", "2d"))
    lost = sign(data, "lost")
    yield bench.trial("revoked", "the keyring has a revocation of the key", lost, files={"ring": gpg.revoke("lost")})
    yield revoked_file(bench, scheme.sign(data))
    yield bench.trial("downgraded hash", "signed with SHA-1", sign(data, "old", "--digest-algo", "SHA1"))
    yield bench.trial("downgraded hash", "the key speaks of itself with SHA-1 only", sign(data, "ancient"))
    yield from last_rows(bench, scheme)


def _late_signature(gpg: Gpg, data: bytes) -> bytes:
    """Sign with a key that has ended: gpg does so when the end is moved, and the policy keeps the key as it was."""
    gpg.run("--quick-set-expire", gpg.fingerprints("short")[0], "30d", when=THEN + 5 * DAY)
    return gpg.sign(data, "short", when=THEN + 11 * DAY, armor=False)


def ssh_rows(bench: Bench) -> Iterator[Row]:
    tools = ("ssh ed25519", "ssh rsa", "ssh ecdsa")
    signers = [make_signer(bench.folder / tool.replace(" ", "-"), tool) for tool in tools]
    stranger, mine = make_signer(bench.folder / "stranger", tools[0]), signers[0]
    bench.files = {"allowed": b"".join(one.public for one in signers)}
    bench.top = {"keys": {"ssh": ["allowed"]}}
    bench.named(_fingerprint(stranger), "STRANGERS-KEY")

    def sign(data: bytes, signer: Signer = mine, namespace: str = "file") -> File:
        return File(data, {".sig": signer.sign(data, namespace)})

    scheme = Scheme(sign, lambda data: sign(data, stranger), moved_beside, _cut_ssh,
                    lambda signed: signed.changed(sig=signed.beside[".sig"] * 2))
    data = real_kernel()
    for signer in signers:
        yield bench.trial("good", f"ssh-keygen signed the kernel ({signer.tool.split()[1]})", sign(data, signer))
    yield from first_rows(bench, scheme)
    limited = mine.public.replace(b" ", b' valid-before="20300101" ', 1)
    yield bench.trial("expired", "an allowed signer whose line says when it ends", sign(data),
                      files={"allowed": limited})
    yield bench.absent("revoked", "lists of revoked keys (KRL) are not read: take the line out of the policy")
    yield revoked_file(bench, sign(data))
    yield from _relabelled_ssh(bench, sign(data, signers[1]))
    yield from last_rows(bench, scheme)
    yield bench.trial("another role", "signed for another purpose: the namespace of git", sign(data, mine, "git"))


def _fingerprint(signer: Signer) -> str:
    command = ["ssh-keygen", "-l", "-f", str(signer.folder / "secret.pub")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def _relabelled_ssh(bench: Bench, signed: File) -> Iterator[Row]:
    """ssh-keygen makes no weak signatures: the names inside a good one are changed to weak ones."""
    body = _ssh_body(signed.beside[".sig"])
    for what, old, new in (("SHA-1 with RSA", b"\0\0\0\x0crsa-sha2-512", b"\0\0\0\x07ssh-rsa"),
                           ("a digest of the file by SHA-1", b"\0\0\0\x06sha512", b"\0\0\0\x04sha1")):
        assert old in body
        yield bench.trial("downgraded hash", f"a signature that names {what}",
                          signed.changed(sig=_ssh_armored(_resized(body, old, new))))


def _resized(body: bytes, old: bytes, new: bytes) -> bytes:
    """Replace a name; where it stands inside of the last string, its length is put right, too."""
    at = body.index(old)
    start = len(body) - 4 - len(body[at:]) if at and body[at - 4 : at] == (len(body) - at).to_bytes(4, "big") else -1
    changed = body.replace(old, new)
    if start >= 0:
        changed = changed[: at - 4] + (len(changed) - at).to_bytes(4, "big") + changed[at:]
    return changed


def _cut_ssh(signed: File) -> File:
    return signed.changed(sig=_ssh_armored(_ssh_body(signed.beside[".sig"])[:-1]))


def _ssh_body(armored: bytes) -> bytes:
    return binascii.a2b_base64(b"".join(armored.split(b"\n")[1:-2]))


def _ssh_armored(body: bytes) -> bytes:
    return binascii.b2a_base64(body).join(SSH_ARMOR)
