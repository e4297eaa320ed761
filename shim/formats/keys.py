"""Keys as terminals send them. Spec: ECMA-48 5.4 (control sequences), 8.2.14; XTerm Control Sequences, "PC-Style
Function Keys" and "VT220-Style Function Keys"; RFC 3629 (UTF-8); Linux drivers/tty/vt/keyboard.c for ESC [ [ A.

A lone Escape and the beginning of a sequence are the same byte: whoever reads says when nothing more came.
"""

from __future__ import annotations

ESC = 0x1B
SEQUENCE_SIZE_MAX = 32
CONTROLS = {0x08: "backspace", 0x09: "tab", 0x0A: "enter", 0x0D: "enter", 0x7F: "backspace"}
FINALS = {
    "A": "up", "B": "down", "C": "right", "D": "left", "F": "end", "H": "home",
}  # fmt: skip
NUMBERED = {
    "1": "home", "2": "insert", "3": "delete", "4": "end", "5": "pageup", "6": "pagedown", "7": "home", "8": "end",
}  # fmt: skip


class KeyDecoder:
    """Turn what one terminal sends into keys: characters, and names like "up", "enter", "ctrl-u".

    What is no key (NUL, broken UTF-8, unknown sequences, Alt with a character) gives nothing.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._after_return = False

    @property
    def pending(self) -> bool:
        """Say whether a key has begun that is not at its end."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[str]:
        """Take bytes in and return the keys that are complete."""
        keys = []
        for byte in data:
            key = self._take(byte)
            if key:
                keys.append(key)
        return keys

    def end(self) -> list[str]:
        """Nothing more comes for now: what is held is a lone Escape, or it is thrown away."""
        keys = ["escape"] if self._held == b"\x1b" else []
        self._held.clear()
        return keys

    def _take(self, byte: int) -> str | None:
        held = self._held
        if held and held[0] == ESC:
            return self._escaped(byte)
        if held and 0x80 <= byte < 0xC0:
            held.append(byte)
            return self._character()
        held.clear()
        second_half = byte == 0x0A and self._after_return
        self._after_return = byte == 0x0D
        if second_half:
            return None
        if byte == ESC or 0xC2 <= byte <= 0xF4:
            held.append(byte)
            return None
        if byte in CONTROLS:
            return CONTROLS[byte]
        if 0x01 <= byte <= 0x1A:
            return f"ctrl-{chr(byte + 0x60)}"
        return chr(byte) if 0x20 <= byte < 0x7F else None

    def _character(self) -> str | None:
        """Return the character that is held, once all its bytes are there."""
        lead = self._held[0]
        if len(self._held) < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4):
            return None
        text = self._held.decode("utf-8", "replace")
        self._held.clear()
        return text if text.isprintable() and text != "\ufffd" and len(text) == 1 else None

    def _escaped(self, byte: int) -> str | None:
        """Take one byte of an escape sequence."""
        held = self._held
        if byte == ESC:  # a sequence that breaks off, or Escape twice
            keys = self.end()
            held.append(ESC)
            return keys[0] if keys else None
        held.append(byte)
        if len(held) == 2 and byte in b"[O":
            return None
        if held == b"\x1b[[" or (0x20 <= byte < 0x40 and len(held) > 2):  # Linux's F1 to F5; parameters
            if len(held) > SEQUENCE_SIZE_MAX:
                held.clear()
            return None
        sequence = held.decode("latin-1")
        held.clear()
        return _sequence_key(sequence)


def _sequence_key(sequence: str) -> str | None:
    """Return the key of a whole sequence; modifiers (as in ESC [ 1 ; 5 C) are not told apart."""
    if len(sequence) < 3 or sequence.startswith("\x1b[["):
        return None
    if sequence[-1] == "~":
        return NUMBERED.get(sequence[2:-1].partition(";")[0])
    return FINALS.get(sequence[-1])
