"""The rows of "ospkg": archives by zip, certificates and signatures by openssl, as in tests/builders/ospkg.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shim.model import Role
from shim.verify.ospkg import SUFFIXES
from tests.builders.judgements import Bench, File, Row, previous_kernel, real_kernel
from tests.builders.judgements.certificates import dbx_by_virt_firmware
from tests.builders.judgements.detached import an_initrd
from tests.builders.ospkg import (
    RSA,
    PackageSigner,
    descriptor,
    descriptor_of,
    make_package,
    make_package_signer,
    make_root,
    openssl,
)

ROLE, BESIDE = Role.OSPKG, SUFFIXES[0]


class Makers:
    """Who signs packages: two under the root of the policy, one whose certificate ended, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, other = make_root(folder, "Root"), make_root(folder, "Another root")
        self.first, self.second = (
            make_package_signer(folder, name, self.root, subject=f"/CN={name}") for name in ("First", "Second"))
        self.rsa = make_package_signer(folder, "RSA", self.root, RSA, subject="/CN=RSA")
        self.stranger = make_package_signer(folder, "Stranger", other, subject="/CN=Stranger")

    def package(self, kernel: bytes) -> bytes:
        return make_package(self.folder / "package", kernel, an_initrd())

    def expired(self) -> PackageSigner:
        """Return the first signer with a certificate that has ended: it was for no day at all."""
        made = PackageSigner(self.first.key, self.folder / "expired.pem")
        request = self.folder / "expired.csr"
        openssl("req", "-new", "-key", str(self.first.key), "-subj", "/CN=First", "-out", str(request))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.root.certificate), "-CAkey", str(self.root.key),
                "-days", "-1", "-out", str(made.certificate))
        return made


def signed(archive: bytes, *signers: PackageSigner) -> File:
    return File(archive, {BESIDE: descriptor(archive, *signers)})


def key_of(bench: Bench, who: PackageSigner, name: str) -> None:
    public = openssl("x509", "-in", str(who.certificate), "-noout", "-pubkey")
    path = who.key.with_suffix(".pub")
    path.write_bytes(public)
    der = openssl("pkey", "-pubin", "-in", str(path), "-outform", "DER")
    bench.named(hashlib.sha256(der).hexdigest()[:16], name)


def ospkg_rows(bench: Bench) -> Iterator[Row]:
    makers = Makers(bench.folder)
    for who, name in ((makers.first, "FIRST-KEY"), (makers.second, "SECOND-KEY")):
        key_of(bench, who, name)
    bench.files, bench.top = {"root.pem": makers.root.pem}, {"keys": {"ospkg": ["root.pem"]}}
    archive = makers.package(real_kernel())
    good = signed(archive, makers.first)

    def trial(case: str, what: str, file: File, **more: Any) -> Row:
        return bench.trial(case, what, file, ROLE, **more)

    yield trial("good", "one signed the archive", good)
    yield trial("good", "two signed it, where two signers are needed", signed(archive, makers.first, makers.second),
                rule={"threshold": 2})
    yield trial("tampered", "one bit of the archive is another", good.spoiled())
    yield trial("wrong key", "a stranger signed the archive", signed(archive, makers.stranger))
    yield trial("expired", "the signer's certificate has ended (no clock is looked at)",
                signed(archive, makers.expired()))
    yield trial("revoked", "the policy's dbx, by virt-fw-sigdb, has the signer's certificate", good, dbx=["dbx"],
                files={"dbx": dbx_by_virt_firmware(bench.folder, makers.first.pem)})
    digest = bench.named(hashlib.sha256(archive).hexdigest(), "SHA-256-OF-THE-ARCHIVE")
    yield trial("revoked", "the policy's dbx names the archive's SHA-256", good, dbx_sha256=[digest])
    yield trial("downgraded hash", "signed by an RSA key with SHA-1", File(archive, {BESIDE: descriptor_of(
        [(makers.rsa.pem, by_sha1(makers.rsa, archive))])}))
    yield from _more_rows(bench, makers, good)


def by_sha1(who: PackageSigner, archive: bytes) -> bytes:
    path = who.key.with_suffix(".archive")
    path.write_bytes(archive)
    return openssl("dgst", "-sha1", "-sign", str(who.key), str(path))


def _more_rows(bench: Bench, makers: Makers, good: File) -> Iterator[Row]:
    told = json.loads(good.beside[BESIDE])
    twice = json.dumps({**told, **{name: told[name] * 2 for name in ("certificates", "signatures")}}).encode()
    old = makers.package(previous_kernel())
    yield bench.trial("truncated", "the archive lacks its last byte", good.cut(), ROLE)
    short = good.beside[BESIDE][:-1]
    bench.named(f"at={len(short):#x}", "at=THE-END")
    yield bench.trial("truncated", "the descriptor lacks its last byte", File(good.data, {BESIDE: short}), ROLE)
    yield bench.trial("duplicated", "the signature is there twice", File(good.data, {BESIDE: twice}), ROLE)
    yield bench.needs_two(File(good.data, {BESIDE: twice}), "the signature is there twice", ROLE)
    yield bench.trial("another role", "a package in place of the kernel", good, rule={})
    yield bench.trial("another role", "the descriptor of another package", File(good.data, {
        BESIDE: descriptor(old, makers.first)}), ROLE)
    yield bench.trial("replayed", "the previous package with its signature (nothing in it says its age)",
                      signed(old, makers.first), ROLE)
    digest = bench.named(hashlib.sha256(old).hexdigest(), "SHA-256-OF-THE-PREVIOUS-ARCHIVE")
    yield bench.trial("replayed", "the same, and the policy's dbx names the previous package",
                      signed(old, makers.first), ROLE, dbx_sha256=[digest])
