"""What is measured of a candidate, by the plan in `pcrs`: pure, the same at boot and on the host."""

from __future__ import annotations

from _codecs import utf_16_le_encode  # what the codec calls; the module around it is not in the frozen runtime

from shim.errors import MeasureError
from shim.formats.banks import SHA256_BANK, new_bank_hash
from shim.formats.pe import parse_pe
from shim.formats.stub import PLACES, ExtraKind, extend_cmdline, fitting_addons, pack_place
from shim.formats.tcglog import EV_EVENT_TAG, EV_IPL
from shim.formats.uki import split_uki
from shim.measure.pcrs import (
    ADDON_CMDLINE,
    ADDON_INITRD_TAG,
    ADDON_PART,
    ADDON_UCODE_TAG,
    CMDLINE,
    CONFIG,
    DEVICETREE,
    DTBAUTO,
    ENTRY,
    EXTENSION,
    INITRD,
    KERNEL,
    PACKAGE,
    PARAMETERS,
    PROFILE,
    PROFILE_TAG,
    SECTION,
    SECTIONS,
)
from shim.model import Event, Role
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from shim.formats.digests import NewHash
    from shim.formats.pe import Section
    from shim.formats.record import Buffer
    from shim.model import Artifact, Candidate

ZEROS_MAX = 64 << 20
CHUNK = bytes(1 << 16)


class Measurement(Value):
    """Something to be measured: into which PCR, the bytes, and then `zeros` more. `data` and its type are for the log.

    `sha256` is that of the bytes where it is known already.
    """

    pcr: int
    event_type: int = EV_IPL
    description: str
    content: Buffer
    zeros: int = 0
    data: bytes
    sha256: bytes | None = None

    def event(self, banks: Iterable[str], new_hash: NewHash) -> Event:
        """Return the event, with its digest in each bank."""
        digests = {bank: self._digest(bank, new_hash) for bank in banks}
        return Event(pcr=self.pcr, event_type=self.event_type, description=self.description, digests=digests,
                     data=self.data)

    def _digest(self, bank: str, new_hash: NewHash) -> bytes:
        if bank == SHA256_BANK and self.sha256 is not None:
            return self.sha256
        running = new_bank_hash(bank, new_hash)
        running.update(memoryview(self.content))
        for start in range(0, self.zeros, len(CHUNK)):
            running.update(CHUNK[: self.zeros - start])
        return running.digest()


def measure_config(content: Iterable[tuple[str, bytes]]) -> tuple[Measurement, ...]:
    """Return what is measured once a boot: the configuration and what it names, by name."""
    return tuple(_told(CONFIG.pcr, f"configuration {name}", data) for name, data in content)


def no_chids() -> tuple[bytes, ...]:
    """Return the CHIDs of no machine: no device tree of a UKI fits it."""
    return ()


def measure_candidate(candidate: Candidate, chids: Callable[[], Sequence[bytes]] = no_chids) -> tuple[Measurement, ...]:
    """Return what is measured of a candidate, in order. `chids` are asked for where a UKI has device trees to choose.

    Raises FormatError for a UKI that cannot be taken apart, MeasureError for a section that cannot be measured.
    """
    found = [_told(ENTRY.pcr, f"entry {candidate.entry.id}", candidate.entry.id.encode("utf-8", "replace"))]
    if candidate.kernel.role is Role.UKI:
        if candidate.profile:
            found.append(_tagged(PROFILE.pcr, PROFILE_TAG, f"profile {candidate.profile}", str(candidate.profile),
                                 utf16(str(candidate.profile))))
        found += measure_uki(candidate.kernel.blob.view(), candidate.profile, chids)
    elif candidate.kernel.role is Role.OSPKG:
        found += measure_package(candidate)
    else:
        found.append(_file(KERNEL.pcr, candidate.kernel))
    if candidate.cmdline is not None:
        found.append(measure_cmdline(candidate.cmdline))
    if candidate.kernel.role is Role.UKI:
        found += measure_beside(candidate)
    found += [_file(INITRD.pcr, initrd) for initrd in candidate.initrds]
    if candidate.devicetree is not None:
        found.append(_file(DEVICETREE.pcr, candidate.devicetree))
    return tuple(found)


def measure_uki(
    data: Buffer, profile: int | None, chids: Callable[[], Sequence[bytes]] = no_chids
) -> tuple[Measurement, ...]:
    """Return what systemd-stub measures of a UKI in a profile: name and bytes of each section.

    Spec: systemd 257, src/boot/stub.c, measure_sections; the event's data is the name in UTF-16LE with its NUL. Of the
    `.dtbauto` sections it measures the one that fits the machine.
    """
    uki = split_uki(data, profile)
    found = {name: uki.profile.section(name) for name in SECTIONS if name != DTBAUTO}
    if uki.hwids and uki.dtbauto:
        from shim.formats.hwids import select_devicetree

        fitting = select_devicetree(parse_pe(data), data, uki.profile.number, chids())
        if fitting is not None:
            found[DTBAUTO] = fitting[0]
    ordered = (found.get(name) for name in SECTIONS)
    return tuple(one for section in ordered if section is not None and section.virtual_size
                 for one in _section(section, data))


