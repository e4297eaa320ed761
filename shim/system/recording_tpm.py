"""A TPM made of software, for the recording twin: PCR banks that are really extended, and nothing else.

It reads commands by the specification, not by our builders, and answers what a TPM would. The protocol is
`shim.ports.Tpm`.
"""

from __future__ import annotations

import struct

from shim.errors import MeasureError
from shim.formats.banks import ALGORITHMS, NUMBERS, SIZES, extended
from shim.formats.tpm2 import (
    CC_GET_CAPABILITY,
    CC_PCR_EXTEND,
    CC_PCR_READ,
    CC_STARTUP,
    PCR_COUNT,
    RESPONSE,
    ST_NO_SESSIONS,
    ST_SESSIONS,
)
from shim.formats.tpm2_codes import INITIALIZE
from shim.system.calls import Sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.errors import ShimError

COMMAND_CODE, COMMAND_SIZE, HASH_OF_PARAMETER = 0x143, 0x142, 0x1C3  # TPM_RC_HASH + TPM_RC_P + parameter 1


class RecordingTpm:
    """PCRs by bank and number. No banks: the machine has no TPM.

    `answers` are given, one a command, before it answers by itself: bytes in place of a response, a response code,
    or an error to raise. `commands` are all that it was given. `is_started` is False for one that needs TPM2_Startup.
    """

    def __init__(self, banks: Sequence[str] = (), *, is_started: bool = True) -> None:
        self.pcrs = {bank: [_first(bank, pcr) for pcr in range(PCR_COUNT)] for bank in banks}
        self.answers: list[bytes | int | ShimError] = []
        self.commands: list[bytes] = []
        self.is_started = is_started

    def is_present(self) -> bool:
        return bool(self.pcrs)

    def transmit(self, command: bytes) -> bytes:
        """Do what a command says, and answer."""
        if not self.pcrs:
            raise MeasureError("the machine has no TPM 2.0")
        self.commands.append(command)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, bytes) else _response(answer)
        size, code = struct.unpack_from(">II", command, 2)
        if size != len(command):
            return _response(COMMAND_SIZE)
        if code == CC_STARTUP:
            was, self.is_started = self.is_started, True
            return _response(INITIALIZE if was else 0)
        if not self.is_started:
            return _response(INITIALIZE)
        if code == CC_GET_CAPABILITY:
            return self._capability()
        if code == CC_PCR_READ:
            return self._read(command)
        return self._extend(command) if code == CC_PCR_EXTEND else _response(COMMAND_CODE)

    def _capability(self) -> bytes:
        rows = [struct.pack(">HB3s", NUMBERS[bank], 3, b"\xff\xff\xff") for bank in self.pcrs]
        return _response(0, struct.pack(">BII", 0, 5, len(rows)) + b"".join(rows))

    def _read(self, command: bytes) -> bytes:
        _count, algorithm, _size, bits = struct.unpack_from(">IHB3s", command, 10)
        pcr = int.from_bytes(bits, "little").bit_length() - 1
        value = self.pcrs[ALGORITHMS[algorithm]][pcr]
        selected = struct.pack(">IIHB3s", 0, 1, algorithm, 3, bits)
        return _response(0, selected + struct.pack(">IH", 1, len(value)) + value)

    def _extend(self, command: bytes) -> bytes:
        pcr, authorization = struct.unpack_from(">II", command, 10)
        at = 18 + authorization
        count, = struct.unpack_from(">I", command, at)
        at += 4
        for _ in range(count):
            algorithm, = struct.unpack_from(">H", command, at)
            bank = ALGORITHMS.get(algorithm, "")
            if bank not in SIZES:
                return _response(HASH_OF_PARAMETER)
            digest = command[at + 2 : at + 2 + SIZES[bank]]
            if bank in self.pcrs:
                self.pcrs[bank][pcr] = extended(bank, self.pcrs[bank][pcr], digest, Sha256)
            at += 2 + SIZES[bank]
        return _response(0, struct.pack(">I", 0) + b"\0\0\1\0\0", ST_SESSIONS)


def _first(bank: str, pcr: int) -> bytes:
    return (b"\xff" if 17 <= pcr <= 22 else b"\0") * SIZES[bank]


def _response(code: int, body: bytes = b"", tag: int = ST_NO_SESSIONS) -> bytes:
    return RESPONSE.build(tag=tag, response_size=RESPONSE.size + len(body), response_code=code) + body
