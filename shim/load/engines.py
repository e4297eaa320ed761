"""Which way into the next kernel: own segments and purgatory (kexec_load), or the running kernel (kexec_file_load)."""

from __future__ import annotations

from shim.errors import FetchError, LoadError
from shim.formats.bootparams import BOOT_PARAMS, SECURE_BOOT_ENABLED, SIZE
from shim.load.attributes import read_text
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.load.kernels import KernelLayout
    from shim.ports import Files

LOCKDOWN = "/sys/kernel/security/lockdown"
DISABLED = "/proc/sys/kernel/kexec_load_disabled"
RUNNING = "/sys/kernel/boot_params/data"
ENGINES = ("auto", "load", "file")


class Choice(Value):
    """The engine, load or file, and why it is that one."""

    engine: str
    why: str


def choose_engine(wanted: str, layout: KernelLayout, facts: Files) -> Choice:
    """Return the engine. Raises LoadError when none can take this kernel on this machine."""
    if wanted not in ENGINES:
        raise LoadError("no such engine", known=" ".join(ENGINES), found=wanted)
    if read_text(facts, DISABLED) == "1":
        raise LoadError("kexec is disabled until the next reset (kexec_load_disabled)", path=DISABLED)
    lockdown = lockdown_of(read_text(facts, LOCKDOWN))
    if wanted == "file" and not layout.kexec_file:
        raise LoadError("kexec_file_load cannot take this kernel", format=layout.format,
                        relocatable=layout.request.fixed is None)
    if wanted != "auto":
        return Choice(engine=wanted, why=f"the configuration asks for {wanted}")
    if lockdown == "none":
        return _choose_unlocked(layout, facts)
    if not layout.kexec_file:
        raise LoadError("lockdown leaves only kexec_file_load, which cannot take this kernel", lockdown=lockdown,
                        format=layout.format)
    return Choice(engine="file", why=f"lockdown={lockdown}: only the running kernel may judge and load")


def _choose_unlocked(layout: KernelLayout, facts: Files) -> Choice:
    """Choose where lockdown leaves both. Under secure boot IMA may still forbid kexec_load, because only a file can
    be appraised (security/integrity/ima/ima_main.c, ima_load_data, LOADING_KEXEC_IMAGE).
    """
    if not is_secure_boot(facts):
        return Choice(engine="load", why="no lockdown: own segments, each checked by the purgatory")
    if layout.kexec_file:
        return Choice(engine="file", why="secure boot: the running kernel demands a signature, and judges it")
    return Choice(engine="load", why=f"secure boot, and kexec_file_load cannot take a {layout.format}: own segments")


def is_secure_boot(facts: Files) -> bool:
    """Say whether the firmware had secure boot on, as the running kernel's EFI stub found it."""
    try:
        running = facts.read(RUNNING, SIZE)
    except FetchError:
        return False
    return len(running) == SIZE and BOOT_PARAMS.parse(running)["secure_boot"] == SECURE_BOOT_ENABLED


def lockdown_of(text: str) -> str:
    """Return the mode in brackets of /sys/kernel/security/lockdown; none where there is no such file."""
    inside = text.partition("[")[2].partition("]")[0]
    return inside or "none"
