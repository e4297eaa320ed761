"""The kernel's two ways into another kernel. The protocol is `shim.ports.Kexec`. Spec: kexec_load(2)."""

from __future__ import annotations

from shim.system import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import FilePlan, SegmentsPlan


class LinuxKexec:
    """kexec_load(2) and kexec_file_load(2). Errors are SystemError_ with the errno the kernel gave."""

    def load_segments(self, plan: SegmentsPlan) -> None:
        calls.kexec_load(plan.entry_address, plan.segments)

    def load_file(self, plan: FilePlan) -> None:
        initrd = None if plan.initrd is None else plan.initrd.fileno()
        calls.kexec_file_load(plan.kernel.fileno(), initrd, plan.cmdline)

    def unload(self) -> None:
        calls.kexec_load(0, ())
