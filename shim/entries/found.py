"""Kernels on a volume that has no boot configuration: vmlinuz-* and its initrd, as distributions name them."""

from __future__ import annotations

from shim.entries.reading import Reading
from shim.errors import FetchError
from shim.formats.os_release import parse_os_release
from shim.model import Entry, FileRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.model import Volume
    from shim.ports import Files

DIRECTORIES = ("/boot", "/")
KERNELS = ("vmlinuz", "vmlinux", "bzImage", "Image", "kernel")
INITRDS = (
    # The names of Debian, Fedora, openSUSE, Arch and Alpine; {} is the kernel's version or, for Arch, its flavour.
    "initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}",
)
PLAIN_INITRDS = ("initrd.img", "initrd", "initramfs.img", "initramfs-linux.img", "initrd.gz")
OS_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
# What package managers, signers and compressors leave beside a kernel.
BESIDE = (".old", ".bak", ".gz", ".hmac", ".sha512hmac", ".sig", ".rpmsave", ".rpmnew", ".dpkg-bak",
          ".dpkg-new", ".dpkg-tmp", ".p7s", ".p7")
FOUND_MAX = 256


def read_found(volume: Volume, files: Files) -> Reading:
    """Return an entry for each kernel in /boot and /. Without a command line: there is nobody to say one."""
    title = _title(files)
    entries = tuple(
        entry for directory in DIRECTORIES for entry in _kernels(volume, files, directory, title)
    )
    return Reading(entries=entries[:FOUND_MAX])


def _kernels(volume: Volume, files: Files, directory: str, title: str) -> Iterator[Entry]:
    names = files.names(directory) or ()
    prefix = directory.rstrip("/")
    for name in names:
        stem, dash, version = name.partition("-")
        if stem not in KERNELS or name.endswith(BESIDE) or not files.exists(f"{prefix}/{name}"):
            continue
        wanted = [pattern.format(version) for pattern in INITRDS] if dash else list(PLAIN_INITRDS)
        initrd = next((candidate for candidate in wanted if candidate in names), None)
        path = f"{prefix}/{name}"
        yield Entry(
            id=path.lstrip("/"),
            dialect="found",
            volume=volume.name,
            source=f"{path}:0",
            title=f"{title} ({version})" if title and version else title or name,
            version=version or None,
            linux=FileRef(volume=volume.name, path=path),
            initrd=(FileRef(volume=volume.name, path=f"{prefix}/{initrd}"),) if initrd else (),
            cmdline="",
            trace=(
                "no boot configuration on any volume: a kernel was looked for",
                f"initrd {initrd} goes by the kernel's version" if initrd else "no initrd goes by its name",
            ),
        )


def _title(files: Files) -> str:
    for path in OS_RELEASES:
        try:
            return parse_os_release(files.read(path, 1 << 16)).get("PRETTY_NAME", "")
        except FetchError:  # absent or too long: the entry does without a title
            continue
    return ""
