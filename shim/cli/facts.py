"""What `bootshim inspect` knows: one function a format, each turning a parser's value into JSON values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from shim.cli import ospkg_facts
from shim.cli.certificate_facts import certificate_facts, key_text
from shim.errors import FormatError, ShimError, VerifyError
from shim.formats.authenticode import (
    CertificateEntry,
    Signature,
    certificate_entries,
    parse_nested,
    parse_signature,
)
from shim.formats.bzimage import is_bzimage, parse_bzimage
from shim.formats.digests import SIZES, digest_name
from shim.formats.elf import is_elf, parse_elf_kernel
from shim.formats.modsig import MAGIC, find_appended
from shim.formats.os_release import parse_os_release
from shim.formats.pe import PE, parse_pe
from shim.formats.pkcs7 import Signer, parse_signed_data
from shim.formats.sbat import image_sbat
from shim.formats.uki import PARTS, Uki, cmdline_text, has_linux_section, profiles_of, split_uki
from shim.formats.x509 import Certificate, name_text
from shim.verify.piece import Image

SUBSYSTEMS = {10: "EFI application", 11: "EFI boot service driver", 12: "EFI runtime driver"}
TIMESTAMPS = ("1.3.6.1.4.1.311.3.3.1", "1.2.840.113549.1.9.6")  # RFC 3161; PKCS #9 counter-signature

FORMATS: dict[str, Callable[[bytes], bool]] = {
    "UKI": has_linux_section,
    "bzImage": is_bzimage,
    "arm64 Image": lambda data: data[0x38:0x3C] == b"ARM\x64",
    "EFI zboot image": lambda data: data[:2] == b"MZ" and data[4:8] == b"zimg",
    "PE": lambda data: data[:2] == b"MZ",
    "ELF": is_elf,
    "gzip": lambda data: data[:2] == b"\x1f\x8b",
    "xz": lambda data: data[:6] == b"\xfd7zXZ\0",
    "zstd": lambda data: data[:4] == b"\x28\xb5\x2f\xfd",
    "lz4": lambda data: data[:4] in (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"),
    "bzip2": lambda data: data[:3] == b"BZh",
    **ospkg_facts.FORMATS,
    "cpio": lambda data: data[:6] in (b"070701", b"070702"),
    "device tree": lambda data: data[:4] == b"\xd0\x0d\xfe\xed",
}


def describe(data: bytes) -> dict[str, Any]:
    """Return what every format in DESCRIBERS says; what one of them cannot read is a problem, not the end."""
    facts: dict[str, Any] = {}
    problems: list[str] = []
    for title, (is_it, describer) in DESCRIBERS.items():
        if not is_it(data):
            continue
        try:
            facts[title] = describer(data)
        except ShimError as problem:
            problems.append(f"{title}: {problem}")
    return {**facts, "problems": problems}


def describe_pe(data: bytes) -> dict[str, Any]:
    """Return headers, sections, and the image digests where they are defined."""
    pe = parse_pe(data)
    facts: dict[str, Any] = {
        "machine": pe.machine_name,
        "subsystem": SUBSYSTEMS.get(pe.subsystem, str(pe.subsystem)),
        "entry_point": pe.entry_point,
        "size_of_image": pe.size_of_image,
        "certificates": {"offset": pe.certificates_offset, "size": pe.certificates_size},
        "sections": [section.as_dict() for section in pe.sections],
        "hashed_size": None,
        "image_digests": {},
    }
    try:
        image = Image(data, hashlib.sha256)
    except FormatError as problem:
        return {**facts, "unhashable": str(problem)}
    digests = {name: image.digest(name).hex() for name in SIZES}
    return {**facts, "hashed_size": image.hashed_size, "image_digests": digests}


def describe_signatures(data: bytes) -> list[dict[str, Any]]:
    """Return every signature of a PE file, nested ones after the one that holds them."""
    pe = parse_pe(data)
    rows: list[dict[str, Any]] = []
    for number, entry in enumerate(certificate_entries(data, pe), 1):
        for place, make in _entry_signatures(f"signature {number}", entry):
            try:
                rows.append({"place": place, **_signature_facts(make(), data, pe)})
            except (FormatError, VerifyError) as problem:
                rows.append({"place": place, "problem": str(problem)})
    return rows


def _entry_signatures(place: str, entry: CertificateEntry) -> Iterator[tuple[str, Callable[[], Signature]]]:
    yield place, lambda: parse_signature(entry.content)
    try:
        nested = parse_signature(entry.content).nested
    except FormatError:
        return
    for number, der in enumerate(nested, 1):
        yield f"{place}, nested {number}", lambda der=der: parse_nested(der)  # type: ignore[misc]  # a bound default


def _signature_facts(signature: Signature, data: bytes, pe: PE) -> dict[str, Any]:
    name = digest_name(signature.digest_algorithm)
    certificates = signature.signed.certificates
    return {
        "digest_algorithm": name,
        "digest": signature.digest.hex(),
        "digest_matches": Image(data, hashlib.sha256).digest(name) == signature.digest,
        "signers": [_signer_facts(signer, certificates) for signer in signature.signed.signers],
        "certificates": [certificate_facts(certificate) for certificate in certificates],
    }


def _signer_facts(signer: Signer, certificates: tuple[Certificate, ...]) -> dict[str, Any]:
    mine = [one for one in certificates if signer.names(one)]
    return {
        "subject": mine[0].subject_text if mine else "(certificate not carried)",
        "issuer": mine[0].issuer_text if mine else name_text(signer.issuer) if signer.issuer else "(not said)",
        "serial": f"{signer.serial:x}" if signer.key_id is None else None,
        "key": key_text(mine[0]) if mine else "unknown key",
        "timestamped": any(oid in signer.unsigned_attributes for oid in TIMESTAMPS),
    }


def describe_appended(data: bytes) -> dict[str, Any]:
    """Return what a signature at the end of a file covers, and who claims to have made it."""
    found = find_appended(data)
    if found is None:
        return {}
    signed = parse_signed_data(found.signature)
    return {
        "content_size": found.content_size,
        "signers": [_signer_facts(signer, signed.certificates) for signer in signed.signers],
        "certificates": [certificate_facts(certificate) for certificate in signed.certificates],
    }


def describe_sbat(data: bytes) -> list[dict[str, Any]]:
    """Return the parts that a PE file says it has, with the generation of each."""
    return [component.as_dict() for component in image_sbat(parse_pe(data), data)]


def describe_linux(data: bytes) -> dict[str, Any]:
    """Return what loading a bzImage takes, from its setup header."""
    image = parse_bzimage(data)
    return {
        "version": image.kernel_version,
        "protocol": f"{image.version >> 8}.{image.version & 0xFF:02}",
        "payload": image.payload,
        "setup_size": image.setup_size,
        "load_size": image.load_size,
        "init_size": image.init_size,
        "pref_address": image.pref_address,
        "kernel_alignment": image.kernel_alignment,
        "relocatable": image.relocatable,
        "entry": "64-bit" if image.enters_in_64_bits else "32-bit",
        "initrd_above_4_gib": image.initrd_above_4_gib,
        "cmdline_size": image.cmdline_size,
    }


def describe_uki(data: bytes) -> dict[str, Any]:
    """Return the profiles of a UKI with the parts of each, and what its first kernel is."""
    profiles = [split_uki(data, number) for number in range(len(profiles_of(parse_pe(data))))]
    kernel = bytes(profiles[0].linux)
    return {
        "profiles": [_profile_facts(uki) for uki in profiles],
        "linux": describe_linux(kernel) if is_bzimage(kernel) else {"format": format_of(kernel)},
    }


def _profile_facts(uki: Uki) -> dict[str, Any]:
    system = parse_os_release(bytes(uki.osrel or b""))
    parts = {name: getattr(uki, name) for name in PARTS}
    return {
        "id": uki.profile.id,
        "title": uki.profile.title,
        "system": system.get("PRETTY_NAME") or system.get("NAME") or system.get("ID"),
        "uname": None if uki.uname is None else cmdline_text(bytes(uki.uname)),
        "cmdline": uki.command_line(),
        "parts": {name: len(part) for name, part in parts.items() if part is not None},
    }


def describe_elf(data: bytes) -> dict[str, Any]:
    """Return where the segments of an ELF kernel go."""
    kernel = parse_elf_kernel(data)
    return {
        "entry_address": kernel.entry_address,
        "span": str(kernel.span),
        "segments": [
            {"memory": str(part.memory), "offset": part.offset, "file_size": part.file_size}
            for part in kernel.segments
        ],
    }


def format_of(data: bytes) -> str:
    """Return the first format of FORMATS that takes the bytes for its own."""
    return next((word for word, is_it in FORMATS.items() if is_it(data)), "unknown")


def is_pe(data: bytes) -> bool:
    return data[:2] == b"MZ"


DESCRIBERS: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], Any]]] = {
    "linux": (is_bzimage, describe_linux),
    "uki": (has_linux_section, describe_uki),
    "elf": (is_elf, describe_elf),
    **ospkg_facts.DESCRIBERS,
    "pe": (is_pe, describe_pe),
    "sbat": (is_pe, describe_sbat),
    "signatures": (is_pe, describe_signatures),
    "appended": (lambda data: data.endswith(MAGIC), describe_appended),
}
