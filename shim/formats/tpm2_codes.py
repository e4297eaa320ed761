"""The TPM's response codes in words. Spec: TCG TPM 2.0 Library part 2, 6.6 (TPM_RC), 6.6.1 to 6.6.3.

A code of format 0 is an error or a warning of the whole command; one of format 1 names the handle, session or
parameter that it is about.
"""

from __future__ import annotations

SUCCESS = 0x000
INITIALIZE = 0x100
BAD_TAG = 0x01E
YIELDED, CANCELED, TESTING, LOCKOUT, RETRY = 0x908, 0x909, 0x90A, 0x921, 0x922
TRANSIENT = (YIELDED, TESTING, RETRY)  # the same command again, a little later, is what the specification asks for

FORMAT_ONE, PARAMETER, TPM2, VENDOR, WARNING = 0x080, 0x040, 0x100, 0x400, 0x800
SESSION = 0x8  # in the number of a code of format 1

ERRORS = {
    0x00: ("INITIALIZE", "the TPM was not started, or was started already"),
    0x01: ("FAILURE", "the TPM is in failure mode"),
    0x03: ("SEQUENCE", "improper use of a sequence"),
    0x0B: ("PRIVATE", "private area not in use"),
    0x19: ("HMAC", "improper use of an HMAC"),
    0x20: ("DISABLED", "the command is disabled"),
    0x21: ("EXCLUSIVE", "another audit session is exclusive"),
    0x24: ("AUTH_TYPE", "wrong kind of authorization"),
    0x25: ("AUTH_MISSING", "an authorization is missing"),
    0x26: ("POLICY", "policy failure"),
    0x27: ("PCR", "PCR check failed"),
    0x28: ("PCR_CHANGED", "PCRs have changed since they were checked"),
    0x2D: ("UPGRADE", "a firmware upgrade is going on"),
    0x2E: ("TOO_MANY_CONTEXTS", "the context counter is at its maximum"),
    0x2F: ("AUTH_UNAVAILABLE", "no authorization value for this entity"),
    0x30: ("REBOOT", "the TPM needs a reset and a start"),
    0x31: ("UNBALANCED", "hash and key sizes do not match"),
    0x42: ("COMMAND_SIZE", "the command's size is not what came"),
    0x43: ("COMMAND_CODE", "the TPM does not know this command"),
    0x44: ("AUTHSIZE", "the authorization area has a wrong size"),
    0x45: ("AUTH_CONTEXT", "a context command cannot have sessions"),
    0x46: ("NV_RANGE", "NV offset and size out of range"),
    0x47: ("NV_SIZE", "NV size is larger than allowed"),
    0x48: ("NV_LOCKED", "NV access is locked"),
    0x49: ("NV_AUTHORIZATION", "NV access is not authorized"),
    0x4A: ("NV_UNINITIALIZED", "the NV index was never written"),
    0x4B: ("NV_SPACE", "no NV space left"),
    0x4C: ("NV_DEFINED", "the NV index is there already"),
    0x50: ("BAD_CONTEXT", "the context is not valid"),
    0x51: ("CPHASH", "cpHash is set already or wrong"),
    0x52: ("PARENT", "the parent's handle is not one"),
    0x53: ("NEEDS_TEST", "a function has to be tested first"),
    0x54: ("NO_RESULT", "the TPM cannot handle this for lack of a result"),
    0x55: ("SENSITIVE", "the sensitive area was not unmarshaled"),
}
FORMAT_ONE_ERRORS = {
    0x01: ("ASYMMETRIC", "asymmetric algorithm not supported or not right"),
    0x02: ("ATTRIBUTES", "inconsistent attributes"),
    0x03: ("HASH", "hash algorithm not supported or not appropriate"),
    0x04: ("VALUE", "value out of range or not right here"),
    0x05: ("HIERARCHY", "hierarchy not enabled or not right"),
    0x07: ("KEY_SIZE", "key size not supported"),
    0x08: ("MGF", "mask generation function not supported"),
    0x09: ("MODE", "mode of operation not supported"),
    0x0A: ("TYPE", "the type is not right here"),
    0x0B: ("HANDLE", "the handle is not right here"),
    0x0C: ("KDF", "key derivation function not supported"),
    0x0D: ("RANGE", "value out of the allowed range"),
    0x0E: ("AUTH_FAIL", "wrong authorization; counted against a lockout"),
    0x0F: ("NONCE", "invalid nonce size or value"),
    0x10: ("PP", "physical presence is required"),
    0x12: ("SCHEME", "scheme not supported"),
    0x15: ("SIZE", "wrong size"),
    0x16: ("SYMMETRIC", "symmetric algorithm not supported"),
    0x17: ("TAG", "wrong structure tag"),
    0x18: ("SELECTOR", "wrong union selector"),
    0x1A: ("INSUFFICIENT", "not enough octets in the command"),
    0x1B: ("SIGNATURE", "the signature is not valid"),
    0x1C: ("KEY", "the key's fields do not fit its use"),
    0x1D: ("POLICY_FAIL", "a policy check failed"),
    0x1F: ("INTEGRITY", "integrity check failed"),
    0x20: ("TICKET", "invalid ticket"),
    0x21: ("RESERVED_BITS", "reserved bits are not zero"),
    0x22: ("BAD_AUTH", "wrong authorization; not counted against a lockout"),
    0x23: ("EXPIRED", "the policy has expired"),
    0x24: ("POLICY_CC", "the policy is for another command"),
    0x25: ("BINDING", "public and sensitive parts do not belong together"),
    0x26: ("CURVE", "curve not supported"),
    0x27: ("ECC_POINT", "the point is not on the curve"),
}
WARNINGS = {
    0x01: ("CONTEXT_GAP", "the gap of context counts is too large"),
    0x02: ("OBJECT_MEMORY", "out of memory for objects"),
    0x03: ("SESSION_MEMORY", "out of memory for sessions"),
    0x04: ("MEMORY", "out of memory"),
    0x05: ("SESSION_HANDLES", "out of session handles"),
    0x06: ("OBJECT_HANDLES", "out of object handles"),
    0x07: ("LOCALITY", "not from this locality"),
    0x08: ("YIELDED", "suspended: the command is to be sent again"),
    0x09: ("CANCELED", "the command was canceled"),
    0x0A: ("TESTING", "the TPM tests itself"),
    **{0x10 + number: (f"REFERENCE_H{number}", f"handle {number} is not loaded") for number in range(7)},
    **{0x18 + number: (f"REFERENCE_S{number}", f"session {number} is not loaded") for number in range(7)},
    0x20: ("NV_RATE", "NV is written too often: rate limit"),
    0x21: ("LOCKOUT", "in dictionary attack lockout"),
    0x22: ("RETRY", "the TPM is busy: the command is to be sent again"),
    0x23: ("NV_UNAVAILABLE", "NV cannot be written now"),
}


