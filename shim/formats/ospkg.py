"""OS packages of System Transparency: a descriptor and an archive, NAME.json and NAME.zip.

Spec: docs.system-transparency.org, reference, "OS package"; stboot, ospkg/descriptor.go, manifest.go and ospkg.go.
The descriptor holds pairs of a certificate (PEM, in base64) and a signature (base64); what is signed is the SHA-256 of
the whole archive. The archive holds manifest.json, which names kernel, initramfs and command line. As for stboot an
archive without a kernel or an initramfs is none, and keys that are not known are passed over.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.json_parse import parse_json
from shim.formats.pem import PEM_BEGIN, parse_base64, parse_pem
from shim.formats.zip import parse_zip, read_member
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.formats.record import Buffer

ARCHIVE_SUFFIX, DESCRIPTOR_SUFFIX = ".zip", ".json"
VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_SIZE_MAX = 1 << 16
CMDLINE_SIZE_MAX = 1 << 16
SIGNATURES_MAX = 16
CERTIFICATE_SIZE_MAX = 1 << 14


class SignaturePair(Value):
    """A certificate as DER, and the signature that its key is said to have made."""

    certificate: bytes
    signature: bytes


class Descriptor(Value):
    """Who signed an archive. `os_pkg_url` is where it comes from over the network, "" where it does not say."""

    os_pkg_url: str
    pairs: tuple[SignaturePair, ...]


class PackageManifest(Value):
    """What an archive is for: `kernel` and `initramfs` are names of its members."""

    label: str
    kernel: str
    initramfs: str
    cmdline: str


class Package(Value):
    """An archive, unpacked."""

    manifest: PackageManifest
    kernel: memoryview
    initramfs: memoryview


def is_package(data: Buffer) -> bool:
    """Say whether a file is a ZIP archive, by its magic: of the files that are booted only OS packages are."""
    return bytes(data[:4]) == b"PK\3\4"


def parse_descriptor(data: bytes) -> Descriptor:
    """Return what a descriptor says. Certificates are taken out of base64 and PEM, not judged. Raises FormatError."""
    what = "OS package descriptor"
    table = _table(data, what)
    certificates, signatures = (_blocks(table, key, what) for key in ("certificates", "signatures"))
    if len(certificates) != len(signatures):
        raise FormatError("OS package descriptor has not one certificate for each signature",
                          certificates=len(certificates), signatures=len(signatures))
    pairs = zip(certificates, signatures, strict=True)
    return Descriptor(
        os_pkg_url=_text(table, "os_pkg_url", what),
        pairs=tuple(SignaturePair(certificate=_certificate(one, number), signature=signature)
                    for number, (one, signature) in enumerate(pairs, 1)),
    )  # fmt: skip


def parse_package_manifest(data: bytes) -> PackageManifest:
    """Return what manifest.json says. Raises FormatError."""
    what = "OS package manifest"
    table = _table(data, what)
    manifest = PackageManifest(**{key: _text(table, key, what) for key in PackageManifest.__fields__})
    for key in ("kernel", "initramfs"):
        if not getattr(manifest, key):
            raise FormatError("OS package manifest names nothing", key=key)
    cmdline = manifest.cmdline
    if len(cmdline) > CMDLINE_SIZE_MAX or any(letter < " " or letter == "\x7f" for letter in cmdline):
        raise FormatError("OS package has a command line that is too long or has control characters in it",
                          limit=CMDLINE_SIZE_MAX, found=len(cmdline))
    return manifest


def unpack_package(data: Buffer, limit: int) -> Package:
    """Return what is in an archive: `limit` bytes of kernel and initramfs together at the most. Raises FormatError.

    Nothing of it is to be believed before the whole archive was judged.
    """
    members = {member.name: member for member in parse_zip(data)}

    def read(name: str, limit: int) -> memoryview:
        member = members.get(name)
        if member is None or member.is_directory:
            raise FormatError("OS package has no such file", file=name)
        content = read_member(data, member, limit)
        if not content:
            raise FormatError("OS package has an empty file", file=name)
        return content

    manifest = parse_package_manifest(bytes(read(MANIFEST, MANIFEST_SIZE_MAX)))
    kernel = read(manifest.kernel, limit)
    return Package(manifest=manifest, kernel=kernel, initramfs=read(manifest.initramfs, limit - len(kernel)))


def _table(data: bytes, what: str) -> dict[str, Any]:
    table = parse_json(data, what)
    if not isinstance(table, dict):
        raise FormatError(f"{what} is no object")
    version = table.get("version")
    if version != VERSION or isinstance(version, bool):
        raise FormatError(f"{what} has an unknown version", expected=VERSION, found=str(version)[:32])
    return table


def _text(table: dict[str, Any], key: str, what: str) -> str:
    given = table.get(key)
    if given is not None and not isinstance(given, str):
        raise FormatError(f"{what} has something else where a text must be", key=key)
    return given or ""


def _blocks(table: dict[str, Any], key: str, what: str) -> list[bytes]:
    """Return a list of bytes, each in base64; null stands for none, as Go writes it."""
    given = table.get(key) or []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise FormatError(f"{what} has something else where a list of texts must be", key=key)
    if len(given) > SIGNATURES_MAX:
        raise FormatError(f"{what} has too many signatures", key=key, limit=SIGNATURES_MAX, found=len(given))
    try:
        return [parse_base64(one.encode("utf-8")) for one in given]
    except FormatError as problem:
        raise FormatError(f"{what}: {problem}", key=key) from problem


def _certificate(pem: bytes, number: int) -> bytes:
    """Return the one certificate of a PEM text; one that is DER already will do as well."""
    if len(pem) > CERTIFICATE_SIZE_MAX:
        raise FormatError("OS package certificate is too long", number=number, limit=CERTIFICATE_SIZE_MAX,
                          found=len(pem))
    if PEM_BEGIN not in pem:
        return pem
    blocks = parse_pem(pem, "CERTIFICATE")
    if len(blocks) != 1:
        raise FormatError("OS package has several certificates where one must be", number=number, found=len(blocks))
    return blocks[0]
