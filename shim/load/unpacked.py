"""A UKI taken apart and put together with what lies beside it, as systemd-stub does. Spec: systemd-stub(7), 257.

And an OS package, which was unpacked when it had been judged: a kernel, an initramfs and a command line.
"""

from __future__ import annotations

from shim.errors import LoadError, printable
from shim.formats.stub import (
    PLACES,
    UNUSED_ON_X86,
    ExtraKind,
    extend_cmdline,
    fitting_addons,
    pack_embedded,
    pack_place,
)
from shim.formats.uki import split_uki
from shim.load.archive import Archive
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import Candidate, Extra

SHOWN_LABEL_SIZE = 120


class Unpacked(Value):
    """What a UKI or OS package comes to: kernel, all archives in order, the command line with what add-ons append."""

    kernel: memoryview
    archives: tuple[Archive, ...]
    cmdline: str
    trace: tuple[str, ...]


def join_uki(candidate: Candidate, given: tuple[Archive, ...]) -> Unpacked:
    """Return the parts of a UKI in the profile of the candidate; `given` are initrds that an entry names.

    The order of the archives is the stub's: microcode of add-ons, the last one first, because the kernel takes the
    first that it finds; the UKI's own microcode and initrd; what is generated; initrds of add-ons, because there the
    last one wins. What an entry names comes last: the stub knows no such thing.
    """
    uki = split_uki(candidate.kernel.blob.view(), candidate.profile)
    addons, trace = fitting_addons(uki, [
        (extra.artifact.name, extra.artifact.blob.view()) for extra in candidate.extras
        if extra.kind is ExtraKind.ADDON])
    name, embedded = candidate.kernel.name, pack_embedded(uki)
    own = [Archive(name=f"{name} {part}", data=data) for part, data in ((".ucode", uki.ucode), (".initrd", uki.initrd))
           if data]
    archives = [
        *(Archive(name=f"{beside} .ucode", data=addon.ucode) for beside, addon in reversed(addons) if addon.ucode),
        *own,
        *_generated(candidate.extras),
        *([Archive(name=f"{name}, sections as files", data=embedded)] if embedded else []),
        *(Archive(name=f"{beside} .initrd", data=addon.initrd) for beside, addon in addons if addon.initrd),
        *given,
    ]  # fmt: skip
    unused = [f".{part}" for part in UNUSED_ON_X86 if getattr(uki, part)]
    if unused:
        trace.append(f"not used on this architecture: {' '.join(unused)}")
    cmdline = uki.command_line() if candidate.cmdline is None else candidate.cmdline
    return Unpacked(
        kernel=uki.linux, archives=tuple(archives), trace=tuple(trace),
        cmdline=extend_cmdline(cmdline, [addon for _, addon in addons]),
    )  # fmt: skip


def join_package(candidate: Candidate, given: tuple[Archive, ...]) -> Unpacked:
    """Return the parts of an OS package. Raises LoadError for one that was not unpacked."""
    package = candidate.package
    if package is None:
        raise LoadError("the OS package was not unpacked", file=candidate.kernel.name)
    manifest = package.manifest
    initramfs = Archive(name=f"{candidate.kernel.name} {manifest.initramfs}", data=package.initramfs)
    return Unpacked(
        kernel=package.kernel, archives=(initramfs, *given),
        trace=(f"kernel {manifest.kernel} of the OS package {printable(manifest.label, SHOWN_LABEL_SIZE)}".rstrip(),),
        cmdline=manifest.cmdline if candidate.cmdline is None else candidate.cmdline,
    )  # fmt: skip


def _generated(extras: tuple[Extra, ...]) -> list[Archive]:
    archives = []
    for place in PLACES:
        files = [(extra.name, extra.artifact.blob.view()) for extra in extras if extra.kind is place.kind]
        if files:
            archives.append(Archive(name=f"{place.directory}, {len(files)} files", data=pack_place(place, files)))
    return archives
