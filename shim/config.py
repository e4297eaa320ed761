"""The baked configuration: TOML in, one checked `Config` out. docs/configuration.md is its manual.

Unknown tables and keys are refused with their line. The command line of the running kernel may change only what
`override.allow` names, and nothing of the policy.
"""

from __future__ import annotations

from shim.errors import ConfigError
from shim.formats.toml_lines import line_of
from shim.values import Value
from shim.verify.policy import Policy
from shim.verify.policy_file import parse_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

CONFIG_SIZE_LIMIT = 1 << 20
CONFIG_NAME = "config.toml"  # what the baked file is called, whatever it was called before
NEVER_OVERRIDDEN = ("policy", "measure", "override", "test")


class BootConfig(Value):
    """[boot]. Times in seconds. `entry` is a glob over entry ids; None leaves the choice to the disk."""

    timeout: float | None = None
    entry: str | None = None
    wait: float = 10.0
    dialects: tuple[str, ...] = ()
    on_failure: str = "menu"
    reset_delay: float = 10.0
    edit: bool = False
    report: str = "table"


class LoadConfig(Value):
    """[load]. `engine` is auto, load (kexec_load) or file (kexec_file_load)."""

    engine: str = "auto"


class MeasureConfig(Value):
    """[measure]. `tpm` is off, optional (measure where there is one that works) or required."""

    tpm: str = "optional"


class ConsoleConfig(Value):
    """[console]. Names of devices under /dev; empty means /dev/console alone."""

    devices: tuple[str, ...] = ()


class OverrideConfig(Value):
    """[override]. Keys as "table.key" that `bootshim.table.key=value` on the command line may change."""

    allow: tuple[str, ...] = ()


class DebugConfig(Value):
    """[test]. Faults made on purpose, to see the refusals; said on every boot. `corrupt_digest` names a segment."""

    corrupt_digest: str | None = None


class Config(Value):
    """Everything that was baked, checked.

    `files` names what the configuration needs beside it (anchors, dbx). `refused` holds a sentence for each
    override that was not let through. `content` is all that decides, by name, as it is measured: the configuration's
    own text, each file, each override that was obeyed.
    """

    source: str
    boot: BootConfig
    load: LoadConfig
    measure: MeasureConfig
    console: ConsoleConfig
    override: OverrideConfig
    test: DebugConfig
    policy: Policy
    files: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    content: tuple[tuple[str, bytes], ...] = ()


class Field(Value):
    """One key: its TOML type, and the values or the range it may have."""

    kind: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 86400.0


TABLES: dict[str, dict[str, Field]] = {
    "boot": {
        "timeout": Field(kind="number", high=3600.0),
        "entry": Field(kind="text"),
        "wait": Field(kind="number", high=600.0),
        "dialects": Field(kind="texts"),
        "on_failure": Field(kind="text", choices=("menu", "reset", "off")),
        "reset_delay": Field(kind="number"),
        "edit": Field(kind="flag"),
        "report": Field(kind="text", choices=("table", "json", "none")),
    },
    "load": {"engine": Field(kind="text", choices=("auto", "load", "file"))},
    "measure": {"tpm": Field(kind="text", choices=("off", "optional", "required"))},
    "console": {"devices": Field(kind="texts")},
    "override": {"allow": Field(kind="texts")},
    "test": {"corrupt_digest": Field(kind="text")},
}


def parse_config(text: str, source: str, read_file: Callable[[str], bytes]) -> Config:
    """Check a configuration and return it.

    `read_file` answers for the files that the policy names, by the name written there. Raises ConfigError with
    the line.
    """
    import tomllib

    if len(text) > CONFIG_SIZE_LIMIT:
        raise ConfigError("the configuration is too long", file=source, expected=CONFIG_SIZE_LIMIT, found=len(text))
    try:
        document = tomllib.loads(text)
    except ValueError as problem:  # TOMLDecodeError, or an integer with thousands of digits
        raise ConfigError(f"not TOML: {problem}", file=source) from problem
    except RecursionError as problem:
        raise ConfigError("the configuration is nested too deeply", file=source) from problem
    try:
        return _check_document(document, text, source, read_file)
    except ConfigError as problem:
        key = str(problem.facts.get("key", ""))
        raise problem.about(file=source, line=line_of(text, tuple(key.split(".")))) from None


