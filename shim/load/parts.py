"""What a verified candidate is made of, a UKI or OS package taken apart: kernel, archives, command line."""

from __future__ import annotations

from shim.errors import LoadError
from shim.formats.cpio import MAGICS, trailer_end
from shim.formats.modsig import find_appended
from shim.load.archive import Archive
from shim.load.unpacked import join_package, join_uki
from shim.model import Role
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Artifact, Verified

COMPRESSED = {
    # What the kernel's lib/decompress.c knows an initramfs by.
    b"\x1f\x8b": "gzip", b"\x1f\x9e": "gzip", b"BZh": "bzip2", b"\x5d\0\0": "lzma", b"\xfd7zXZ\0": "xz",
    b"\x89LZO": "lzo", b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip


class Parts(Value):
    """What is to be loaded. `kernel_artifact` is the kernel as a whole file, None when it came out of another."""

    kernel: memoryview
    kernel_artifact: Artifact | None
    archives: tuple[Archive, ...]
    cmdline: bytes
    trace: tuple[str, ...] = ()


def parts_of(verified: Verified) -> Parts:
    """Return the parts of a candidate. Raises FormatError or LoadError for a UKI or an initrd that makes no sense."""
    candidate = verified.candidate
    given = tuple(archive_of(item) for item in candidate.initrds)
    trace = ["the device tree is not used on this architecture"] if candidate.devicetree else []
    joins = {Role.UKI: join_uki, Role.OSPKG: join_package}
    if candidate.kernel.role in joins:
        made = joins[candidate.kernel.role](candidate, given)
        kernel, artifact, archives, cmdline = made.kernel, None, made.archives, made.cmdline
        trace += made.trace
    else:
        kernel, artifact, archives = candidate.kernel.blob.view(), candidate.kernel, given
        cmdline = candidate.cmdline or ""
    for archive in archives:
        check_archive(archive)
    line = cmdline.encode("utf-8")
    if b"\0" in line:
        raise LoadError("the command line has a NUL inside", at=line.index(b"\0"))
    return Parts(kernel=kernel, kernel_artifact=artifact, archives=archives, cmdline=line, trace=tuple(trace))


def archive_of(initrd: Artifact) -> Archive:
    """Return what the kernel gets of an initrd: without a signature appended to it.

    The kernel would stop at the signature and unpack nothing behind it, no further initrd either. Raises FormatError
    for an appended signature that makes no sense.
    """
    view = initrd.blob.view()
    found = find_appended(view)
    if found is None:
        return Archive(name=initrd.name, data=view, sha256=initrd.sha256)
    return Archive(name=initrd.name, data=view[: found.content_size])


def check_archive(archive: Archive) -> None:
    """Raise LoadError for an initrd that the kernel could not unpack.

    A compressed one is known by its magic; an archive in the clear is read to its trailer, and so is an archive in
    the clear before a compressed one (microcode).
    """
    head = bytes(archive.data[:6])
    if any(head.startswith(magic) for magic in COMPRESSED):
        return
    if head not in MAGICS:
        raise LoadError("the initrd is neither a cpio archive nor compressed", file=archive.name, found=head)
    trailer_end(archive.data)
