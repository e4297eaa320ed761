"""Talk with the TPM: commands out, answers checked, a busy TPM asked again, everything else a MeasureError."""

from __future__ import annotations

from shim.errors import FormatError, MeasureError
from shim.formats.tpm2 import build_startup, parse_response
from shim.formats.tpm2_codes import INITIALIZE, SUCCESS, TRANSIENT, response_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from shim.formats.tpm2 import Response
    from shim.ports import Clock, Tpm

    T = TypeVar("T")

TRIES = 8
FIRST_PAUSE = 0.02  # seconds; doubled each time: 5 s in all


class Dialogue:
    """A dialogue with one TPM, one command after another."""

    def __init__(self, tpm: Tpm, clock: Clock) -> None:
        self._tpm, self._clock = tpm, clock

    def ask(self, name: str, command: bytes, parse: Callable[[bytes], T]) -> T:
        """Return what `parse` makes of the body of a good answer to the command `name`.

        A TPM that nobody started is started, once. Raises MeasureError for everything else, with the response `code`
        where there was one.
        """
        response = self._exchange(name, command)
        if response.code == INITIALIZE:
            self._exchange("TPM2_Startup", build_startup())
            response = self._exchange(name, command)
        if response.code != SUCCESS:
            refusal = MeasureError(f"the TPM refuses: {response_text(response.code)}", command=name)
            refusal.code = response.code
            raise refusal
        try:
            return parse(response.body)
        except FormatError as problem:
            raise MeasureError(f"the TPM's answer makes no sense: {problem}", command=name) from problem

    def _exchange(self, name: str, command: bytes) -> Response:
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
        return response
