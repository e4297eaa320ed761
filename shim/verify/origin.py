"""Where a piece comes from, as the rules for some sources see it: the facts of a volume, or a URL.

Spec for URLs: RFC 3986, 5.2.4 (dot segments), 6.2.2 (case, percent-encoding), 6.2.3 (scheme).
"""

from __future__ import annotations

from shim.errors import ConfigError
from shim.model import PartitionKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.model import Volume

    Origin = Mapping[str, object]

URL_SIZE_MAX = 2048
MARK = "://"
DEFAULT_PORTS = {"http": ":80", "https": ":443", "tftp": ":69"}
# What a source may be known by, with the type of each; words of `PartitionKind` for kind.
MATCHES: dict[str, type] = {"kind": str, "label": str, "uuid": str, "partuuid": str, "partlabel": str, "fstype": str,
                            "removable": bool, "url": str}
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def origin_of(name: str, volumes: Mapping[str, Volume]) -> Origin:
    """Return the facts of what a name (VOLUME:PATH, or a URL) comes from; none of a volume that is not known."""
    if MARK in name:
        return {"url": normal_url(name)}
    volume = volumes.get(name.partition(":")[0])
    return {} if volume is None else {**volume.as_dict(), "kind": volume.kind.value}


def is_from(origin: Origin, match: Mapping[str, object]) -> bool:
    """Say whether all that `match` names is so: a URL that ends in "/" stands for everything below it."""
    return all(_is_same(name, origin.get(name), value) for name, value in match.items())


def _is_same(name: str, found: object, wanted: object) -> bool:
    if name == "url" and isinstance(found, str) and isinstance(wanted, str) and wanted.endswith("/"):
        return found.startswith(wanted)
    return found is not None and found == wanted


def parse_match(given: object, key: str) -> dict[str, object]:
    """Return what a source is known by. Raises ConfigError for what no source is known by."""
    if not isinstance(given, dict) or not given:
        raise ConfigError("a source needs something to be known by", key=key, known=", ".join(MATCHES))
    for name, value in given.items():
        if name not in MATCHES or not isinstance(value, MATCHES[name]):
            raise ConfigError("not a thing that a source can be known by", key=f"{key}.{name}",
                              known=", ".join(MATCHES))
    kinds = [kind.value for kind in PartitionKind]
    if given.get("kind", kinds[0]) not in kinds:
        raise ConfigError("no such kind of partition", key=f"{key}.kind", known=" ".join(kinds))
    if "url" not in given:
        return given
    if len(given) > 1:
        raise ConfigError("a URL is all that it is known by: no volume has one", key=key)
    return {"url": parse_url(str(given["url"]), f"{key}.url")}


def parse_url(given: str, key: str) -> str:
    """Return a URL of the policy in the form that is compared. Raises ConfigError for one that could not match."""
    scheme, mark, rest = given.partition(MARK)
    is_plain = given.isprintable() and len(given) <= URL_SIZE_MAX and not set("?#@") & set(rest)
    if not mark or not scheme.isalnum() or not is_plain:
        raise ConfigError("not a URL that a source can be known by: SCHEME://, SCHEME://HOST/ or SCHEME://HOST/PATH",
                          key=key, found=given)
    return normal_url(given) if rest else f"{scheme.lower()}{MARK}"


def normal_url(url: str) -> str:
    """Return a URL in one of its many forms: lower case where case does not matter, no default port, no dots.

    Query, fragment and user are left out: they do not say where something lies.
    """
    scheme, _, rest = url.partition(MARK)
    host, _, path = rest.partition("?")[0].partition("#")[0].partition("/")
    scheme, host = scheme.lower(), host.rpartition("@")[2].lower()
    default = DEFAULT_PORTS.get(scheme, "")
    if default and host.endswith(default):
        host = host.removesuffix(default)
    return f"{scheme}{MARK}{host}/{_normal_path(path)}"


def _normal_path(path: str) -> str:
    kept: list[str] = []
    segments = [_decoded(segment) for segment in path.split("/")]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept) + ("/" if segments[-1] in (".", "..") and kept else "")


def _decoded(segment: str) -> str:
    """Decode what needs no percent sign; write the others in one way."""
    first, *others = segment.split("%")
    done = [first]
    for part in others:
        try:
            value = int(part[:2], 16) if len(part) >= 2 else -1
        except ValueError:
            value = -1
        if value < 0:
            done.append(f"%{part}")
        else:
            done.append((chr(value) if value in UNRESERVED else f"%{value:02X}") + part[2:])
    return "".join(done)
