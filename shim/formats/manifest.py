"""The signed manifest: the files of a boot, their sizes and digests, command lines, and a version that only grows.

The format is the project's own, TOML: docs/policy.md, "Manifests". It is parsed only after its signature was verified.
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SCHEMA = "bootshim.manifest/1"
SIZE_MAX = 1 << 20
FILES_MAX, CMDLINES_MAX, VERSION_MAX = 1000, 100, (1 << 63) - 1
KEYS = {"schema", "version", "cmdline", "file"}
FILE_KEYS = {"name", "size", "sha256"}


class ManifestFile(Value):
    """A file: `name` is its absolute path in the volume that the manifest lies on; `size` in bytes."""

    name: str
    size: int
    sha256: bytes


class Manifest(Value):
    """What goes together. `version` counts up; `cmdlines` are whole command lines."""

    version: int
    files: tuple[ManifestFile, ...]
    cmdlines: tuple[str, ...] = ()

    def find(self, name: str) -> ManifestFile | None:
        """Return the row of a file by its path."""
        return next((file for file in self.files if file.name == name), None)


def parse_manifest(data: bytes) -> Manifest:
    """Return what a manifest says. Raises FormatError."""
    import tomllib

    if len(data) > SIZE_MAX:
        raise FormatError("the manifest is too long", limit=SIZE_MAX, found=len(data))
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise FormatError(f"the manifest is not TOML: {problem or 'nested too deeply'}") from problem
    if table.get("schema") != SCHEMA:
        raise FormatError("not a manifest of a known kind", expected=SCHEMA, found=str(table.get("schema")))
    _only(table, KEYS, "manifest")
    rows, lines = _list(table, "file", FILES_MAX), _list(table, "cmdline", CMDLINES_MAX)
    if not all(isinstance(line, str) for line in lines):
        raise FormatError("a command line in the manifest is no text")
    files = tuple(_file(row, number) for number, row in enumerate(rows, 1))
    if len({file.name for file in files}) != len(files):
        raise FormatError("the manifest names a file twice")
    return Manifest(version=_number(table, "version", VERSION_MAX), files=files, cmdlines=tuple(lines))


def build_manifest(manifest: Manifest) -> str:
    """Return the text of a manifest."""
    lines = [f'schema = "{SCHEMA}"', f"version = {manifest.version}",
             f"cmdline = [{', '.join(map(_quoted, manifest.cmdlines))}]"]
    for file in manifest.files:
        lines += ["", "[[file]]", f"name = {_quoted(file.name)}", f"size = {file.size}",
                  f'sha256 = "{file.sha256.hex()}"']
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """Return a TOML basic string. Raises FormatError for what a manifest could not carry. Spec: TOML 1.0, "String"."""
    if not text.isprintable():
        raise FormatError("a text for the manifest has characters that are not printable", found=text[:256])
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _file(row: object, number: int) -> ManifestFile:
    if not isinstance(row, dict):
        raise FormatError("a file of the manifest is no table", file=number)
    _only(row, FILE_KEYS, f"file {number}")
    name, digest = row.get("name"), row.get("sha256")
    if not isinstance(name, str) or not name.startswith("/") or not name.isprintable():
        raise FormatError("a file of the manifest has no absolute path", file=number, name=str(name)[:256])
    try:
        sha256 = bytes.fromhex(digest) if isinstance(digest, str) else b""
    except ValueError:
        sha256 = b""
    if len(sha256) != 32 or len(str(digest)) != 64:
        raise FormatError("not a SHA-256 in hexadecimal", name=name, found=str(digest)[:80])
    return ManifestFile(name=name, size=_number(row, "size", VERSION_MAX), sha256=sha256)


def _only(table: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise FormatError("an unknown key in the manifest", where=what, key=unknown[0])


def _list(table: Mapping[str, Any], key: str, limit: int) -> list[Any]:
    given = table.get(key, [])
    if not isinstance(given, list) or len(given) > limit:
        raise FormatError("this must be a list, and not too long", key=key, limit=limit)
    return given


def _number(table: Mapping[str, Any], key: str, limit: int) -> int:
    given = table.get(key)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= limit:
        raise FormatError("this must be a number that is not negative", key=key, found=str(given)[:80])
    return given
