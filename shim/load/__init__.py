"""Load: from `Verified` to a kernel that the running one has taken in. Nothing else than `Verified` is loaded."""

from __future__ import annotations

from shim.errors import LoadError, SystemError_
from shim.load.engines import choose_engine
from shim.load.errnos import FILE, LOAD, sentence_of
from shim.load.file import plan_file
from shim.load.kernels import lay_out_kernel
from shim.load.options import LoadOptions, Task
from shim.load.params import plan_params
from shim.load.parts import parts_of
from shim.load.segments import plan_segments
from shim.memory import read_memory_map
from shim.model import SegmentsPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.model import FilePlan, Verified
    from shim.ports import Machine

__all__ = ["LoadOptions", "load", "plan"]
SEED_SIZE = 32


def plan(verified: Verified, machine: Machine, options: LoadOptions) -> SegmentsPlan | FilePlan:
    """Check the structure of everything that is loaded, choose an engine and give everything its place.

    Raises FormatError for a broken kernel or initrd, LoadError for what no engine can take, PlanError for what does
    not fit into memory. Nothing has been handed to the kernel yet.
    """
    facts = machine.facts
    parts = parts_of(verified)
    layout = lay_out_kernel(parts.kernel)
    choice = choose_engine(options.engine, layout, facts)
    memory = read_memory_map(facts)
    params = plan_params(facts, memory, layout, parts.cmdline, machine.random(SEED_SIZE))
    why = "; ".join((choice.why, *parts.trace))
    if options.handover:
        options.handover.decided(choice.engine, why, parts.cmdline.decode("utf-8"))
    task = Task(layout=layout, params=params, parts=parts, memory=memory, why=why)
    if choice.engine == "file":
        return plan_file(task, machine, options)
    return plan_segments(task, machine, options)


def load(planned: SegmentsPlan | FilePlan, machine: Machine) -> None:
    """Hand the plan to the running kernel. Raises LoadError with what its errno means."""
    segments = isinstance(planned, SegmentsPlan)
    try:
        if isinstance(planned, SegmentsPlan):
            machine.kexec.load_segments(planned)
        else:
            machine.kexec.load_file(planned)
    except SystemError_ as problem:
        sentence = sentence_of(problem.errno, LOAD if segments else FILE)
        raise LoadError(sentence, call="kexec_load" if segments else "kexec_file_load",
                        errno=problem.errno) from problem
