"""What the flow asks of the load stage."""

from __future__ import annotations

from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.load.kernels import KernelLayout
    from shim.load.params import ParamsPlan
    from shim.load.parts import Parts
    from shim.memory import MemoryMap
    from shim.ports import Archivist


class LoadOptions(Value):
    """`engine` is auto, load or file. `handover` makes the archive that goes behind the initrds, None for no such.

    `corrupt_digest` names a segment whose digest the purgatory is given wrong: a fault made on purpose.
    """

    engine: str = "auto"
    handover: Archivist | None = None
    corrupt_digest: str | None = None


class Task(Value):
    """One kernel to be loaded, checked: what it needs, what it is told, what comes with it, and the memory there is."""

    layout: KernelLayout
    params: ParamsPlan
    parts: Parts
    memory: MemoryMap
    why: str
