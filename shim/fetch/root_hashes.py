"""The signatures of dm-verity root hashes that lie in partitions of their own, on any disk."""

from __future__ import annotations

from shim.errors import ShimError
from shim.formats.dps import is_verity_signature
from shim.formats.verity_sig import PARTITION_SIZE_MAX
from shim.model import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from shim.model import Volume
    from shim.ports import Devices

PARTITIONS_MAX = 32


def read_root_hashes(
    volumes: Iterable[Volume], devices: Devices
) -> tuple[tuple[tuple[str, bytes], ...], tuple[Problem, ...]]:
    """Return what each signature partition holds, by the volume's name, and what could not be read.

    It does not matter on which disk one lies: a signature speaks of a root hash, and of nothing else.
    """
    found: list[tuple[str, bytes]] = []
    problems: list[Problem] = []
    partitions = [volume for volume in volumes if volume.parttype and is_verity_signature(volume.parttype)]
    for volume in partitions[:PARTITIONS_MAX]:
        try:
            device = devices.open(volume.name)
            try:
                found.append((volume.name, device.read_at(0, min(device.size, PARTITION_SIZE_MAX))))
            finally:
                device.close()
        except ShimError as problem:
            problems.append(Problem(source=volume.name, error=str(problem)))
    if len(partitions) > PARTITIONS_MAX:
        problems.append(Problem(source=partitions[PARTITIONS_MAX].name,
                                error=f"only the first {PARTITIONS_MAX} signatures of root hashes are read"))
    return tuple(found), tuple(problems)
