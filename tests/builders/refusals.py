"""A /boot full of entries that must be refused, made from real artefacts, and one good entry that comes last."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from shim.formats.bzimage import SETUP, parse_bzimage
from tests.builders import debian
from tests.builders.disk import Content, Hole, Link
from tests.builders.keys import KeyFiles
from tests.builders.signing import image_digest, signature_list
from tests.builders.uki import sign_pe, unsigned_kernel

OPTIONS = "console=ttyS0 quiet"
LONG_OPTIONS = f"{OPTIONS} {'x' * 2048}"
MEMORY_MIB = 1024  # of the machine that they are tried on
PAGE = 4096


class Refusal(NamedTuple):
    """An entry that must not boot: its files, what its policy pins, the stage that refuses and a regex of why.

    The stage "entries" means that it is no entry at all: a problem of the file that should describe one.
    """

    name: str
    stage: str
    why: str
    linux: str = "/vmlinuz"
    initrd: str = "/initrd"
    options: str = OPTIONS
    files: Mapping[str, Content] = MappingProxyType({})
    pinned: tuple[bytes, ...] = ()

    def entry(self) -> str:
        return f"title {self.name}\nlinux {self.linux}\ninitrd {self.initrd}\noptions {self.options}\n"


class Workshop:
    """Where the entries are made: Debian's kernel, a good initrd, trusted and foreign keys."""

    def __init__(self, directory: Path, initrd: bytes, trusted: KeyFiles, revoked: KeyFiles, foreign: KeyFiles) -> None:
        self.directory, self.initrd = directory, initrd
        self.trusted, self.revoked, self.foreign = trusted, revoked, foreign
        self.kernel = debian.kernel().image.read_bytes()
        self.unsigned = unsigned_kernel(directory)

    def dbx(self) -> bytes:
        """Return the revocations that two of the entries run into."""
        by_digest = signature_list("sha256", image_digest(self.other_kernel, "sha256"))
        return by_digest + signature_list("x509", self.revoked.der.read_bytes())

    @property
    def other_kernel(self) -> bytes:
        """An unsigned kernel that differs from Debian's in its last bytes."""
        return self.unsigned + b"revoked!" * 2

    def signed(self, data: bytes, signer: KeyFiles) -> bytes:
        source, output = self.directory / "unsigned", self.directory / "signed"
        source.write_bytes(data)
        return sign_pe(source, output, signer).read_bytes()

    def all(self) -> list[Refusal]:
        return [make(self) for make in MAKERS]


def changed(kernel: bytes, field: str, value: int) -> bytes:
    """Return a bzImage with another value in a field of its header."""
    at, width = SETUP.offsets[field], SETUP.widths[field]
    return kernel[:at] + value.to_bytes(width, "little") + kernel[at + width :]


