"""The rows of "verity": command lines with a root hash that systemd-repart signed, or openssl in its way."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shim.model import Role
from tests.builders.cms import openssl_cms
from tests.builders.judgements import LINE, Bench, File, Row
from tests.builders.judgements.certificates import People, dbx_by_virt_firmware, trust
from tests.builders.keys import KeyFiles
from tests.builders.signing import Identity, key_pem
from tests.builders.verity import make_verity_disk

ROLE = Role.CMDLINE
OLD = "0" * 63 + "1"


def files_of(folder: Path, who: Identity) -> KeyFiles:
    """Write a key and its certificate to files."""
    files = KeyFiles(folder / "who.key", folder / "who.pem", folder / "who.der")
    for path, data in zip(files, (key_pem(who.private), who.pem, who.der), strict=True):
        path.write_bytes(data)
    return files


def line_of(root_hash: str, option: str = "roothash") -> bytes:
    return f"{LINE} {option}={root_hash}".encode()


class Signer:
    """Signs root hashes as systemd-repart does: without attributes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def partition(self, who: Identity, root_hash: str, digest: str = "sha256") -> bytes:
        signature = openssl_cms(self.folder, root_hash.encode(), who, more=["-noattr", "-md", digest])
        told = {"rootHash": root_hash, "signature": base64.b64encode(signature).decode()}
        return json.dumps(told).encode().ljust(16384, b"\0")


def verity_rows(bench: Bench) -> Iterator[Row]:
    people, signer = People(), Signer(bench.folder)
    trust(bench, people.root)
    disk = make_verity_disk(bench.folder / "disk", files_of(bench.folder, people.leaf))
    root_hash = bench.named(disk.root_hash, "ROOT-HASH")
    bench.named(OLD, "OLD-ROOT-HASH")
    other = bench.named(("1" if root_hash[0] == "0" else "0") + root_hash[1:], "OTHER-ROOT-HASH")
    good = File(line_of(root_hash), {"vdb3": disk.signature})

    def trial(case: str, what: str, file: File, threshold: int = 1, **more: Any) -> Row:
        return bench.trial(case, what, file, ROLE, rule={"verity": [LINE], "threshold": threshold}, **more)

    def by(who: Identity, digest: str = "sha256", content: str = root_hash) -> File:
        return File(line_of(content), {"vdb3": signer.partition(who, content, digest)})

    yield trial("good", "systemd-repart signed the root hash", good)
    yield trial("tampered", "the root hash has one other digit", File(line_of(other), good.beside))
    yield trial("tampered", "the same, in the signature partition, too",
                File(line_of(other), {"vdb3": disk.signature.replace(root_hash.encode(), other.encode())}))
    yield trial("tampered", "a word more", File(good.data + b" init=/bin/sh", good.beside))
    yield trial("wrong key", "a stranger signed the root hash", by(people.stranger))
    yield trial("expired", "the signer's certificate ended in 2012 (no clock is looked at)", by(people.old_leaf))
    yield trial("revoked", "the policy's dbx, by virt-fw-sigdb, has the signer's certificate", good, dbx=["dbx"],
                files={"dbx": dbx_by_virt_firmware(bench.folder, people.leaf.pem)})
    digest = bench.named(hashlib.sha256(good.data).hexdigest(), "SHA-256-OF-THE-LINE")
    yield trial("revoked", "the policy's dbx names the line's SHA-256", good, dbx_sha256=[digest])
    yield trial("downgraded hash", "signed with SHA1", by(people.leaf, "sha1"))
    short = bench.named("0" * 40, "SHORT-ROOT-HASH")
    yield trial("downgraded hash", "a root hash by SHA-1", by(people.leaf, content=short))
    yield trial("truncated", "the line lacks a word",
                File(f"root=/dev/vda2 roothash={root_hash}".encode(), good.beside))
    yield trial("truncated", "the signature partition lacks its last byte",
                File(good.data, {"vdb3": disk.signature.rstrip(b"\0")[:-1]}))
    yield from _more_rows(bench, trial, good, root_hash, by(people.leaf, content=OLD))


def _more_rows(bench: Bench, trial: Callable[..., Row], good: File, root_hash: str, old: File) -> Iterator[Row]:
    both = File(good.data, {**good.beside, "vdc3": good.beside["vdb3"]})
    yield trial("duplicated", "the signature lies on two disks", both)
    yield trial("duplicated", "the signature lies on two disks, where two signers are needed", both, threshold=2)
    yield trial("duplicated", "the root hash twice in one line",
                File(line_of(root_hash) + f" roothash={root_hash}".encode(), good.beside))
    yield trial("another role", "the root hash of one tree for another (who signs a root hash does not say of which)",
                File(line_of(root_hash, "usrhash"), good.beside))
    yield bench.trial("another role", "a kernel that consists of the line", File(good.data), rule={"verity": [LINE]})
    yield trial("replayed", "an older image's root hash with its signature (nothing in it says its age)", old)
    digest = bench.named(hashlib.sha256(old.data).hexdigest(), "SHA-256-OF-THE-OLD-LINE")
    yield trial("replayed", "the same, and the policy's dbx names that line", old, dbx_sha256=[digest])
    yield trial("replayed", "this root hash with the older image's signature", File(good.data, old.beside))
