"""X.509 certificates. Spec: RFC 5280, 4 (fields) and 4.2 (extensions); ITU-T X.520 for names.

Nothing is judged here: `shim.verify.chain` does that. Validity times are kept as text, for people: firmware has no
trusted clock, and UEFI does not let signatures expire (UEFI 2.10, 32.5.1).
"""

from __future__ import annotations

from shim.errors import FormatError
from shim.formats.der import (
    BIT_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    UTC_TIME,
    context,
    parse_bits,
    parse_boolean,
    parse_der,
    parse_integer,
    parse_octets,
    parse_oid,
)  # fmt: skip
from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.formats.der import Der

BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.15", "2.5.29.37"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
NETSCAPE_TYPE = "2.16.840.1.113730.1.1"  # Netscape Certificate Type: critical in Debian's CA
# Extensions that may be critical without a word from us: they name or describe, and restrict nothing we do.
HARMLESS = ("2.5.29.35", "2.5.29.17", "2.5.29.18", "2.5.29.31", "2.5.29.32", "1.3.6.1.5.5.7.1.1")
NAME_PARTS = {"2.5.4.3": "CN", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C"}
EXTENSIONS_MAX = 64
SHOWN_NAME_SIZE_MAX = 4096
KEY_USAGE_BITS = 9


class Certificate(Value):
    """One certificate. `issuer` and `subject` are the encoded names, `spki` the encoded public key.

    `path_length` is None where it is not limited; `key_usage` (bit numbers, RFC 5280, 4.2.1.3), `netscape_type`
    (bit numbers) and `extended_key_usage` are None where the certificate does not say. `unknown_critical` names the
    extensions that forbid whoever does not understand them to go on. `key_id` is the subject key identifier: a name,
    which binds nothing.
    """

    encoded: bytes
    tbs: bytes
    serial: int
    issuer: bytes
    subject: bytes
    spki: bytes
    signature_algorithm: str
    signature: bytes
    not_before: str
    not_after: str
    is_ca: bool = False
    path_length: int | None = None
    key_usage: frozenset[int] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    netscape_type: frozenset[int] | None = None
    unknown_critical: tuple[str, ...] = ()
    key_id: bytes | None = None

    @property
    def subject_text(self) -> str:
        return name_text(self.subject)

    @property
    def issuer_text(self) -> str:
        return name_text(self.issuer)


def parse_certificate(data: bytes) -> Certificate:
    """Parse one certificate, DER, nothing behind it. Raises FormatError."""
    outer = parse_der(data, "certificate").fields()
    tbs = outer.take(SEQUENCE, "certificate body")
    algorithm = outer.take(SEQUENCE, "signature algorithm")
    signature, unused = parse_bits(outer.any("signature"))
    outer.finish("certificate")
    fields = tbs.fields()
    version = _parse_version(fields.maybe(context(0)))
    serial = parse_integer(fields.take(INTEGER, "serial number"))
    if fields.take(SEQUENCE, "signature algorithm").encoded != algorithm.encoded:
        raise FormatError("certificate names two signature algorithms", at=algorithm.at)
    issuer = fields.take(SEQUENCE, "issuer")
    not_before, not_after = _parse_validity(fields.take(SEQUENCE, "validity"))
    subject = fields.take(SEQUENCE, "subject")
    spki = fields.take(SEQUENCE, "public key")
    for number in (1, 2):
        fields.maybe(context(number, constructed=False))
    extensions = fields.maybe(context(3))
    fields.finish("certificate body")
    if extensions is not None and version != 3:
        raise FormatError("certificate has extensions, which its version does not", version=version)
    return Certificate(
        encoded=data,
        tbs=tbs.encoded,
        serial=serial,
        issuer=issuer.encoded,
        subject=subject.encoded,
        spki=spki.encoded,
        signature_algorithm=parse_algorithm(algorithm),
        signature=b"" if unused else signature,  # all kinds known here are whole bytes
        not_before=not_before,
        not_after=not_after,
        **({} if extensions is None else _parse_extensions(extensions)),
    )


def parse_algorithm(der: Der) -> str:
    """Return the identifier of an AlgorithmIdentifier whose parameters are absent or NULL; others raise."""
    fields = der.fields()
    oid = parse_oid(fields.take(OID, "algorithm"))
    parameters = fields.maybe(0x05)
    if parameters is not None and parameters.content:
        raise FormatError("DER NULL is not empty", at=parameters.at)
    if fields.at < fields.end:
        # Kept apart from the plain algorithms, whose parameters say nothing (RSASSA-PSS has some that do).
        return f"{oid} with parameters"
    return oid


def name_text(encoded: bytes) -> str:
    """Return a name as people know it: its CN, else its other parts. Never raises: names decide nothing here."""
    try:
        parts = _name_parts(encoded)
    except FormatError:
        return "(unreadable name)"
    if "CN" in parts:
        return parts["CN"]
    return ", ".join(f"{kind}={text}" for kind, text in parts.items()) or "(no name)"


def _name_parts(encoded: bytes) -> dict[str, str]:
    if len(encoded) > SHOWN_NAME_SIZE_MAX:
        raise FormatError("name is too long", expected=SHOWN_NAME_SIZE_MAX, found=len(encoded))
    parts: dict[str, str] = {}
    for group in parse_der(encoded, "name").children():
        for pair in group.children():
            fields = pair.fields()
            kind = NAME_PARTS.get(parse_oid(fields.take(OID, "name type")))
            value = fields.any("name value")
            if kind and kind not in parts:
                parts[kind] = _text(value)
    return parts


def _text(der: Der) -> str:
    raw = der.content[:256]
    if der.tag == 0x1E:  # BMPString: UTF-16, most significant byte first
        raw = b"\xfe\xff" + raw[: len(raw) & ~1]
        return raw.decode("utf-16", "replace")
    return raw.decode("utf-8", "replace")


def _parse_version(der: Der | None) -> int:
    if der is None:
        return 1
    fields = der.fields()
    version = parse_integer(fields.take(INTEGER, "version")) + 1
    fields.finish("version")
    if version not in (2, 3):
        raise FormatError("certificate has an unknown version", at=der.at, found=version)
    return version


def _parse_validity(der: Der) -> tuple[str, str]:
    fields = der.fields()
    times = [fields.any("validity") for _ in range(2)]
    fields.finish("validity")
    return _time_text(times[0]), _time_text(times[1])


def _time_text(der: Der) -> str:
    """Return a time as 2016-08-16T18:22:50Z. Spec: RFC 5280, 4.1.2.5."""
    sizes = {UTC_TIME: 13, GENERALIZED_TIME: 15}
    text = der.content[:-1].decode("ascii", "replace")
    digits = text.isdigit() and text.isascii() and der.content[-1:] == b"Z"
    if sizes.get(der.tag) != len(der.content) or not digits:
        raise FormatError("certificate has a malformed time", at=der.at, found=der.content[:32])
    if der.tag == UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:14]}Z"


