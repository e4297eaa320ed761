"""The volumes that a verb reads: directory trees, disk images and ISO files, with what is said of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from shim.entries import DIALECTS
from shim.errors import ConfigError, printable
from shim.images.machine import ImageMachine
from shim.model import PartitionKind, Problem, Volume
from shim.report import volume_json
from shim.system.files import TreeFiles
from shim.values import Value

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from shim.ports import Files

TEXTS = ("label", "uuid", "fstype", "partuuid", "partlabel", "parttype", "disk", "table")
KINDS = ", ".join(kind.value for kind in PartitionKind)


class Opened(Value):
    """Volumes with their files, what has to be said of them, and where each comes from: an image or a directory."""

    volumes: tuple[tuple[Volume, Files], ...]
    problems: tuple[Problem, ...]
    origins: tuple[tuple[Volume, str], ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Return all volumes, those whose files cannot be read included."""
        read = {volume.name for volume, _files in self.volumes}
        return [{**volume_json(volume), "from": origin, "read": volume.name in read}
                for volume, origin in self.origins]


def add_volume_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where volumes come from, and how their entries are read."""
    parser.add_argument("source", nargs="*", metavar="IMAGE|TREE",
                        help="a disk image or ISO file; or a directory that stands for a mounted volume (the ESP, …)")
    parser.add_argument("--volume", action="append", default=[], metavar="NAME=DIR[,KEY=VALUE…]",
                        help=f"a directory as a volume of that name; keys: kind ({KINDS}), number, {', '.join(TEXTS)}")
    parser.add_argument("--default", metavar="GLOB", help="try the first entry whose id matches before all others")
    parser.add_argument("--dialect", action="append", default=[], choices=[dialect.name for dialect in DIALECTS],
                        help="read only this kind of configuration; may be given again")
    parser.add_argument("--architecture", default="x64", help="entries for another one are hidden (default: x64)")


def open_volumes(sources: Iterable[str], given: Iterable[str] = ()) -> Opened:
    """Open directories, images and what --volume says. Raises ConfigError for what makes no sense."""
    trees = [(Volume(name=name), name) for name in sources if os.path.isdir(name)]
    trees += [_parse_volume(text) for text in given]
    images = [name for name in sources if not os.path.isdir(name)]
    names = [volume.name for volume, _path in trees]
    if not trees and not images:
        raise ConfigError("nothing to read: name an image or a directory")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError("two volumes have one name", name=twice)
    volumes: list[tuple[Volume, Files]] = [(volume, TreeFiles(path)) for volume, path in trees]
    origins = list(trees)
    problems: tuple[Problem, ...] = ()
    if images:
        machine = ImageMachine(images)
        problems = machine.problems
        origins += [(volume, machine.image_of(volume)) for volume in machine.volumes]
        for volume in machine.volumes:
            tree = machine.machine.mounts.trees.get(volume.name)
            if tree is not None and not isinstance(tree, Exception):
                volumes.append((volume, tree))
    return Opened(volumes=tuple(volumes), problems=problems, origins=tuple(origins))


def _parse_volume(text: str) -> tuple[Volume, str]:
    """Return the volume and the directory of NAME=DIR,KEY=VALUE…

    With `disk` and `number` it is a partition, as a script's (hd0,gpt2) names one; the first volume's disk is hd0.
    """
    first, *rest = text.split(",")
    name, equals, path = first.partition("=")
    if not name or not equals or not path:
        raise ConfigError("a volume is NAME=DIR[,KEY=VALUE…]", found=text)
    facts: dict[str, Any] = {}
    for word in rest:
        key, _, value = word.partition("=")
        if key in ("kind", "type") and value in [kind.value for kind in PartitionKind]:
            facts["kind"] = PartitionKind(value)
        elif key == "number" and value.isascii() and value.isdigit() and len(value) < 4:
            facts[key] = int(value)
        elif key in TEXTS and value:
            facts[key] = value
        else:
            raise ConfigError("a volume has no such key or value", volume=name, found=word,
                              known=f"kind ({KINDS}), number, {', '.join(TEXTS)}")
    return Volume(name=name, **facts), path


def volume_line(row: dict[str, Any]) -> str:
    """Say one volume of `Opened.as_json` in a line."""
    kind = row["kind"] if row["kind"] != "other" else ""
    facts = (row["fstype"] or "no file system known", kind, row["label"] or "", row["uuid"] or "")
    origin = f" of {row['from']}" if row["from"] != row["name"] else ""
    return printable(f"{row['name']}: {', '.join(fact for fact in facts if fact)}{origin}") if origin else row["name"]
