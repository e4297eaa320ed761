"""An update file for a board with slots: a manifest, the signature over it, and the payload, one behind the other.

The format is the project's own: docs/flash.md, "Updates". The manifest is that of `shim.formats.manifest`: its version
is the update's, and its one file, /BOARD.payload, names the board, and size and digest of the payload.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.manifest import SIZE_MAX as MANIFEST_SIZE_MAX
from shim.formats.record import Record
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.formats.manifest import Manifest

MAGIC = b"BSUPDATE"
HEADER = Record("update header", 40, """
    0x00  8s   magic
    0x08  I    manifest_size         # bytes, behind the header
    0x0c  I    signature_size        # bytes, behind the manifest
    0x10  Q    payload_size          # bytes, behind the signature, up to the end
    0x18  16s  signature_suffix      # the name that the signature has beside a file: .minisig, .sig
""")
SIGNATURE_SIZE_MAX = 1 << 20
PAYLOAD_SIZE_MAX = 256 << 20
LIMITS = {"manifest_size": MANIFEST_SIZE_MAX, "signature_size": SIGNATURE_SIZE_MAX, "payload_size": PAYLOAD_SIZE_MAX}
PAYLOAD_SUFFIX = ".payload"


class Update(Value):
    """What an update file holds. Nothing in it is believed before the signature over the manifest is judged."""

    manifest: bytes
    signature: bytes
    suffix: str
    payload: bytes


def build_update(update: Update) -> bytes:
    """Return the bytes of an update file."""
    head = HEADER.build(magic=MAGIC, manifest_size=len(update.manifest), signature_size=len(update.signature),
                        payload_size=len(update.payload), signature_suffix=update.suffix.encode("ascii"))
    return head + update.manifest + update.signature + update.payload


def parse_update(data: bytes) -> Update:
    """Return what an update file holds. Raises FormatError."""
    head = HEADER.parse(data)
    if head["magic"] != MAGIC:
        raise FormatError("not an update file", expected=MAGIC, found=head["magic"])
    for field, limit in LIMITS.items():
        if not 0 < head[field] <= limit:
            raise FormatError("an update's part has no sensible size", field=field, limit=limit, found=head[field])
    signature_at = HEADER.size + head["manifest_size"]
    payload_at = signature_at + head["signature_size"]
    if payload_at + head["payload_size"] != len(data):
        raise FormatError("the update file has another size", expected=payload_at + head["payload_size"],
                          found=len(data))
    suffix = head["signature_suffix"].rstrip(b"\0").decode("ascii", "backslashreplace")
    return Update(manifest=data[HEADER.size : signature_at], signature=data[signature_at:payload_at], suffix=suffix,
                  payload=data[payload_at:])


def board_of(manifest: Manifest) -> str:
    """Return the board that a manifest is for. Raises FormatError for one that does not list just one payload."""
    names = [file.name for file in manifest.files]
    if len(names) != 1 or not names[0].endswith(PAYLOAD_SUFFIX) or names[0].count("/") != 1:
        raise FormatError("the manifest of an update lists one file, /BOARD.payload", found=" ".join(names)[:256])
    return names[0][1:].removesuffix(PAYLOAD_SUFFIX)
