"""What OpenPGP keys may and may not say of themselves and of their subkeys; made by hand, for gpg would not."""

from __future__ import annotations

import pytest

from tests.builders.openpgp import DAY, THEN, Maker, packet
from tests.unit.test_openpgp import DATA, judge

NAME = b"gina"
UID = b"\xb4\0\0\0\4" + NAME
MAY_CERTIFY, MAY_SIGN = (27, b"\1"), (27, b"\2")


@pytest.mark.parametrize("version", [4, 6])
def test_what_a_key_says_of_itself(version: int) -> None:
    """Flags and times of the key itself hold although a newer word with its user ID has none."""
    maker = Maker(version)
    key, uid = packet(6, maker.body), packet(13, NAME)
    named = packet(2, maker.sign(0x13, maker.hashed + UID, created=THEN + DAY))
    weak = packet(2, maker.sign(0x13, maker.hashed + UID, name="sha1"))
    signature = packet(2, maker.sign(0, DATA, created=THEN + 2 * DAY))

    def directly(*subpackets: tuple[int, bytes]) -> bytes:
        return packet(2, maker.sign(0x1F, maker.hashed, *subpackets))

    revoked = packet(2, maker.sign(0x20, maker.hashed))
    for ring, reason in (
        (key + directly(MAY_SIGN) + uid + named, ""),
        (key + directly() + uid + named, ""),
        (key + uid + named, ""),
        (key + directly(MAY_CERTIFY) + uid + named, "the key is not for signing"),
        (key + directly(MAY_SIGN, (9, (DAY).to_bytes(4, "big"))) + uid + named,
         "the key had expired when the signature was made (signature=2020-09-15T12:26:40Z, expired=2020"),
        (key + directly((3, (DAY).to_bytes(4, "big"))), "no self-signature that counts"),
        (key + uid, "no self-signature that counts"),
        (key + uid + weak, "no self-signature that counts"),
        (key + uid + packet(2, Maker(version).sign(0x13, maker.hashed + UID)), "no self-signature that counts"),
        (key + revoked + uid + named, "the key is revoked"),
        (key + packet(2, maker.sign(0x20, maker.hashed, name="sha1")) + uid + named, "the key is revoked"),
        (key + packet(2, Maker(version).sign(0x20, maker.hashed)) + uid + named, ""),  # a stranger's word
        (key + packet(2, maker.sign(0x20, b"another")) + uid + named, ""),  # of another key
    ):
        verdict = judge(ring, signature)
        assert verdict.accepted == (not reason), (reason, verdict.reason)
        assert reason in verdict.reason


@pytest.mark.parametrize("version", [4, 6])
def test_bindings(version: int) -> None:
    maker, sub = Maker(version), Maker(version, THEN + 1)
    both = maker.hashed + sub.hashed
    back = (32, sub.sign(0x19, both))
    key = packet(6, maker.body) + packet(2, maker.sign(0x1F, maker.hashed)) + packet(14, sub.body)
    signature = packet(2, sub.sign(0, DATA, created=THEN + 2 * DAY))
    good = packet(2, maker.sign(0x18, both, MAY_SIGN, back))

    def bound(*subpackets: tuple[int, bytes], created: int = THEN, name: str = "sha512") -> bytes:
        return packet(2, maker.sign(0x18, both, *subpackets, created=created, name=name))

    for words, reason in (
        (good, ""),
        (bound(MAY_SIGN, back, name="sha1"), "not bound to its key"),
        (packet(2, sub.sign(0x18, both, MAY_SIGN, back)), "not bound to its key"),
        (packet(2, maker.sign(0x18, maker.hashed, MAY_SIGN, back)), "not bound to its key"),
        (bound(back), "the subkey is not for signing"),
        (bound((27, b""), back), "the subkey is not for signing"),
        (bound(MAY_CERTIFY, back), "the subkey is not for signing"),
        (bound(MAY_SIGN), "has not signed that it belongs"),
        (bound(MAY_SIGN, (32, maker.sign(0x19, both))), "has not signed that it belongs"),
        (bound(MAY_SIGN, (32, sub.sign(0x18, both))), "has not signed that it belongs"),
        (bound(MAY_SIGN, (32, sub.sign(0x19, both, name="sha1"))), "has not signed that it belongs"),
        (bound(MAY_SIGN, (32, b"\4")), "has not signed that it belongs"),
        (bound(MAY_SIGN, back, (9, (DAY).to_bytes(4, "big"))), "the subkey had expired"),
        (good + bound(back, created=THEN + DAY), "the subkey is not for signing"),  # the newest counts
        (good + packet(2, maker.sign(0x28, both)), "the subkey is revoked"),
        (good + packet(2, maker.sign(0x28, both, name="sha1")), "the subkey is revoked"),
        (good + packet(2, sub.sign(0x28, both)), ""),  # only the primary key revokes
    ):
        verdict = judge(key + words, signature)
        assert verdict.accepted == (not reason), (reason, verdict.reason)
        assert reason in verdict.reason


def test_versions_do_not_mix() -> None:
    maker = Maker(6)
    ring = packet(6, maker.body) + packet(2, maker.sign(0x1F, maker.hashed))
    assert judge(ring, packet(2, maker.sign(0, DATA))).accepted
    assert "a salt of a wrong size" in judge(ring, packet(2, maker.sign(0, DATA, salt_size=16))).reason
    assert "too weak" in judge(ring, packet(2, maker.sign(0, DATA, name="sha1"))).reason
    assert "older than the key" in judge(ring, packet(2, maker.sign(0, DATA, created=THEN - 1))).reason
    maker.version = 4
    assert not judge(ring, packet(2, maker.sign(0, DATA))).accepted
