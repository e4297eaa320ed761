"""The rows of "authenticode": Debian's kernel and shim, a UKI by ukify, signatures by sbsign and osslsigncode."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import virt.firmware

from shim.formats.authenticode import certificate_entries, parse_signature
from shim.formats.pe import parse_pe
from shim.formats.sbat import image_sbat
from shim.model import Role
from shim.verify.piece import Image
from tests.builders.debian import kernel, package
from tests.builders.judgements import Bench, File, Row, Trial
from tests.builders.judgements.certificates import People, dbx_by_virt_firmware
from tests.builders.judgements.detached import an_initrd
from tests.builders.pe_tools import sign_with
from tests.builders.signing import Identity
from tests.builders.uki import ADDON_STUB, make_uki, ukify

MICROSOFT = Path(virt.firmware.__file__).parent / "certs/microsoft.com/ms-uefi-2023.pem"


class Images:
    """What is signed, by whom: the anchors of the policy are Debian's authority, Microsoft's of 2023, and ours."""

    def __init__(self, bench: Bench) -> None:
        self.folder, self.people = bench.folder, People()
        self.debians = kernel().image.read_bytes()
        shim = package("shim-signed") / "usr/lib/shim/shimx64.efi.signed"
        self.shim = shim.read_bytes()
        authority = (package("shim-unsigned") / "usr/share/shim/debian-uefi-ca.der").read_bytes()
        dbx, level = (section_of(shim, name, self.folder) for name in (".vendor_cert", ".sbatlevel"))
        bench.named(signer_of(self.debians), "DEBIANS-SIGNER")
        bench.named(signer_of(self.shim, -1), "MICROSOFTS-SIGNER")
        self.efi = (package("memtest86+") / "boot/memtest86+x64.efi").read_bytes()
        bench.files = {"debian.der": authority, "microsoft.pem": MICROSOFT.read_bytes(),
                       "ours.pem": self.people.root.pem, "dbx": vendor_dbx(dbx), "level": level}
        bench.top = {"anchors": ["debian.der", "microsoft.pem", "ours.pem"], "dbx": ["dbx"]}

    def sign(self, data: bytes, signer: Identity | None = None, *options: str, tool: str = "sbsign") -> File:
        return File(sign_with(tool, data, signer or self.people.leaf, [], self.folder, *options).read_bytes())

    @cached_property
    def uki(self) -> File:
        """A UKI of ukify's, signed."""
        (self.folder / "initrd").write_bytes(an_initrd())
        made = make_uki(self.folder / "uki", kernel().image, [self.folder / "initrd"], "quiet")
        return self.sign(made.read_bytes())

    def addon(self) -> bytes:
        ukify("--cmdline", "debug", "--output", str(self.folder / "addon"), stub=ADDON_STUB)
        return (self.folder / "addon").read_bytes()


def vendor_dbx(table: bytes) -> bytes:
    """Return the revocations that Debian built into its shim, from the section in which they are."""
    _, size, _, at = (int.from_bytes(table[place : place + 4], "little") for place in (0, 4, 8, 12))
    return table[at : at + size]


def section_of(image: Path, name: str, folder: Path) -> bytes:
    """Return a section by its long name, which stands in the file's table of strings: objcopy looks there."""
    subprocess.run(["objcopy", "-O", "binary", "-j", name, image, folder / "section"], check=True, capture_output=True)
    return (folder / "section").read_bytes()


def signer_of(image: bytes, entry: int = 0) -> str:
    """Return the name of who signed an image, as it stands in an entry of its certificate table."""
    signature = parse_signature(certificate_entries(image, parse_pe(image))[entry].content)
    signer, = signature.signed.signers
    return next(one.subject_text for one in signature.signed.certificates if signer.names(one))


