"""Talk with the TPM: commands out, answers checked, a busy TPM asked again, everything else a MeasureError."""

from __future__ import annotations

from shim.errors import FormatError, MeasureError
from shim.formats.tpm2 import (
    build_get_pcr_banks,
    build_pcr_extend,
    build_pcr_read,
    build_startup,
    parse_pcr_banks,
    parse_pcr_value,
    parse_response,
)
from shim.formats.tpm2_codes import INITIALIZE, SUCCESS, TRANSIENT, response_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.formats.tpm2 import Bank
    from shim.ports import Clock, Tpm

TRIES = 8
FIRST_PAUSE = 0.02  # seconds; doubled each time: 5 s in all


class Session:
    """The commands of a measured boot. `banks` are those that are active, known here or not."""

    def __init__(self, tpm: Tpm, clock: Clock) -> None:
        self._tpm, self._clock = tpm, clock
        self.banks: tuple[Bank, ...] = tuple(bank for bank in self._read_banks() if bank.pcrs)
        if not any(bank.is_known for bank in self.banks):
            raise MeasureError("the TPM has no active PCR bank that is known here",
                               banks=" ".join(bank.name for bank in self.banks))

    def extend(self, pcr: int, digests: Mapping[str, bytes]) -> None:
        """Extend a PCR in all active banks at once."""
        active = {bank.name: digests[bank.name] for bank in self.banks if bank.is_known and pcr in bank.pcrs}
        self._ask("TPM2_PCR_Extend", build_pcr_extend(pcr, active))

    def read(self, bank: str, pcr: int) -> bytes:
        """Return the value of a PCR."""
        body = self._ask("TPM2_PCR_Read", build_pcr_read(bank, pcr))
        try:
            return parse_pcr_value(body, bank, pcr)
        except FormatError as problem:
            raise MeasureError(f"the TPM's answer makes no sense: {problem}", command="TPM2_PCR_Read") from problem

    def _read_banks(self) -> tuple[Bank, ...]:
        body = self._ask("TPM2_GetCapability", build_get_pcr_banks())
        try:
            return parse_pcr_banks(body)
        except FormatError as problem:
            raise MeasureError(f"the TPM's answer makes no sense: {problem}", command="TPM2_GetCapability") from problem

    def _ask(self, name: str, command: bytes) -> bytes:
        """Return the body of a good answer. A TPM that nobody started is started, once."""
        code, body = self._exchange(name, command)
        if code == INITIALIZE:
            self._exchange("TPM2_Startup", build_startup())
            code, body = self._exchange(name, command)
        if code != SUCCESS:
            raise MeasureError(f"the TPM refuses: {response_text(code)}", command=name)
        return body

    def _exchange(self, name: str, command: bytes) -> tuple[int, bytes]:
        pause = FIRST_PAUSE
        for number in range(TRIES):
            try:
                response = parse_response(self._tpm.transmit(command))
            except FormatError as problem:
                raise MeasureError(f"the TPM's answer makes no sense: {problem}", command=name) from problem
            if response.code not in TRANSIENT or number == TRIES - 1:
                break
            self._clock.sleep(pause)
            pause *= 2
        return response.code, response.body
