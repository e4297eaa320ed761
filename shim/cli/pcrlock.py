"""Write what a boot measures as components of systemd-pcrlock: `*.pcrlock` files.

Spec: systemd.pcrlock(5) of systemd 257; TCG Canonical Event Log Format 1.0, 5 (CEL-JSON), of which it is a part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from shim.model import Event

SUFFIX = ".pcrlock"
# One component for each PCR, so that a policy over one of them does not depend on the others. The numbers put them
# behind the firmware's components and before those of systemd, which begin with 700.
COMPONENTS = {8: "640-bootshim-config", 9: "645-bootshim-kernel", 11: "650-bootshim-uki",
              12: "660-bootshim-parameters", 13: "670-bootshim-extensions"}  # fmt: skip


def build_component(events: Sequence[Event]) -> str:
    """Return a component: the events in their order, with their digests."""
    records = [{"pcr": event.pcr, "digests": [{"hashAlg": bank, "digest": digest.hex()}
                                              for bank, digest in event.digests.items()]}
               for event in events]  # fmt: skip
    return json.dumps({"records": records}, separators=(",", ":")) + "\n"


def write_components(target: Path, variant: str, events: Sequence[Event]) -> list[Path]:
    """Write one file with all events; or, into a directory, a variant of a component for each PCR. Return the files."""
    if not target.is_dir():
        target.write_text(build_component(events))
        return [target]
    written = []
    for pcr in sorted({event.pcr for event in events}):
        folder = target / f"{COMPONENTS[pcr]}{SUFFIX}.d"
        folder.mkdir(exist_ok=True)
        path = folder / f"{variant}{SUFFIX}"
        path.write_text(build_component([event for event in events if event.pcr == pcr]))
        written.append(path)
    return written
