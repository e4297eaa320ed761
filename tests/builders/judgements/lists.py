"""The rows of the kinds without a signature of their own: "sha256", "exact", "manifest" (by minisign), "unsigned"."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from virt.firmware.varstore import edk2

from shim.formats.manifest import Manifest, ManifestFile, build_manifest
from shim.formats.minisign import parse_minisign_key
from shim.model import Role
from tests.builders.debian import kernel, package
from tests.builders.detached import Signer, make_signer
from tests.builders.judgements import LINE, PATHS, Bench, File, Row, previous_kernel, real_kernel
from tests.builders.judgements.detached import an_initrd, revoked_file

NO_KEY = "there is no key"
NO_END = "it names bytes, which do not end: take them out of the policy"


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def real_dbx() -> bytes:
    """Return the dbx of Debian's OVMF with Microsoft's keys: it revokes the empty file."""
    store = edk2.Edk2VarStore(str(package("ovmf") / "usr/share/OVMF/OVMF_VARS_4M.ms.fd"))
    return bytes(store.get_varlist()["dbx"].data)


def sha256_rows(bench: Bench) -> Iterator[Row]:
    good = File(real_kernel())
    digest = bench.named(sha256_of(good.data), "SHA-256-OF-THE-KERNEL")
    for data, name in ((good.spoiled().data, "OF-THE-SPOILED-KERNEL"), (good.cut().data, "OF-THE-CUT-KERNEL"),
                       (previous_kernel(), "OF-THE-PREVIOUS-KERNEL"), (an_initrd(), "OF-THE-INITRD"),
                       (b"", "OF-NOTHING")):
        bench.named(sha256_of(data), f"SHA-256-{name}")
    rule = {"sha256": [digest]}
    yield bench.trial("good", "the kernel is pinned", good, rule=rule)
    yield bench.trial("tampered", "one bit of the kernel is another", good.spoiled(), rule=rule)
    yield bench.absent("wrong key", NO_KEY)
    yield bench.absent("expired", NO_END)
    yield bench.trial("revoked", "the policy's dbx names the file's SHA-256", good, rule=rule, dbx_sha256=[digest])
    yield bench.trial("revoked", "an empty file, which the dbx of Debian's OVMF names", File(b""), dbx=["dbx"],
                      files={"dbx": real_dbx()}, rule={"sha256": [sha256_of(b"")]})
    short = bench.named(hashlib.sha1(good.data).hexdigest(), "SHA-1-OF-THE-KERNEL")
    yield bench.trial("downgraded hash", "the pin is a SHA-1", good, rule={"sha256": [short]})
    yield bench.trial("truncated", "the kernel lacks its last byte", good.cut(), rule=rule)
    yield bench.trial("duplicated", "the pin stands there twice", good, rule={"sha256": [digest] * 2})
    yield bench.trial("duplicated", "the pin stands there twice, where two signers are needed", good,
                      rule={"sha256": [digest] * 2, "threshold": 2})
    yield bench.trial("another role", "a pinned initrd in place of the kernel (pins are those of a role)",
                      File(an_initrd()), rule=rule, initrd={"require": ["sha256"], "sha256": [sha256_of(an_initrd())]})
    yield bench.trial("replayed", "the previous kernel, which is not pinned any more", File(previous_kernel()),
                      rule=rule)


def exact_rows(bench: Bench) -> Iterator[Row]:
    rule, role = {"exact": [LINE]}, Role.CMDLINE
    yield bench.trial("good", "the command line is listed", File(LINE.encode()), role, rule=rule)
    yield bench.trial("tampered", "another root", File(LINE.replace("vda2", "vdb2").encode()), role, rule=rule)
    yield bench.trial("tampered", "a word more", File(f"{LINE} init=/bin/sh".encode()), role, rule=rule)
    yield bench.absent("wrong key", NO_KEY)
    yield bench.absent("expired", NO_END)
    digest = bench.named(sha256_of(LINE.encode()), "SHA-256-OF-THE-LINE")
    yield bench.trial("revoked", "the policy's dbx names the line's SHA-256", File(LINE.encode()), role, rule=rule,
                      dbx_sha256=[digest])
    yield bench.absent("downgraded hash", "nothing is hashed: the line is compared")
    yield bench.trial("truncated", "the line lacks its last word", File(LINE.removesuffix(" ro").encode()), role,
                      rule=rule)
    yield bench.trial("duplicated", "the line stands in the policy twice", File(LINE.encode()), role,
                      rule={"exact": [LINE] * 2})
    yield bench.trial("duplicated", "the line stands there twice, where two signers are needed", File(LINE.encode()),
                      role, rule={"exact": [LINE] * 2, "threshold": 2})
    yield bench.trial("duplicated", "the line twice in one", File(f"{LINE} {LINE}".encode()), role, rule=rule)
    yield bench.trial("another role", "a kernel that consists of the line", File(LINE.encode()), rule=rule)
    yield bench.trial("replayed", "a line that was listed once", File(b"root=/dev/vda1 ro"), role, rule=rule)


class Lister:
    """Who makes manifests and signs them by minisign."""

    def __init__(self, bench: Bench) -> None:
        self.mine, self.stranger = (make_signer(bench.folder / name, "minisign") for name in ("mine", "stranger"))
        bench.named(parse_minisign_key(self.mine.public).key_id, "MY-KEY")
        bench.named(parse_minisign_key(self.stranger.public).key_id, "STRANGERS-KEY")
        bench.files = {"mine.pub": self.mine.public}
        bench.top = {"keys": {"minisign": ["mine.pub"]}, **self.table(0)}

    def table(self, minimum: int) -> dict[str, object]:
        rule = {"require": ["minisign"], "path": PATHS[Role.MANIFEST], "minimum_version": minimum}
        return {Role.MANIFEST.value: rule}

    def text(self, version: int = 7, kernel: bytes = b"") -> bytes:
        held = {PATHS[Role.KERNEL]: kernel or real_kernel(), PATHS[Role.INITRD]: an_initrd()}
        files = tuple(ManifestFile(name=name, size=len(data), sha256=hashlib.sha256(data).digest())
                      for name, data in held.items())
        return build_manifest(Manifest(version=version, files=files, cmdlines=(LINE,))).encode()

    def signed(self, text: bytes, signer: Signer | None = None) -> File:
        return File(text, {".minisig": (signer or self.mine).sign(text)})


def manifest_rows(bench: Bench) -> Iterator[Row]:
    lister = Lister(bench)
    good, mine = File(real_kernel()), lister.signed(lister.text())
    for data, name in ((good.data, "KERNEL"), (good.spoiled().data, "SPOILED-KERNEL"), (good.cut().data, "CUT-KERNEL"),
                       (an_initrd(), "INITRD"), (previous_kernel(), "PREVIOUS-KERNEL"), (mine.data, "MANIFEST")):
        bench.named(sha256_of(data), f"SHA-256-OF-THE-{name}")
    yield bench.trial("good", "the manifest, signed by minisign, lists the kernel", good, proof=mine)
    yield bench.trial("tampered", "one bit of the kernel is another", good.spoiled(), proof=mine)
    yield bench.trial("tampered", "the manifest has another version than was signed", good,
                      proof=File(lister.text(8), mine.beside))
    yield bench.trial("wrong key", "a stranger signed the manifest", good,
                      proof=lister.signed(mine.data, lister.stranger))
    yield bench.absent("expired", "a manifest has a version and no date; see the kind that signs it")
    yield revoked_file(bench, good)._replace(proof=mine)
    yield bench.trial("revoked", "the policy's dbx names the manifest's SHA-256", good, proof=mine,
                      dbx_sha256=[sha256_of(mine.data)])
    yield from _downgraded_manifest(bench, lister)
    yield bench.trial("truncated", "the kernel lacks its last byte", good.cut(), proof=mine)
    yield bench.trial("truncated", "the manifest lacks its last byte", good, proof=mine.cut())
    yield bench.trial("truncated", "the manifest had lost its last line when it was signed", good,
                      proof=lister.signed(mine.data[: mine.data.rindex(b"sha256")]))
    yield from _more_manifests(bench, lister)


def _downgraded_manifest(bench: Bench, lister: Lister) -> Iterator[Row]:
    digest = bench.named(hashlib.sha1(real_kernel()).hexdigest(), "SHA-1-OF-THE-KERNEL")
    text = lister.text().replace(sha256_of(real_kernel()).encode(), digest.encode())
    yield bench.trial("downgraded hash", "the signed manifest has a SHA-1", File(real_kernel()),
                      proof=lister.signed(text))
    renamed = text.replace(b"sha256 =", b"sha1 =", 1)
    yield bench.trial("downgraded hash", "the same, under its own name", File(real_kernel()),
                      proof=lister.signed(renamed))


def _more_manifests(bench: Bench, lister: Lister) -> Iterator[Row]:
    good, mine, old = File(real_kernel()), lister.signed(lister.text()), lister.text(6, previous_kernel())
    rows = mine.data.split(b"\n\n", 1)[1]
    yield bench.trial("duplicated", "the signed manifest lists the files twice", good,
                      proof=lister.signed(mine.data + b"\n" + rows))
    yield bench.trial("duplicated", "one manifest, where two signers are needed", good, proof=mine,
                      rule={"threshold": 2})
    beside = lister.signed(real_kernel())
    yield bench.trial("duplicated", "who signed the manifest signed the kernel, too, where two signers are needed",
                      beside, proof=mine, rule={"require": ["manifest", "minisign"], "threshold": 2})
    yield bench.trial("another role", "the initrd of the manifest in place of the kernel (a manifest has paths, no "
                      "roles)", File(an_initrd()), proof=mine, path=PATHS[Role.INITRD])
    yield bench.trial("another role", "the initrd of the manifest at the kernel's path", File(an_initrd()),
                      proof=mine)
    yield bench.trial("another role", "the kernel at a path that the manifest does not have", good, proof=mine,
                      path="/another")
    yield bench.trial("replayed", "the previous kernel with the manifest of now", File(previous_kernel()),
                      proof=mine)
    yield bench.trial("replayed", "the previous kernel with its manifest, of a version before",
                      File(previous_kernel()), proof=lister.signed(old))
    yield bench.trial("replayed", "the same, below the policy's minimum_version", File(previous_kernel()),
                      proof=lister.signed(old), **lister.table(7))
    yield bench.trial("replayed", "the manifest of now with the signature of the one before", good,
                      proof=File(mine.data, lister.signed(old).beside))


def unsigned_rows(bench: Bench) -> Iterator[Row]:
    good = File(real_kernel())
    yield bench.trial("good", "any kernel", good)
    yield bench.trial("tampered", "one bit of the kernel is another", good.spoiled())
    yield bench.absent("wrong key", NO_KEY)
    yield bench.absent("expired", "there is nothing that could end")
    yield revoked_file(bench, good)
    bench.named(sha256_of(b""), "SHA-256-OF-NOTHING")
    yield bench.trial("revoked", "an empty file, which the dbx of Debian's OVMF names", File(b""), dbx=["dbx"],
                      files={"dbx": real_dbx()})
    yield bench.absent("downgraded hash", "nothing is hashed")
    yield bench.trial("truncated", "the kernel lacks its last byte", good.cut())
    yield bench.trial("duplicated", "any kernel, where two signers are needed", good, rule={"threshold": 2})
    yield bench.trial("another role", "an initrd in place of the kernel", File(an_initrd()))
    yield bench.trial("another role", "a manifest that nobody signed (it would speak for others)", File(b"x = 1"),
                      Role.MANIFEST, rule={"path": PATHS[Role.MANIFEST]})
    yield bench.trial("replayed", "the previous kernel", File(previous_kernel()))
    bench.named(kernel().release, "DEBIANS-RELEASE")
    yield bench.trial("replayed", "a kernel of Debian, older than the policy's minimum_version",
                      File(kernel().image.read_bytes()), rule={"minimum_version": "7"})