def tampered(shop: Workshop) -> Refusal:
    kernel = bytearray(shop.kernel)
    kernel[len(kernel) // 2] ^= 1
    return Refusal("tampered kernel", "verify", "digest", "/tampered", files={"tampered": bytes(kernel)})


def unsigned(shop: Workshop) -> Refusal:
    return Refusal("unsigned kernel", "verify", "no signature|not signed", "/unsigned",
                   files={"unsigned": shop.unsigned})


def foreign(shop: Workshop) -> Refusal:
    kernel = shop.signed(shop.unsigned, shop.foreign)
    return Refusal("signed under a foreign authority", "verify", "anchor", "/foreign", files={"foreign": kernel})


def revoked_digest(shop: Workshop) -> Refusal:
    kernel = shop.signed(shop.other_kernel, shop.trusted)
    return Refusal("revoked by its digest", "verify", "revoked", "/revoked-digest", files={"revoked-digest": kernel})


def revoked_signer(shop: Workshop) -> Refusal:
    kernel = shop.signed(shop.unsigned, shop.revoked)
    return Refusal("revoked signer", "verify", "revoked", "/revoked-signer", files={"revoked-signer": kernel})


def truncated(shop: Workshop) -> Refusal:
    """Pinned, so that only the look at its structure can refuse it: the kernel itself would take half of it."""
    kernel = shop.kernel[: len(shop.kernel) // 2]
    return Refusal("truncated bzImage", "plan", "cut short", "/truncated", files={"truncated": kernel},
                   pinned=(kernel,))


def too_large(shop: Workshop) -> Refusal:
    kernel = changed(shop.unsigned, "init_size", MEMORY_MIB - 8 << 20)
    return Refusal("larger than memory", "plan", "no room in memory.*name=kernel.*largest_hole=0x", "/large",
                   files={"large": kernel}, pinned=(kernel,))


def cut_by_a_page(shop: Workshop) -> Refusal:
    """A signed file ends in its certificates, so the page is cut from the kernel without them."""
    kernel = shop.unsigned[:-PAGE]
    return Refusal("cut by a page", "plan", "cut short", "/page", files={"page": kernel}, pinned=(kernel,))


def zeroed_payload(shop: Workshop) -> Refusal:
    image = parse_bzimage(shop.unsigned)
    at = image.setup_size + SETUP.parse(shop.unsigned)["payload_offset"]
    kernel = shop.unsigned[:at] + bytes(PAGE) + shop.unsigned[at + PAGE :]
    return Refusal("zeroed payload", "plan", "not compressed in a known way", "/zeroed", files={"zeroed": kernel},
                   pinned=(kernel,))


def compressed(shop: Workshop) -> Refusal:
    kernel = gzip.compress(shop.unsigned, 1, mtime=0)
    return Refusal("gzip around a bzImage", "plan", "no kernel of a known kind", "/gzip", files={"gzip": kernel},
                   pinned=(kernel,))


def lying_header(field: str, value: int, why: str) -> Callable[[Workshop], Refusal]:
    """Return the maker of a kernel with another value in one field of its header."""

    def make(shop: Workshop) -> Refusal:
        kernel, name = changed(shop.unsigned, field, value), f"{field}-{value:x}"
        return Refusal(f"{field} {value:#x}", "plan", why, f"/{name}", files={name: kernel}, pinned=(kernel,))

    make.__name__ = f"{field}_{value:x}"
    return make


def empty_kernel(shop: Workshop) -> Refusal:
    return Refusal("empty kernel", "fetch", "the file is empty", "/empty", files={"empty": b""})


def no_kernel(shop: Workshop) -> Refusal:
    text = b"#!/bin/sh\necho this is no kernel\n" * 40
    return Refusal("no kernel at all", "plan", "no kernel", "/text", files={"text": text}, pinned=(text,))


def cut_cpio(shop: Workshop) -> Refusal:
    cut = shop.initrd[: len(shop.initrd) // 2]
    return Refusal("cut cpio", "plan", "cpio.*cut short", initrd="/initrd.cut", files={"initrd.cut": cut},
                   pinned=(cut,))


def empty_initrd(shop: Workshop) -> Refusal:
    return Refusal("empty initrd", "fetch", "the file is empty", initrd="/initrd.empty", files={"initrd.empty": b""})


def directory_as_initrd(shop: Workshop) -> Refusal:
    return Refusal("directory as initrd", "fetch", "not a regular file", initrd="/loader")


def no_archive(shop: Workshop) -> Refusal:
    return Refusal("initrd that is no archive", "plan", "neither a cpio archive nor compressed", initrd="/initrd.text",
                   files={"initrd.text": b"no archive\n" * 99}, pinned=(b"no archive\n" * 99,))


def large_initrd(shop: Workshop) -> Refusal:
    """A file of holes that says it is larger than the memory there is."""
    return Refusal("initrd larger than memory", "fetch", "do not fit into memory", initrd="/initrd.large",
                   files={"initrd.large": Hole(MEMORY_MIB << 20)})


def long_cmdline(shop: Workshop) -> Refusal:
    return Refusal("command line that is too long", "plan", "too long for this kernel", options=LONG_OPTIONS)


def other_initrd(shop: Workshop) -> Refusal:
    changed = shop.initrd.replace(b"bootshim-target-begin", b"bootshim-TARGET-begin")
    return Refusal("initrd that is not pinned", "verify", "initrd|not listed|pinned", initrd="/initrd.other",
                   files={"initrd.other": changed})


def other_cmdline(shop: Workshop) -> Refusal:
    return Refusal("command line that is not listed", "verify", "listed", options=f"{OPTIONS} init=/evil")


def parent_path(shop: Workshop) -> Refusal:
    return Refusal("path with ..", "entries", r"must not climb with \.\.", "/../../../init")


def missing(shop: Workshop) -> Refusal:
    return Refusal("kernel that is not there", "fetch", "no such file|not there|absent", "/nothing")


def symlink_out(shop: Workshop) -> Refusal:
    link = Link("../../../../etc/bootshim/config.toml")
    return Refusal("symlink out of the volume", "fetch", "leads out of the volume", "/out", files={"out": link})


def absolute_symlink(shop: Workshop) -> Refusal:
    return Refusal("absolute symlink", "fetch", "leads out of the volume", "/absolute",
                   files={"absolute": Link("/init")})


def symlink_loop(shop: Workshop) -> Refusal:
    return Refusal("symlink loop", "fetch", "loop|symbolic links", "/loop", files={"loop": Link("loop")})


def directory(shop: Workshop) -> Refusal:
    return Refusal("directory as kernel", "fetch", "regular", "/folder", files={"folder/file": b"x"})


# What kexec_file_load of Linux 6.1 takes all the same, or refuses with an errno that says nothing.
LIES = (
    ("setup_sects", 0, "not compressed in a known way"), ("setup_sects", 255, "cut short: syssize"),
    ("syssize", 0, "syssize"), ("payload_length", 0xFFFFFFFF, "payload_length"),
    ("kernel_alignment", 0, "kernel_alignment"), ("pref_address", 0xFFFFFFFF00000000, "pref_address"),
    ("boot_flag", 0, "no kernel of a known kind"), ("version", 0x100, "boot protocol is too old"),
    ("loadflags", 0, "loadflags"), ("init_size", 0, "init_size"), ("init_size", 0xFFFFFFFF, "init_size"),
)
MAKERS: tuple[Callable[[Workshop], Refusal], ...] = (
    tampered, unsigned, foreign, revoked_digest, revoked_signer, truncated, cut_by_a_page, zeroed_payload, compressed,
    *(lying_header(*lie) for lie in LIES), too_large, empty_kernel, no_kernel,
    cut_cpio, empty_initrd, directory_as_initrd, no_archive, large_initrd, other_initrd, other_cmdline, long_cmdline,
    parent_path, missing, symlink_out, absolute_symlink, symlink_loop, directory,
)  # fmt: skip
