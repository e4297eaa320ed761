"""What `bootshim plan` knows of a boot that was only recorded, as JSON values and as bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from shim.formats.bootparams import BOOT_PARAMS, E820_ENTRY, SETUP_DATA, SIZE
from shim.formats.bzimage import SETUP
from shim.model import SegmentsPlan
from shim.purgatory import PurgatoryFlag, blob
from shim.purgatory.args import ARGS, REGION
from shim.report import entry_json, volume_json
from shim.system.recording import RecordingMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.boot import Boot
    from shim.model import FilePlan, Segment

NODES_MAX = 64
TABLES = ("e820_table", "edid_info")  # shown as rows, or as a digest


def plan_json(boot: Boot, problems: list[str]) -> dict[str, Any]:
    """Return what docs/entries.md calls bootshim.plan/1, without its first and last key."""
    report = boot.report
    planned = _planned(boot)
    attempt = report.attempts[-1] if report.attempts else None
    loaded = None
    if planned is not None and attempt is not None:
        loaded = {"entry": attempt.entry, "cmdline": attempt.cmdline, "why": planned.why, **_loaded(planned)}
    return {
        "loaded": loaded,
        "attempts": [
            {key: value for key, value in tried.as_json().items() if key not in ("segments", "events")}
            for tried in report.attempts
        ],
        "entries": [{**entry_json(entry), "volume": entry.volume} for entry in report.entries],
        "volumes": [volume_json(volume) for volume in report.volumes],
        "problems": problems,
        "notes": list(report.notes),
    }


def plan_parts(boot: Boot) -> dict[str, bytes]:
    """Return the bytes of each segment by name; empty when nothing would be loaded."""
    planned = _planned(boot)
    if planned is None:
        return {}
    if isinstance(planned, SegmentsPlan):
        return {segment.name: bytes(segment.data) for segment in planned.segments}
    return _file_parts(planned)


def _planned(boot: Boot) -> SegmentsPlan | FilePlan | None:
    return boot.machine.kexec.loaded if isinstance(boot.machine, RecordingMachine) and boot.left else None


def _file_parts(planned: FilePlan) -> dict[str, bytes]:
    initrd = {} if planned.initrd is None else {"initrd": bytes(planned.initrd.view())}
    return {"kernel": bytes(planned.kernel.view()), **initrd, "cmdline": planned.cmdline}


def _loaded(planned: SegmentsPlan | FilePlan) -> dict[str, Any]:
    if not isinstance(planned, SegmentsPlan):
        rows = [{"name": name, "start": None, "end": None, "size": len(data), "sha256": _sha256(data)}
                for name, data in _file_parts(planned).items()]
        return {"call": "kexec_file_load", "entry_address": None, "segments": rows, "boot_params": None,
                "purgatory": None}
    segments = {segment.name: segment for segment in planned.segments}
    return {
        "call": "kexec_load",
        "entry_address": planned.entry_address,
        "segments": [
            {"name": segment.name, "start": segment.range.start, "end": segment.range.end, "size": len(segment.data),
             "sha256": _sha256(segment.data)}
            for segment in planned.segments
        ],
        "boot_params": _boot_params(segments["boot_params"]),
        "purgatory": _purgatory(segments["purgatory"]),
    }


def _boot_params(segment: Segment) -> dict[str, Any]:
    """Return the fields of boot_params and of the setup header in it, the map of memory, and the list of setup_data."""
    page = bytes(segment.data[:SIZE])
    fields = {**BOOT_PARAMS.parse(page), **SETUP.parse(page)}
    shown: dict[str, Any] = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in fields.items() if name not in TABLES
    }
    shown["edid_info"] = _sha256(fields["edid_info"]) if any(fields["edid_info"]) else ""
    shown["e820"] = [E820_ENTRY.parse(fields["e820_table"], number * E820_ENTRY.size)
                     for number in range(min(fields["e820_entries"], 128))]
    shown["setup_data_nodes"] = list(_nodes(segment, fields["setup_data"]))
    return shown


def _nodes(segment: Segment, address: int) -> Iterator[dict[str, int]]:
    for _ in range(NODES_MAX):
        if not address:
            return
        row = SETUP_DATA.parse(segment.data, address - segment.range.start)
        yield {"address": address, "type": row["type"], "len": row["len"]}
        address = row["next"]


def _purgatory(segment: Segment) -> dict[str, Any]:
    """Return the argument block as it was written into the purgatory."""
    fields = ARGS.parse(segment.data, blob().args)
    regions = fields.pop("regions")
    flags = PurgatoryFlag(fields["flags"])
    return {
        **fields,
        "magic": fields["magic"].rstrip(b"\0").decode("ascii"),
        "flags": " ".join(flag.name or "" for flag in PurgatoryFlag if flag in flags),
        "regions": [_region(regions, number) for number in range(fields["region_count"])],
    }


def _region(table: bytes, number: int) -> dict[str, Any]:
    row = REGION.parse(table, number * REGION.size)
    return {"name": row["name"].rstrip(b"\0").decode("ascii"), "address": row["address"], "size": row["size"],
            "sha256": row["sha256"].hex()}


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
