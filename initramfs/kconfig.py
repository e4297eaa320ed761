"""What the flash kernel must have, and whether a built configuration has it: `python -m initramfs.kconfig CONFIG`.

Kconfig says nothing when it drops a symbol whose dependencies are off, or which it does not know. Here each symbol of
the fragment is held against the .config that came out, and what is missing is told with the feature that needs it.
Spec: Linux Documentation/kbuild/kconfig-language.rst; Documentation/kbuild/kconfig.rst, KCONFIG_ALLCONFIG.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from initramfs.sources import HERE
from shim.errors import ConfigError, ShimError
from shim.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FRAGMENT = HERE / "kernel.config"
OFF = "n"
SETTING = re.compile(r'(CONFIG_\w+)=("[^"\\]*"|\w+)(?:\s+#\s*(\S.*))?')
BUILT = re.compile(r"(CONFIG_\w+)=(.+)|# (CONFIG_\w+) is not set")


class Setting(Value):
    """A symbol and its value, the feature that needs it, and the reason on its own line, if any."""

    name: str
    value: str
    feature: str
    reason: str
    place: str


class Fault(Value):
    """A setting that the built configuration does not have; `found` is None where Kconfig does not show the symbol."""

    setting: Setting
    found: str | None

    def __str__(self) -> str:
        wanted = self.setting
        if self.found is None:
            found = "not there: what it depends on is off, or this kernel does not know it"
        elif self.found == OFF:
            found = "off"
        else:
            found = self.found
        why = f"{wanted.feature} ({wanted.reason})" if wanted.reason else wanted.feature
        return f"{wanted.name} should be {wanted.value} and is {found}. Needed for {why}: {wanted.place}"


def read_fragments(paths: Iterable[Path] = (FRAGMENT,)) -> list[Setting]:
    """Return the settings of fragments; a later one wins. Raises ConfigError with file and line."""
    merged: dict[str, Setting] = {}
    for path in paths:
        merged |= {setting.name: setting for setting in parse_fragment(path.read_text(encoding="utf-8"), path.name)}
    return list(merged.values())


def parse_fragment(text: str, name: str) -> list[Setting]:
    """Return the settings of one fragment, in which every symbol stands once and below the feature that needs it."""
    settings: dict[str, Setting] = {}
    feature = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            feature = ""
            continue
        if line.startswith("#"):
            feature = f"{feature} {line.lstrip('#').strip()}".strip()
            continue
        found = SETTING.fullmatch(line.rstrip())
        if found is None:
            raise ConfigError("expected: CONFIG_NAME=VALUE, with # REASON behind it or not", file=name, line=number)
        if not feature:
            raise ConfigError("no feature needs this symbol: a comment above it has to say", file=name, line=number)
        if found[1] in settings:
            raise ConfigError("the symbol stands twice", file=name, line=number, symbol=found[1])
        settings[found[1]] = Setting(name=found[1], value=found[2], feature=feature, reason=found[3] or "",
                                     place=f"{name}, line {number}")
    return list(settings.values())


def as_allconfig(settings: Sequence[Setting]) -> str:
    """Return the settings as Kconfig reads them, sorted: the comments are ours alone."""
    lines = [f"# {one.name} is not set" if one.value == OFF else f"{one.name}={one.value}" for one in settings]
    return "\n".join(sorted(lines)) + "\n"


def find_faults(settings: Iterable[Setting], built: str) -> list[Fault]:
    """Hold settings against the text of a built .config; one that is to be off must be shown as off, too."""
    values: dict[str, str] = {}
    for line in built.splitlines():
        found = BUILT.fullmatch(line.rstrip())
        if found:
            values[found[1] or found[3]] = found[2] or OFF
    return [Fault(setting=one, found=values.get(one.name)) for one in settings if values.get(one.name) != one.value]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m initramfs.kconfig", description="Check a built configuration.")
    parser.add_argument("config", type=Path, help="the .config that a kernel was built from")
    parser.add_argument("--more", type=Path, action="append", default=[], metavar="FILE", help="one more fragment")
    args = parser.parse_args()
    try:
        settings = read_fragments([FRAGMENT, *args.more])
        faults = find_faults(settings, args.config.read_text(encoding="utf-8"))
    except (ShimError, OSError) as problem:
        print(f"kernel-check: {problem}", file=sys.stderr)
        return 2
    for fault in faults:
        print(f"kernel-check: {fault}", file=sys.stderr)
    features = {setting.feature for setting in settings}
    print(f"{args.config}: {len(settings) - len(faults)} of {len(settings)} symbols of {len(features)} features "
          "are as required")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
