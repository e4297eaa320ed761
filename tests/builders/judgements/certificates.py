"""The rows of "cms", by openssl, and of "appended", by the kernel's sign-file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.builders.cms import openssl_cms
from tests.builders.debian import package
from tests.builders.judgements import Bench, File, Row, real_kernel
from tests.builders.judgements.detached import (
    Scheme,
    first_rows,
    halved_beside,
    last_rows,
    moved_beside,
    revoked_file,
)
from tests.builders.secure_boot import OWNER
from tests.builders.signing import Identity, identity, key, key_pem

Sign = Callable[[Identity, bytes, str], File]
RECORD_SIZE = 12 + len(b"~Module signature appended~\n")


class People:
    """Who signs: keys and serial numbers of one size, so that each run makes signatures of one size."""

    def __init__(self) -> None:
        self.root = identity("Root", key("rsa2048"), ca=True, serial=1)
        self.leaf = identity("Leaf", key("rsa2048", 1), self.root, serial=2)
        self.old_leaf = identity("Leaf of 2012", key("rsa2048", 2), self.root, serial=3, years=(2010, 2012))
        self.stranger = identity("Stranger", key("rsa2048", 3), ca=True, serial=4)


def dbx_by_virt_firmware(folder: Path, *certificates: bytes, digests: tuple[bytes, ...] = ()) -> bytes:
    """Return the signature lists of certificates, in PEM, and of SHA-256 digests that virt-fw-sigdb makes."""
    tool, output = Path(sys.executable).with_name("virt-fw-sigdb"), folder / "dbx"
    words: list[str | Path] = []
    for number, one in enumerate(certificates):
        (folder / f"revoked{number}.pem").write_bytes(one)
        words += ["--add-cert", OWNER, folder / f"revoked{number}.pem"]
    for digest in digests:
        words += ["--add-hash", OWNER, digest.hex()]
    subprocess.run([tool, *words, "--output", output], check=True, capture_output=True)
    return output.read_bytes()


def trust(bench: Bench, *anchors: Identity) -> None:
    """Let the policy have these anchors."""
    bench.files = {f"{number}.pem": one.pem for number, one in enumerate(anchors)}
    bench.top = {"anchors": list(bench.files)}


def cms_rows(bench: Bench) -> Iterator[Row]:
    """openssl signs with a key under the root; the signature carries the signer's certificate."""
    people = People()
    trust(bench, people.root)

    def sign(signer: Identity, data: bytes, digest: str = "sha256", form: str = "DER") -> File:
        more = ("-md", digest, "-nosmimecap")
        return File(data, {".p7s": openssl_cms(bench.folder, data, signer, form=form, more=more)})

    def twice(signed: File) -> File:
        return signed.changed(p7s=sign(people.leaf, signed.data, form="PEM").beside[".p7s"] * 2)

    scheme = Scheme(lambda data: sign(people.leaf, data), lambda data: sign(people.stranger, data), moved_beside,
                    halved_beside, twice)
    size = len(scheme.sign(real_kernel()).beside[".p7s"])
    bench.named(f"expected={size - 5}, found={size - 4}", "expected=SIZE-1, found=SIZE")
    yield bench.trial("good", "openssl signed the kernel", scheme.sign(real_kernel()))
    yield from _rows(bench, people, scheme, sign)


def appended_rows(bench: Bench) -> Iterator[Row]:
    """sign-file carries no certificate, so the signers are anchors themselves."""
    people = People()
    trust(bench, people.leaf, people.old_leaf)
    tool = package("linux-kbuild-6.1") / "usr/lib/linux-kbuild-6.1/scripts/sign-file"

    def sign(signer: Identity, data: bytes, digest: str = "sha256") -> File:
        for name, content in (("key", key_pem(signer.private)), ("certificate", signer.pem), ("file", data)):
            (bench.folder / name).write_bytes(content)
        subprocess.run([tool, digest, "key", "certificate", "file", "signed"], cwd=bench.folder, check=True,
                       capture_output=True)  # fmt: skip
        return File((bench.folder / "signed").read_bytes())

    size = len(sign(people.leaf, b"").data)
    scheme = Scheme(
        lambda data: sign(people.leaf, data), lambda data: sign(people.stranger, data),
        lambda signed, data: File(data + signed.data[-size:]),
        lambda signed: File(signed.data[: -RECORD_SIZE - 1] + signed.data[-RECORD_SIZE:]),
        lambda signed: sign(people.leaf, signed.data),
    )
    yield bench.trial("good", "sign-file signed the kernel", scheme.sign(real_kernel()))
    yield from _rows(bench, people, scheme, sign)
    signed = scheme.sign(real_kernel())
    yield bench.trial("truncated", "the record behind the signature lacks its last byte", signed.cut())
    yield bench.trial("duplicated", "the same signature once more behind it, which does not cover the first",
                      File(signed.data + signed.data[-size:]))


def _rows(bench: Bench, people: People, scheme: Scheme, sign: Sign) -> Iterator[Row]:
    signed = scheme.sign(real_kernel())
    yield from first_rows(bench, scheme)
    yield bench.trial("expired", "the signer's certificate ended in 2012 (no clock is looked at)",
                      sign(people.old_leaf, real_kernel(), "sha256"))
    dbx = dbx_by_virt_firmware(bench.folder, people.leaf.pem)
    yield bench.trial("revoked", "the policy's dbx, by virt-fw-sigdb, has the signer's certificate", signed,
                      dbx=["dbx"], files={"dbx": dbx})
    by_digest = dbx_by_virt_firmware(bench.folder, digests=(hashlib.sha256(real_kernel()).digest(),))
    if bench.kind == "appended":
        bench.named(hashlib.sha256(real_kernel()).hexdigest(), "SHA-256-OF-THE-CONTENT")
        yield bench.trial("revoked", "the policy's dbx names the content without the signature", signed, dbx=["dbx"],
                          files={"dbx": by_digest})
    yield revoked_file(bench, signed)
    for digest in ("sha1", "md5"):
        yield bench.trial("downgraded hash", f"signed with {digest.upper()}", sign(people.leaf, real_kernel(), digest))
    yield from last_rows(bench, scheme)