def _parse_extensions(der: Der) -> dict[str, Any]:
    wrapped = der.fields()
    found: dict[str, Any] = {}
    seen: set[str] = set()
    unknown: list[str] = []
    rows = wrapped.take(SEQUENCE, "extensions").children()
    wrapped.finish("extensions")
    if not 1 <= len(rows) <= EXTENSIONS_MAX:
        raise FormatError("certificate has a wrong count of extensions", expected=EXTENSIONS_MAX, found=len(rows))
    for row in rows:
        fields = row.fields()
        oid = parse_oid(fields.take(OID, "extension"))
        flag = fields.maybe(BOOLEAN)
        critical = flag is not None and parse_boolean(flag)
        value = parse_octets(fields.take(OCTET_STRING, "extension value"))
        fields.finish("extension")
        if oid in seen:
            raise FormatError("certificate repeats an extension", found=oid)
        seen.add(oid)
        if oid in PARSERS:
            found.update(PARSERS[oid](value))
        elif critical and oid not in HARMLESS:
            unknown.append(oid)
    return {**found, "unknown_critical": tuple(unknown)}


def _parse_basic_constraints(value: bytes) -> dict[str, Any]:
    fields = parse_der(value, "basic constraints").fields()
    flag, length = fields.maybe(BOOLEAN), fields.maybe(INTEGER)
    fields.finish("basic constraints")
    path_length = None if length is None else parse_integer(length)
    if path_length is not None and path_length < 0:
        raise FormatError("basic constraints have a negative path length", found=path_length)
    return {"is_ca": flag is not None and parse_boolean(flag), "path_length": path_length}


def _parse_named_bits(value: bytes) -> frozenset[int]:
    """Return the numbers of the bits that are set, from the most significant; there are at most nine."""
    bits, _ = parse_bits(parse_der(value, "named bits", BIT_STRING))
    number = int.from_bytes(bits[:2].ljust(2, b"\0"), "big")
    return frozenset(bit for bit in range(KEY_USAGE_BITS) if number & (0x8000 >> bit))


def _parse_key_usage(value: bytes) -> dict[str, Any]:
    return {"key_usage": _parse_named_bits(value)}


def _parse_netscape_type(value: bytes) -> dict[str, Any]:
    return {"netscape_type": _parse_named_bits(value)}


def _parse_extended_key_usage(value: bytes) -> dict[str, Any]:
    uses = parse_der(value, "extended key usage").children()
    return {"extended_key_usage": tuple(parse_oid(use) for use in uses)}


def _parse_key_id(value: bytes) -> dict[str, Any]:
    return {"key_id": parse_octets(parse_der(value, "subject key identifier", OCTET_STRING))}


PARSERS = {
    BASIC_CONSTRAINTS: _parse_basic_constraints,
    KEY_USAGE: _parse_key_usage,
    EXTENDED_KEY_USAGE: _parse_extended_key_usage,
    NETSCAPE_TYPE: _parse_netscape_type,
    SUBJECT_KEY_IDENTIFIER: _parse_key_id,
}
