"""The least version of a manifest that the platform remembers: a counter in the TPM's NV memory. docs/policy.md.

A counter that is absent, of another kind, unreadable or below its base says nothing, and then no manifest is taken:
whoever could lose it on purpose would win an old manifest by that.
"""

from __future__ import annotations

from shim.errors import ConfigError, MeasureError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.ports import Clock, Tpm
    from shim.verify.policy import Policy

KEYS = ("counter", "counter_base")
HANDLE_UNKNOWN = 0x18B  # TPM_RC_HANDLE + TPM_RC_1: no such index


class Counter(Value):
    """An NV index, and the value that it had when manifests were at version 0."""

    nv_index: int
    base: int


def parse_counter_keys(given: Mapping[str, object], path: str) -> Counter | None:
    """Return the counter that a table of the policy names. Raises ConfigError."""
    from shim.formats.tpm2_nv import INDEX_FIRST, INDEX_LAST

    if not any(key in given for key in KEYS):
        return None
    index, base = (given.get(key) for key in KEYS)
    if not isinstance(index, int) or isinstance(index, bool) or not INDEX_FIRST <= index <= INDEX_LAST:
        raise ConfigError("not the handle of an NV index", key=f"{path}.counter",
                          expected=f"{INDEX_FIRST:#x}..{INDEX_LAST:#x}", found=str(index))
    if not isinstance(base, int) or isinstance(base, bool) or not 0 <= base < 1 << 64:
        raise ConfigError("not the value of a counter when manifests were at version 0", key=f"{path}.counter_base",
                          found=str(base))
    return Counter(nv_index=index, base=base)


def remembered(policy: Policy, tpm: Tpm, clock: Clock) -> Policy:
    """Return the policy with what the platform remembers: the manifest's least version, or why none is taken."""
    counter = policy.manifest_counter
    if counter is None:
        return policy
    try:
        value = _read(counter, tpm, clock)
    except MeasureError as problem:
        return policy.replace(manifest_problem=f"the rollback counter {counter.nv_index:#x} says nothing: {problem}")
    return policy.replace(manifest_minimum=max(policy.manifest_minimum, value - counter.base), manifest_counter=None)


def _read(counter: Counter, tpm: Tpm, clock: Clock) -> int:
    from shim.formats.tpm2_nv import build_nv_read_counter, build_nv_read_public, parse_counter, parse_nv_public
    from shim.tpm import Dialogue

    if not tpm.is_present():
        raise MeasureError("the machine has no TPM 2.0")
    dialogue, index = Dialogue(tpm, clock), counter.nv_index
    try:
        public = dialogue.ask("TPM2_NV_ReadPublic", build_nv_read_public(index),
                              lambda body: parse_nv_public(body, index))
    except MeasureError as problem:
        if problem.code != HANDLE_UNKNOWN:
            raise
        raise MeasureError("the TPM has no such index: it was never made, or was lost") from problem
    if not public.is_counter:
        raise MeasureError("the index is no counter: it could be set back", attributes=hex(public.attributes))
    if not public.is_readable:
        raise MeasureError("the index cannot be read without a password (authread)", attributes=hex(public.attributes))
    if not public.is_written:
        raise MeasureError("the counter was never counted up since it was made")
    value = dialogue.ask("TPM2_NV_Read", build_nv_read_counter(index), parse_counter)
    if value < counter.base:
        raise MeasureError("the counter is below its base: it is another TPM's", expected=counter.base, found=value)
    return value