def response_text(code: int) -> str:
    """Say a response code in words, with its name in the specification and its number."""
    name, words = _decode(code)
    return f"{words} ({name}, {code:#05x})"


def response_name(code: int) -> str:
    """Return the name that the specification gives a response code, without what it is about."""
    return _decode(code)[0]


def _decode(code: int) -> tuple[str, str]:
    if code == SUCCESS:
        return "TPM_RC_SUCCESS", "success"
    if code == BAD_TAG:
        return "TPM_RC_BAD_TAG", "the TPM takes no commands of TPM 2.0"
    if code >> 12:
        return "no TPM_RC", "an answer from a layer between us and the TPM"
    if code & FORMAT_ONE:
        name, words = FORMAT_ONE_ERRORS.get(code & 0x3F, ("unknown", "an unknown error"))
        return f"TPM_RC_{name}", f"{_subject(code)}: {words}"
    if code & VENDOR:
        return "vendor's TPM_RC", "an error of the TPM's vendor"
    if not code & TPM2:
        return "TPM 1.2's code", "an answer of TPM 1.2"
    table = WARNINGS if code & WARNING else ERRORS
    name, words = table.get(code & 0x7F, ("unknown", "an unknown answer"))
    return f"TPM_RC_{name}", words


def _subject(code: int) -> str:
    """Say what a code of format 1 is about. Spec: part 2, 6.6.2, "Format-One Response Codes"."""
    number = code >> 8 & 0xF
    if code & PARAMETER:
        return f"parameter {number}"
    return f"session {number - SESSION}" if number & SESSION else f"handle {number}"
