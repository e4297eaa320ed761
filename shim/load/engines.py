"""Which way into the next kernel: own segments and purgatory (kexec_load), or the running kernel (kexec_file_load)."""

from __future__ import annotations

from shim.errors import FetchError, LoadError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.load.kernels import KernelLayout
    from shim.ports import Files

LOCKDOWN = "/sys/kernel/security/lockdown"
DISABLED = "/proc/sys/kernel/kexec_load_disabled"
ATTRIBUTE_SIZE_MAX = 4096
ENGINES = ("auto", "load", "file")


class Choice(Value):
    """The engine, load or file, and why it is that one."""

    engine: str
    why: str


def choose_engine(wanted: str, layout: KernelLayout, facts: Files) -> Choice:
    """Return the engine. Raises LoadError when none can take this kernel on this machine."""
    if wanted not in ENGINES:
        raise LoadError("no such engine", known=" ".join(ENGINES), found=wanted)
    if _text(facts, DISABLED) == "1":
        raise LoadError("kexec is disabled until the next reset (kexec_load_disabled)", path=DISABLED)
    lockdown = lockdown_of(_text(facts, LOCKDOWN))
    if wanted == "file" and not layout.kexec_file:
        raise LoadError("kexec_file_load cannot take this kernel", format=layout.format,
                        relocatable=layout.request.fixed is None)
    if wanted != "auto":
        return Choice(engine=wanted, why=f"the configuration asks for {wanted}")
    if lockdown == "none":
        return Choice(engine="load", why="no lockdown: own segments, each checked by the purgatory")
    if not layout.kexec_file:
        raise LoadError("lockdown leaves only kexec_file_load, which cannot take this kernel", lockdown=lockdown,
                        format=layout.format)
    return Choice(engine="file", why=f"lockdown={lockdown}: only the running kernel may judge and load")


def lockdown_of(text: str) -> str:
    """Return the mode in brackets of /sys/kernel/security/lockdown; none where there is no such file."""
    inside = text.partition("[")[2].partition("]")[0]
    return inside or "none"


def _text(facts: Files, path: str) -> str:
    try:
        return facts.read(path, ATTRIBUTE_SIZE_MAX).decode("ascii", "replace").strip()
    except FetchError:
        return ""
