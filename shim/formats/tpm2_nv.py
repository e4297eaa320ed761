"""Counters in a TPM's NV memory. Spec: TCG TPM 2.0 Library 1.59, parts 2 and 3.

Part 3: 31.6 TPM2_NV_ReadPublic, 31.13 TPM2_NV_Read. Part 2: 13.3 (TPM_NT), 13.4 (TPMA_NV), 13.5 (TPMS_NV_PUBLIC).
Part 1, 37.2.4.3: a counter that is defined anew begins above every counter that this TPM ever had. Big-endian.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.record import Record
from shim.formats.tpm2 import COUNT, NUMBER, ST_SESSIONS, build_command, build_empty_password
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.record import Buffer

NV_PUBLIC = Record("TPM2B_NV_PUBLIC", 14, """
    0x00  H   size                      # bytes behind this field
    0x02  I   nv_index
    0x06  H   name_algorithm
    0x08  I   attributes
    0x0c  H   auth_policy_size          # bytes of the policy digest behind it
""", order=">")
NV_READ_RESPONSE = Record("TPM2_NV_Read response", 6, """
    0x00  I   parameter_size            # bytes behind this field, up to the authorization
    0x04  H   size                      # bytes of data behind it
""", order=">")

CC_NV_READ, CC_NV_READ_PUBLIC = 0x014E, 0x0169
INDEX_FIRST, INDEX_LAST = 0x01000000, 0x01FFFFFF  # handles of the type TPM_HT_NV_INDEX
COUNTER_SIZE = 8
NT_SHIFT, NT_MASK, NT_COUNTER = 4, 0xF, 0x1
NV_AUTHREAD, NV_WRITTEN = 1 << 18, 1 << 29
POLICY_SIZE_MAX = 64


class NvPublic(Value):
    """What anybody may know of an NV index. `data_size` is in bytes."""

    nv_index: int
    attributes: int
    data_size: int

    @property
    def is_counter(self) -> bool:
        """Say whether it can only be counted up."""
        return self.attributes >> NT_SHIFT & NT_MASK == NT_COUNTER and self.data_size == COUNTER_SIZE

    @property
    def is_readable(self) -> bool:
        """Say whether its own authorization, the empty password, is enough to read it."""
        return bool(self.attributes & NV_AUTHREAD)

    @property
    def is_written(self) -> bool:
        """Say whether it was counted up since it was defined; before, it has no value."""
        return bool(self.attributes & NV_WRITTEN)


def build_nv_read_public(index: int) -> bytes:
    """Return TPM2_NV_ReadPublic."""
    return build_command(CC_NV_READ_PUBLIC, COUNT.build(count=_checked(index)))


def build_nv_read_counter(index: int) -> bytes:
    """Return TPM2_NV_Read for the value of a counter, authorized by the index itself with the empty password."""
    handles = COUNT.build(count=_checked(index)) * 2
    area = NUMBER.build(value=COUNTER_SIZE) + NUMBER.build(value=0)
    return build_command(CC_NV_READ, handles + build_empty_password() + area, ST_SESSIONS)


def parse_nv_public(body: Buffer, index: int) -> NvPublic:
    """Return the public area out of the response to `build_nv_read_public`; the name behind it is not looked at."""
    head = NV_PUBLIC.parse(body)
    if head["nv_index"] != index:
        raise FormatError("TPM answers for another NV index", expected=hex(index), found=hex(head["nv_index"]))
    if head["auth_policy_size"] > POLICY_SIZE_MAX:
        raise FormatError("an NV index has too long a policy", limit=POLICY_SIZE_MAX, found=head["auth_policy_size"])
    at = NV_PUBLIC.size + head["auth_policy_size"]
    if head["size"] != at:  # the two bytes of its own and those of data_size make up for each other
        raise FormatError("an NV index has a public area of another size", expected=at, found=head["size"])
    return NvPublic(nv_index=index, attributes=head["attributes"], data_size=NUMBER.parse(body, at)["value"])


def parse_counter(body: Buffer) -> int:
    """Return the value of a counter out of the response to `build_nv_read_counter`."""
    head = NV_READ_RESPONSE.parse(body)
    if (head["size"], head["parameter_size"]) != (COUNTER_SIZE, COUNTER_SIZE + NUMBER.size):
        raise FormatError("TPM returns a counter of another size", expected=COUNTER_SIZE, found=head["size"])
    end = NV_READ_RESPONSE.size + COUNTER_SIZE
    if end > len(body):
        raise FormatError("TPM's counter is cut short", expected=end, found=len(body))
    return int.from_bytes(body[NV_READ_RESPONSE.size : end], "big")


def _checked(index: int) -> int:
    if not INDEX_FIRST <= index <= INDEX_LAST:
        raise FormatError("no handle of an NV index", expected=f"{INDEX_FIRST:#x}..{INDEX_LAST:#x}", found=hex(index))
    return index