def override(config: Config, cmdline: str) -> Config:
    """Return the configuration with the `bootshim.table.key=value` words of a kernel command line applied.

    A word that the baked policy does not allow, or that makes no sense, changes nothing and is told in `refused`.
    """
    refused: list[str] = []
    for word in cmdline.split():
        if not word.startswith("bootshim."):
            continue
        path, _, value = word.removeprefix("bootshim.").partition("=")
        try:
            config = _override_one(config, path, value)
        except ConfigError as problem:
            refused.append(f"{word[:120]}: {problem}")
    return config.replace(refused=(*config.refused, *refused))


def _override_one(config: Config, path: str, text: str) -> Config:
    if path not in config.override.allow:
        raise ConfigError("the baked configuration does not let the command line change this")
    table, _, key = path.partition(".")
    field = TABLES[table][key]
    value = _check_value(field, _from_text(field, text), path)
    changed = getattr(config, table).replace(**{key: value})
    content = (*config.content, ("override", f"{path}={text}".encode("utf-8", "surrogateescape")))
    return config.replace(**{table: changed}, content=content)


def _check_document(
    document: Mapping[str, Any], text: str, source: str, read_file: Callable[[str], bytes]
) -> Config:
    for name in document:
        if name not in TABLES and name != "policy":
            raise ConfigError("unknown table", key=name, known=", ".join((*TABLES, "policy")))
    values = {name: _check_table(name, document.get(name, {})) for name in TABLES}
    for path in values["override"].get("allow", ()):
        table, _, key = path.partition(".")
        if table in NEVER_OVERRIDDEN or key not in TABLES.get(table, {}):
            raise ConfigError("this cannot be overridden", key="override.allow", name=path)
    named: dict[str, bytes] = {}

    def read_named(name: str) -> bytes:
        named[name] = read_file(name)
        return named[name]

    policy = parse_policy(_as_table("policy", document.get("policy", {})), read_named)
    return Config(
        source=source,
        boot=BootConfig(**values["boot"]),
        load=LoadConfig(**values["load"]),
        measure=MeasureConfig(**values["measure"]),
        console=ConsoleConfig(**values["console"]),
        override=OverrideConfig(**values["override"]),
        test=DebugConfig(**values["test"]),
        policy=policy,
        files=tuple(named),
        content=((CONFIG_NAME, text.encode("utf-8")), *named.items()),
    )


def _as_table(name: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError("this must be a table", key=name)
    return given


def _check_table(name: str, given: object) -> dict[str, Any]:
    fields = TABLES[name]
    checked = {}
    for key, value in _as_table(name, given).items():
        path = f"{name}.{key}"
        if key not in fields:
            raise ConfigError("unknown key", key=path, known=", ".join(fields))
        checked[key] = _check_value(fields[key], value, path)
    return checked


def _check_value(field: Field, value: object, path: str) -> object:
    if field.kind == "flag" and isinstance(value, bool):
        return value
    if field.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if not field.low <= value <= field.high:
            raise ConfigError("out of range", key=path, expected=f"{field.low:g}..{field.high:g}", found=value)
        return float(value)
    if field.kind == "text" and isinstance(value, str):
        if field.choices and value not in field.choices:
            raise ConfigError("not one of the words known here", key=path, expected=" ".join(field.choices),
                              found=value)
        return value
    if field.kind == "texts" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError("wrong type", key=path, expected=field.kind, found=type(value).__name__)


def _from_text(field: Field, text: str) -> object:
    if field.kind == "number":
        try:
            return float(text)
        except ValueError as problem:
            raise ConfigError("not a number", found=text) from problem
    if field.kind == "flag":
        return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(text, text)
    if field.kind == "texts":
        return text.split(",")
    return text
