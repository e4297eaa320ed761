"""A ROM for QEMU's q35 machine: Debian's OVMF, with the boot shim where it had the UEFI Shell.

The firmware's boot manager starts the Shell when no disk has anything for it. So the drivers of disks, networks, USB
storage and file systems go out: there is nothing left to find, and room in the DXE volume, whose size OVMF's code has
fixed (12 MiB). The kernel lies there as a UKI: command line and initramfs are in what the firmware measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from initramfs.sources import HERE, cached, fetch_source, read_lock
from shim.errors import ConfigError
from shim.formats.efi_image import Image, drop, edit_image, parse_image, replace_section
from shim.formats.efi_section import PE32
from shim.formats.uki_build import build_uki

if TYPE_CHECKING:
    from shim.formats.efi_image import Edit

CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
SIZE = 16 << 20
SHELL = "7c04a583-9e3e-4f1c-ad65-e05268d0b4d1"  # gUefiShellFileGuid, which the platform's boot manager looks for
STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
OS_RELEASE = b'ID=bootshim\nPRETTY_NAME="bootshim"\n'
DROPPED = {
    # what finds something to boot on a disk
    "VirtioBlkDxe": "11d92dfb-3ca9-4f93-ba2e-4780ed3e03b5", "VirtioScsiDxe": "fab5d4f4-83c0-4aaf-8480-442d11df6cea",
    "ScsiBus": "0167ccc4-d0f7-4f21-a3ef-9e64b7cdce8b", "ScsiDisk": "0a66e322-3740-4cce-ad62-bd172cecca35",
    "SataController": "021722d8-522b-4079-852a-fe44c2c13f49",
    "AtaAtapiPassThruDxe": "5e523cb4-d397-4986-87bd-a6dd8b22f455", "AtaBusDxe": "19df145a-b1d4-453f-8507-38816676d7f6",
    "NvmExpressDxe": "5be3bdf4-53cf-46a3-a6a9-73c34a6e5ee3", "RamDiskDxe": "28a03ff4-12b3-4305-a417-bb1a4f94081e",
    "DiskIoDxe": "6b38f7b4-ad98-40e9-9093-aca2b5a253c4", "PartitionDxe": "1fa1f39e-feff-4aae-bd7b-38a070a3b609",
    "Fat": "961578fe-b6b7-44c3-af35-6bc705cd2b1f", "UdfDxe": "905f13b0-8f91-4b0a-bd76-e1e78f9422e4",
    "VirtioFsDxe": "7bd9ddf7-8b83-488e-aec9-24c78610289c",
    # what QEMU's -kernel comes through
    "QemuKernelLoaderFsDxe": "806040ca-dad9-4978-a3b4-2d2ab0c8a48f",
    # networks
    "DpcDxe": "a210f973-229d-4f4d-aa37-9895e6c9eaba", "SnpDxe": "a2f436ea-a127-4ef8-957c-8048606ff670",
    "VlanConfigDxe": "e4f61863-fe2c-4b56-a8f4-08519bc439df", "MnpDxe": "025bbfc7-e6a9-4b8b-82ad-6815a1aeaf4a",
    "ArpDxe": "529d3f93-e8e9-4e73-b1e1-bdf6a9d50113", "Dhcp4Dxe": "94734718-0bbc-47fb-96a5-ee7a5ae6a2ad",
    "Ip4Dxe": "9fb1a1f3-3b71-4324-b39a-745cbb015fff", "Udp4Dxe": "6d6963ab-906d-4a65-a7ca-bd40e5d6af2b",
    "Mtftp4Dxe": "dc3641b8-2fa8-4ed3-bc1f-f9962a03454b", "Dhcp6Dxe": "95e3669d-34be-4775-a651-7ea41b69d89e",
    "Ip6Dxe": "5bedb5cc-d830-4eb2-8742-2d4cc9b54f2c", "Udp6Dxe": "d912c7bc-f098-4367-92ba-e911083c7b0e",
    "Mtftp6Dxe": "99f03b99-98d8-49dd-a8d3-3219d0ffe41e", "TcpDxe": "1a7e4468-2f55-4a56-903c-01265eb7622b",
    "UefiPxeBcDxe": "b95e9fda-26de-48d2-8807-1f9107ac5e3a", "TlsDxe": "3aceb0c0-3c72-11e4-9a56-74d435052646",
    "TlsAuthConfigDxe": "7ca1024f-eb17-11e5-9dba-28d2447c4829", "DnsDxe": "b219e140-dffc-11e3-b956-0022681e6906",
    "HttpDxe": "2366c20f-e15a-11e3-8bf1-e4115b28bc50", "HttpUtilitiesDxe": "22ea234f-e72a-11e4-91f9-28d2447c4829",
    "HttpBootDxe": "ecebcb00-d9c8-11e4-af3d-8cdcd426c973", "IScsiDxe": "86cddf93-4872-4597-8af9-a35ae4d3725f",
    "VirtioNetDxe": "a92cdb4b-82f1-4e0b-a516-8a655d371524",
    # USB
    "UhciDxe": "2fb92efa-2ee0-4bae-9eb6-7464125e1ef7", "EhciDxe": "bdfe430e-8f2a-4db0-9991-6f856594777e",
    "XhciDxe": "b7f50e91-a759-412c-ade4-dcd03e7f7c28", "UsbBusDxe": "240612b7-a063-11d4-9a3a-0090273fc14d",
    "UsbKbDxe": "2d2e62cf-9ecf-43b7-8219-94e7fc713dfe", "UsbMassStorageDxe": "9fb4b4a7-42c0-4bcd-8540-9bcc6711f83e",
    # what nobody needs without a shell and a setup screen, to make room
    "tftpDynamicCommand": "a487a478-51ef-48aa-8794-7bee2a0562f1",
    "httpDynamicCommand": "19618bce-55ae-09c6-37e9-4ce04084c7a1",
    "LinuxInitrdDynamicShellCommand": "2f30da26-f51b-4b6f-85c4-31873c281bca",
    "SecureBootConfigDxe": "f0e6a44f-7195-41c3-ac64-54f202cd0a21", "EbcDxe": "13ac6dd0-73d0-11d4-b06b-00aa00bd6de7",
    "LogoDxe": "f74d20ee-37e7-48fc-97f7-9b1047749c69",
}  # fmt: skip


def build_ovmf(kernel: bytes, initramfs: bytes, cmdline: str, code: Path = CODE) -> bytes:
    """Return the ROM. Raises ConfigError where Debian's firmware is not there, FormatError for what does not fit."""
    if not code.exists():
        raise ConfigError("UEFI firmware is not there: install the package ovmf", path=str(code))
    return put_in(parse_image(code.read_bytes()), rom_uki(kernel, initramfs, cmdline)).raw


def rom_uki(kernel: bytes, initramfs: bytes, cmdline: str) -> bytes:
    """Return kernel, command line and initramfs as one UKI."""
    return build_uki(stub().read_bytes(), {
        ".linux": kernel, ".osrel": OS_RELEASE, ".cmdline": cmdline.encode(), ".initrd": initramfs,
    })  # fmt: skip


def put_in(image: Image, uki: bytes) -> Image:
    """Return the firmware with a UKI in the place of the Shell, and without what could boot something else."""
    edits: dict[str, Edit] = dict.fromkeys(DROPPED.values(), drop)
    edits[SHELL] = replace_section(PE32, uki)
    return edit_image(image, edits, SIZE)


def stub() -> Path:
    """Return systemd's stub, fetched if need be."""
    pinned = read_lock(HERE / "rom.lock")["systemd-boot-efi"]
    return cached("stub", pinned.sha256.encode(), lambda work: _unpack(fetch_source(pinned), work)) / "stub.efi"


def _unpack(package: Path, work: Path) -> None:
    import shutil
    import subprocess

    subprocess.run(["dpkg-deb", "--extract", str(package), str(work / "package")], check=True)
    (work / "package" / STUB).rename(work / "stub.efi")
    shutil.rmtree(work / "package")
