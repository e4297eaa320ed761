"""What a measured boot asks of the TPM: its banks, once, and the extends of all of them."""

from __future__ import annotations

from shim.errors import MeasureError
from shim.formats.tpm2 import (
    build_get_pcr_banks,
    build_pcr_extend,
    build_pcr_read,
    parse_pcr_banks,
    parse_pcr_value,
)
from shim.tpm import Dialogue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.formats.tpm2 import Bank
    from shim.ports import Clock, Tpm


class Session:
    """The commands of a measured boot. `banks` are those that are active, known here or not."""

    def __init__(self, tpm: Tpm, clock: Clock) -> None:
        self._dialogue = Dialogue(tpm, clock)
        banks = self._dialogue.ask("TPM2_GetCapability", build_get_pcr_banks(), parse_pcr_banks)
        self.banks: tuple[Bank, ...] = tuple(bank for bank in banks if bank.pcrs)
        if not any(bank.is_known for bank in self.banks):
            raise MeasureError("the TPM has no active PCR bank that is known here",
                               banks=" ".join(bank.name for bank in self.banks))

    def extend(self, pcr: int, digests: Mapping[str, bytes]) -> None:
        """Extend a PCR in all active banks at once."""
        active = {bank.name: digests[bank.name] for bank in self.banks if bank.is_known and pcr in bank.pcrs}
        self._dialogue.ask("TPM2_PCR_Extend", build_pcr_extend(pcr, active), bytes)

    def read(self, bank: str, pcr: int) -> bytes:
        """Return the value of a PCR."""
        return self._dialogue.ask("TPM2_PCR_Read", build_pcr_read(bank, pcr),
                                  lambda body: parse_pcr_value(body, bank, pcr))
