"""The few commands of TPM 2.0 that a measured boot needs. Spec: TCG TPM 2.0 Library 1.59, parts 2 and 3.

Part 3: 9.3 TPM2_Startup, 22.2 TPM2_PCR_Extend, 22.4 TPM2_PCR_Read, 30.2 TPM2_GetCapability. Part 2: 6.5.2 (TPM_CC),
6.9 (TPM_ST), 10.6.2 (TPMS_PCR_SELECTION), 10.9.5 (TPML_DIGEST), 10.9.6 (TPML_DIGEST_VALUES), 10.9.7
(TPML_PCR_SELECTION), 10.13.2 (TPMS_AUTH_COMMAND). Big-endian.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.banks import ALGORITHMS, NUMBERS, SIZES, bank_name
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.formats.record import Buffer

COMMAND = Record("TPM command", 10, """
    0x00  H   tag
    0x02  I   command_size              # bytes, this header included
    0x06  I   command_code
""", order=">")
RESPONSE = Record("TPM response", 10, """
    0x00  H   tag
    0x02  I   response_size             # bytes, this header included
    0x06  I   response_code
""", order=">")
PASSWORD_AUTHORIZATION = Record("TPMS_AUTH_COMMAND", 13, """
    0x00  I   authorization_size        # bytes behind this field
    0x04  I   session_handle
    0x08  H   nonce_size
    0x0a  B   session_attributes
    0x0b  H   hmac_size
""", order=">")
CAPABILITY = Record("TPMS_CAPABILITY_DATA", 9, """
    0x00  B   more_data
    0x01  I   capability
    0x05  I   count                     # of selections, one a bank
""", order=">")
SELECTION = Record("TPMS_PCR_SELECTION", 3, """
    0x00  H   hash
    0x02  B   sizeof_select             # bytes of the bit map behind it
""", order=">")
PCR_VALUES = Record("TPM2_PCR_Read response", 8, """
    0x00  I   pcr_update_counter
    0x04  I   selection_count
""", order=">")
COUNT = Record("TPM list", 4, "0x00  I  count", order=">")
NUMBER = Record("TPM number", 2, "0x00  H  value", order=">")

ST_NO_SESSIONS, ST_SESSIONS, ST_RSP_COMMAND = 0x8001, 0x8002, 0x00C4
CC_STARTUP, CC_GET_CAPABILITY, CC_PCR_READ, CC_PCR_EXTEND = 0x0144, 0x017A, 0x017E, 0x0182
SU_CLEAR = 0x0000
CAP_PCRS = 0x00000005
RS_PW = 0x40000009  # the empty password, which PCRs have unless a platform says otherwise
PCR_COUNT = 24
SELECT_SIZE = 3
RESPONSE_SIZE_MAX = 4096
BANKS_MAX = 16


class Response(Value):
    """A response: its code (`tpm2_codes` has the words) and the bytes behind the header."""

    tag: int
    code: int
    body: bytes


class Bank(Value):
    """A bank of PCRs: its TPM_ALG_ID, and the PCRs that are allocated in it (none: the bank is not active)."""

    algorithm: int
    pcrs: tuple[int, ...]

    @property
    def name(self) -> str:
        return bank_name(self.algorithm)

    @property
    def is_known(self) -> bool:
        """Say whether its hash function is one of ours."""
        return self.algorithm in ALGORITHMS


def build_startup(startup_type: int = SU_CLEAR) -> bytes:
    """Return TPM2_Startup."""
    return build_command(CC_STARTUP, NUMBER.build(value=startup_type))


def build_get_pcr_banks() -> bytes:
    """Return TPM2_GetCapability for the banks of PCRs (TPM_CAP_PCRS)."""
    return build_command(CC_GET_CAPABILITY, b"".join(COUNT.build(count=value) for value in (CAP_PCRS, 0, 1)))


def build_pcr_read(bank: str, pcr: int) -> bytes:
    """Return TPM2_PCR_Read for one PCR of one bank."""
    bits = (1 << _checked_pcr(pcr)).to_bytes(SELECT_SIZE, "little")
    selection = SELECTION.build(hash=NUMBERS[bank], sizeof_select=SELECT_SIZE) + bits
    return build_command(CC_PCR_READ, COUNT.build(count=1) + selection)


def build_pcr_extend(pcr: int, digests: Mapping[str, bytes]) -> bytes:
    """Return TPM2_PCR_Extend of one PCR in several banks at once."""
    values = [COUNT.build(count=len(digests))]
    for bank, digest in digests.items():
        if len(digest) != SIZES[bank]:
            raise FormatError("a digest does not fit its bank", bank=bank, expected=SIZES[bank], found=len(digest))
        values.append(NUMBER.build(value=NUMBERS[bank]) + digest)
    body = COUNT.build(count=_checked_pcr(pcr)) + build_empty_password() + b"".join(values)
    return build_command(CC_PCR_EXTEND, body, ST_SESSIONS)


def build_empty_password() -> bytes:
    """Return the authorization area of a command whose object has the empty password."""
    size = PASSWORD_AUTHORIZATION.size - COUNT.size
    return PASSWORD_AUTHORIZATION.build(authorization_size=size, session_handle=RS_PW)


def parse_response(data: Buffer) -> Response:
    """Return a response of any command. Raises FormatError when its header does not fit what came."""
    if len(data) > RESPONSE_SIZE_MAX:
        raise FormatError("TPM response is too long", expected=RESPONSE_SIZE_MAX, found=len(data))
    header = RESPONSE.parse(data)
    if header["response_size"] != len(data):
        raise FormatError("TPM response has another size than it says", expected=header["response_size"],
                          found=len(data))
    if header["tag"] not in (ST_NO_SESSIONS, ST_SESSIONS, ST_RSP_COMMAND):
        raise FormatError("TPM response has an unknown tag", found=header["tag"])
    return Response(tag=header["tag"], code=header["response_code"], body=bytes(data[RESPONSE.size :]))


def parse_pcr_banks(body: Buffer) -> tuple[Bank, ...]:
    """Return all banks out of the response to `build_get_pcr_banks`, in the TPM's order."""
    head = CAPABILITY.parse(body)
    if head["capability"] != CAP_PCRS:
        raise FormatError("TPM answers with another capability", expected=CAP_PCRS, found=head["capability"])
    banks, end = _parse_selections(body, CAPABILITY.size, head["count"])
    _check_end(body, end)
    return banks