def measure_package(candidate: Candidate) -> list[Measurement]:
    """Return what is measured of an OS package: the archive, its two files, and its command line where it is used."""
    package = candidate.package
    if package is None:
        raise MeasureError("the OS package was not unpacked", file=candidate.kernel.name)
    manifest, name = package.manifest, candidate.kernel.name
    found = [_file(PACKAGE.pcr, candidate.kernel)]
    for member, content in ((manifest.kernel, package.kernel), (manifest.initramfs, package.initramfs)):
        found.append(_told(PACKAGE.pcr, f"{member} of {name}", content))
    if candidate.cmdline is None:
        found.append(measure_cmdline(manifest.cmdline))
    return found


def measure_beside(candidate: Candidate) -> list[Measurement]:
    """Return what systemd-stub measures of what lies beside a UKI, in its order.

    Spec: systemd 257, src/boot/stub.c, run; src/boot/cpio.c, pack_cpio. Device trees of add-ons are left out, because
    they are not used here.
    """
    uki = split_uki(candidate.kernel.blob.view(), candidate.profile)
    given = ((extra.name, extra.artifact.blob.view()) for extra in candidate.extras if extra.kind is ExtraKind.ADDON)
    addons, _ = fitting_addons(uki, given)
    found = []
    appended = extend_cmdline("", [addon for _, addon in addons])
    if appended:
        found.append(measure_cmdline(appended).replace(pcr=ADDON_CMDLINE.pcr, description="command line of add-ons"))
    for place in PLACES:
        files = [(extra.name, extra.artifact.blob.view()) for extra in candidate.extras if extra.kind is place.kind]
        if files:
            pcr = EXTENSION.pcr if place.kind is ExtraKind.SYSEXT else PARAMETERS.pcr
            found.append(Measurement(pcr=pcr, description=place.stub_name, content=pack_place(place, files),
                                     data=utf16(place.stub_name)))
    found += [_tagged(ADDON_PART.pcr, ADDON_UCODE_TAG, f"microcode of {name}", name, addon.ucode)
              for name, addon in reversed(addons) if addon.ucode]
    return found + [_tagged(ADDON_PART.pcr, ADDON_INITRD_TAG, f"initrd of {name}", name, addon.initrd)
                    for name, addon in addons if addon.initrd]


def _tagged(pcr: int, tag: int, description: str, name: str, content: Buffer) -> Measurement:
    """Return an event with a tag. Spec: TCG PC Client Platform Firmware Profile 1.06, 10.4.2.1, EV_EVENT_TAG."""
    said = utf16(name)
    data = tag.to_bytes(4, "little") + len(said).to_bytes(4, "little") + said
    return Measurement(pcr=pcr, event_type=EV_EVENT_TAG, description=description, content=content, data=data)


def measure_cmdline(cmdline: str) -> Measurement:
    """Return how systemd-stub and systemd-boot measure a command line that was given to a kernel.

    Spec: systemd 257, src/boot/measure.c, tpm_log_load_options; digest and event data are the same bytes.
    """
    text = utf16(cmdline)
    return Measurement(pcr=CMDLINE.pcr, description="command line", content=text, data=text)


def utf16(text: str) -> bytes:
    """Return text as UEFI has it: UTF-16LE with a final NUL."""
    return utf_16_le_encode(text, "surrogatepass")[0] + b"\0\0"


def _section(section: Section, data: Buffer) -> Iterator[Measurement]:
    name, said = section.name, utf16(section.name)
    # In memory a section is as long as its virtual size: cut there, or filled up with zeros. The stub hashes memory.
    zeros = section.virtual_size - section.size
    if zeros > ZEROS_MAX:
        raise MeasureError("a section is far longer in memory than in the file", section=name, limit=ZEROS_MAX,
                           found=zeros)
    yield Measurement(pcr=SECTION.pcr, description=f"name of section {name}", content=name.encode("ascii") + b"\0",
                      data=said)
    yield Measurement(pcr=SECTION.pcr, description=f"section {name}", content=section.data(data), zeros=zeros,
                      data=said)


def _file(pcr: int, artifact: Artifact) -> Measurement:
    description = f"{artifact.role.value} {artifact.name}"
    return Measurement(pcr=pcr, description=description, content=artifact.blob.view(), data=_told_data(description),
                       sha256=artifact.sha256)


def _told(pcr: int, description: str, content: Buffer) -> Measurement:
    return Measurement(pcr=pcr, description=description, content=content, data=_told_data(description))


def _told_data(description: str) -> bytes:
    """Return what the event log says of a measurement of ours: text with a NUL, as other loaders have it."""
    return f"bootshim: {description}".encode("utf-8", "replace")[:1024] + b"\0"