def authenticode_rows(bench: Bench) -> Iterator[Row]:
    images = Images(bench)
    yield from _good(bench, images)
    debians = File(images.debians)
    yield bench.trial("tampered", "one bit of Debian's kernel is another", debians.spoiled())
    yield bench.trial("wrong key", "Debian's kernel, where only our authority is trusted", debians,
                      anchors=["ours.pem"])
    yield bench.trial("expired", "the signer's certificate ended in 2012 (no clock is looked at)",
                      images.sign(images.efi, images.people.old_leaf))
    yield from _revoked(bench, images)
    for digest in ("sha1", "md5"):
        yield bench.trial("downgraded hash", f"signed with {digest.upper()} by osslsigncode",
                          images.sign(images.efi, None, "-h", digest, tool="osslsigncode"))
    yield from _truncated(bench, images)
    twice = images.sign(images.sign(images.efi).data)
    yield bench.trial("duplicated", "signed twice with one key", twice)
    yield bench.needs_two(twice, "signed twice with one key")
    addon = images.sign(images.addon())
    yield bench.trial("another role", "a signed add-on in place of the kernel (refused when it is laid out)", addon)
    yield bench.trial("another role", "a signed add-on in place of the UKI", addon, Role.UKI)
    yield from _replayed(bench, images)


def _good(bench: Bench, images: Images) -> Iterator[Trial]:
    yield bench.trial("good", "Debian's kernel, under the dbx that Debian built into its shim", File(images.debians))
    yield bench.trial("good", "Debian's shim, signed by Microsoft, at the SBAT level that it brings", File(images.shim),
                      sbat=["level"], rule={"sbat": "required"})
    yield bench.trial("good", "a UKI by ukify, signed by sbsign", images.uki, Role.UKI)


def _revoked(bench: Bench, images: Images) -> Iterator[Trial]:
    debians, signed = File(images.debians), images.sign(images.efi)
    digest = Image(images.debians, hashlib.sha256).digest("SHA-256")
    bench.named(digest.hex(), "IMAGE-DIGEST")
    by_digest = dbx_by_virt_firmware(bench.folder, digests=(digest,))
    yield bench.trial("revoked", "the dbx has the image digest of Debian's kernel", debians, dbx=["dbx", "more"],
                      files={"more": by_digest})
    by_leaf = dbx_by_virt_firmware(bench.folder, images.people.leaf.pem)
    yield bench.trial("revoked", "the dbx has the signer's certificate", signed, dbx=["more"], files={"more": by_leaf})
    by_root = dbx_by_virt_firmware(bench.folder, images.people.root.pem)
    yield bench.trial("revoked", "the dbx has the certificate of the authority, which is an anchor, too", signed,
                      dbx=["more"], files={"more": by_root})


def _truncated(bench: Bench, images: Images) -> Iterator[Trial]:
    end = parse_pe(images.debians).certificates_offset
    size = len(images.debians) - end
    for text, name in ((f"at={end:#x}", "at=END"), (f"expected={size}", "expected=SIZE"),
                       (f"found={size - 1}", "found=SIZE-1")):
        bench.named(text, name)
    yield bench.trial("truncated", "Debian's kernel lacks its last byte", File(images.debians).cut())
    yield bench.trial("truncated", "Debian's kernel ends before its signature", File(images.debians[:end]))


def _replayed(bench: Bench, images: Images) -> Iterator[Trial]:
    rows = {row.component: row.generation for row in image_sbat(parse_pe(images.shim), images.shim)}
    generation = rows["shim"]
    bench.named(kernel().release, "DEBIANS-RELEASE")
    bench.named(f"generation {generation}:", "generation N:")
    bench.named(f"demands {generation + 1} at", "demands N+1 at")
    yield bench.trial("replayed", "an older kernel with its good signature (a signature never ends)",
                      File(images.debians))
    yield bench.trial("replayed", "the same, below the policy's minimum_version", File(images.debians),
                      rule={"minimum_version": "7"})
    yield bench.trial("replayed", "a UKI below the policy's minimum_version, by the kernel inside",
                      images.uki, Role.UKI, rule={"minimum_version": "7"})
    level = b"sbat,1,2030010100\nshim,%d\n" % (generation + 1)
    yield bench.trial("replayed", "Debian's shim, of a generation below the policy's SBAT level", File(images.shim),
                      sbat=["next"], files={"next": level})
    moved = images.debians[parse_pe(images.debians).certificates_offset :]
    yield bench.trial("replayed", "the signature of Debian's kernel on another image",
                      File(with_certificates(images.efi, moved)))


def with_certificates(image: bytes, table: bytes) -> bytes:
    """Return an unsigned image with the certificate table of another."""
    pe = parse_pe(image)
    data = image + bytes(-len(image) % 8)
    slot = len(data).to_bytes(4, "little") + len(table).to_bytes(4, "little")
    at = pe.certificate_entry_offset
    return data[:at] + slot + data[at + 8 :] + table
