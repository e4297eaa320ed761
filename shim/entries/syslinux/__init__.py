"""Configurations of the SYSLINUX family. Spec: syslinux.cfg(5) and menu.txt of Syslinux 6.04; U-Boot, doc/README.pxe.

Here is only where they are looked for: the grammar is imported when there is one.
"""

from __future__ import annotations

from shim.entries.reading import Reading
from shim.errors import ShimError
from shim.model import PartitionKind, Problem
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.model import Volume
    from shim.ports import Files


class Variant(Value):
    """A loader of the family: the first of `directories` that has one of `names` is where its configuration is.

    `base` is what paths begin at, where that is not the configuration's directory.
    """

    name: str
    directories: tuple[str, ...]
    names: tuple[str, ...]
    base: str | None = None


# What U-Boot takes (distro_bootcmd, bootmeth_extlinux); where distributions install the loader, then where the loader
# itself looks (core/fs/lib/loadconfig.c); ISOLINUX (core/fs/iso9660); syslinux.efi; a TFTP root on a disk.
VARIANTS = (
    Variant(name="extlinux", directories=("/extlinux", "/boot/extlinux"), names=("extlinux.conf", "syslinux.cfg")),
    Variant(name="syslinux", directories=("/boot/syslinux", "/syslinux", "", "/boot"),
            names=("extlinux.conf", "syslinux.cfg")),
    Variant(name="isolinux", directories=("/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", ""),
            names=("isolinux.cfg", "syslinux.cfg")),
    Variant(name="syslinux.efi", directories=("/EFI/syslinux", "/EFI/BOOT", "/EFI/boot"),
            names=("syslx64.cfg", "extlinux.conf", "syslinux.cfg")),
    Variant(name="pxelinux", directories=("/pxelinux.cfg",), names=("default",), base="/"),
)


def read_syslinux(volumes: Sequence[tuple[Volume, Files]], _architecture: str) -> Reading:
    """Return the entries of every volume's configurations, an ESP's before all others: firmware starts that."""
    found = list(_configurations(volumes))
    if not found:
        return Reading()
    from shim.entries.syslinux.read import read_configurations

    return read_configurations([place for place in found if not isinstance(place, Problem)],
                               [place for place in found if isinstance(place, Problem)])


def _configurations(
    volumes: Sequence[tuple[Volume, Files]]
) -> Iterator[tuple[Volume, Files, Variant, str] | Problem]:
    """Yield where there is a configuration, in the order in which they are read."""
    for volume, files in sorted(volumes, key=lambda pair: pair[0].kind is not PartitionKind.ESP):
        try:
            taken: set[str] = set()
            for variant in VARIANTS:
                path = _first(files, variant)
                if path is not None and path not in taken:
                    taken.add(path)
                    yield volume, files, variant, path
        except ShimError as problem:
            yield Problem(source=f"{volume.name} (syslinux)", error=str(problem))


def _first(files: Files, variant: Variant) -> str | None:
    for directory in variant.directories:
        for name in variant.names:
            if files.exists(f"{directory}/{name}"):
                return f"{directory}/{name}"
    return None