def parse_pcr_value(body: Buffer, bank: str, pcr: int) -> bytes:
    """Return the value out of the response to `build_pcr_read`. Raises FormatError when it is of something else."""
    selected, at = _parse_selections(body, PCR_VALUES.size, PCR_VALUES.parse(body)["selection_count"])
    wanted = [Bank(algorithm=NUMBERS[bank], pcrs=(pcr,))]
    if [one for one in selected if one.pcrs] != wanted:
        raise FormatError("TPM has no such PCR", bank=bank, pcr=pcr)
    count = COUNT.parse(body, at)["count"]
    if count != 1:
        raise FormatError("TPM returns another number of PCRs than was asked for", expected=1, found=count)
    size = NUMBER.parse(body, at + COUNT.size)["value"]
    start = at + COUNT.size + NUMBER.size
    if size != SIZES[bank]:
        raise FormatError("TPM returns a PCR of another size", bank=bank, expected=SIZES[bank], found=size)
    _check_end(body, start + size)
    return bytes(body[start : start + size])


def _parse_selections(body: Buffer, at: int, count: int) -> tuple[tuple[Bank, ...], int]:
    """Return a TPML_PCR_SELECTION whose `count` was read already, and where it ends."""
    if count > BANKS_MAX:
        raise FormatError("TPM names too many PCR banks", at=at, limit=BANKS_MAX, found=count)
    banks: list[Bank] = []
    for _ in range(count):
        head = SELECTION.parse(body, at)
        start, at = at + SELECTION.size, at + SELECTION.size + head["sizeof_select"]
        if at > len(body):
            raise FormatError("TPM's selection of PCRs is cut short", at=start, expected=at, found=len(body))
        bits = int.from_bytes(body[start:at], "little")
        pcrs = tuple(pcr for pcr in range(PCR_COUNT) if bits >> pcr & 1)
        if any(bank.algorithm == head["hash"] for bank in banks):
            raise FormatError("TPM names a PCR bank twice", bank=bank_name(head["hash"]))
        banks.append(Bank(algorithm=head["hash"], pcrs=pcrs))
    return tuple(banks), at


def build_command(code: int, body: bytes, tag: int = ST_NO_SESSIONS) -> bytes:
    """Return a command: its header, and `body` behind it."""
    return COMMAND.build(tag=tag, command_size=COMMAND.size + len(body), command_code=code) + body


def _checked_pcr(pcr: int) -> int:
    if not 0 <= pcr < PCR_COUNT:
        raise FormatError("no such PCR", expected=PCR_COUNT - 1, found=pcr)
    return pcr


def _check_end(body: Buffer, end: int) -> None:
    if end != len(body):
        raise FormatError("TPM response is not as long as its content", expected=end, found=len(body))
