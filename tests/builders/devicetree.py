"""Device trees by dtc, and tables of hardware IDs by ukify's own reader of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

NAMESPACE = uuid.UUID("70ffd812-4c7f-4c7d-0000-000000000000")


def devicetree(*compatible: str, more: str = "") -> bytes:
    """Return a device tree whose root has these texts in `compatible`."""
    texts = f"compatible = {', '.join(json.dumps(text) for text in compatible)};" if compatible else ""
    source = f'/dts-v1/; / {{ model = "A board"; {texts} {more} chosen {{ compatible = "not this one"; }}; }};'
    return subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb"], input=source.encode(), check=True,
                          capture_output=True).stdout  # fmt: skip


def hardware_id(*texts: str) -> str:
    """Return the CHID of SMBIOS texts, by Python's own UUIDs."""
    digest = hashlib.sha1(NAMESPACE.bytes + "&".join(texts).encode("utf-16-le")).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def write_hwids(folder: Path, compatible: str, chids: Sequence[str]) -> Path:
    """Write what `ukify --hwids` reads: a machine of this `compatible`, known by these CHIDs."""
    folder.mkdir(exist_ok=True)
    row = {"type": "devicetree", "name": f"Machine {compatible}", "compatible": compatible, "hwids": list(chids)}
    (folder / f"{compatible.replace(',', '-')}.json").write_text(json.dumps(row))
    return folder
