"""A command line whose root hash is signed, the other words listed; systemd-repart makes the signature partitions."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shim.errors import ConfigError, FetchError, FormatError
from shim.fetch.root_hashes import PARTITIONS_MAX, read_root_hashes
from shim.formats import dps
from shim.formats.verity_sig import parse_verity_signature
from shim.model import Role, Verdict, Volume
from shim.verify import judge_piece
from shim.verify.piece import Piece
from tests.builders.cms import openssl_cms
from tests.builders.keys import KeyFiles, make_ca, make_leaf
from tests.builders.signing import Identity, identity, key, signature_list
from tests.builders.verity import VerityDisk, make_verity_disk
from tests.unit.hostile import cuts, survives
from tests.unit.judging import policy

pytestmark = pytest.mark.tools
LISTED, OTHER = "root=/dev/mapper/root ro quiet", "0" * 64
Rows = Mapping[str, bytes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return make_ca(tmp_path_factory.mktemp("root"), "Root")


@pytest.fixture(scope="module")
def root(authority: KeyFiles) -> bytes:
    return authority.der.read_bytes()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, authority: KeyFiles) -> VerityDisk:
    folder = tmp_path_factory.mktemp("verity")
    return make_verity_disk(folder, make_leaf(folder, "Verity signer", authority))


def judge(
    line: str, rows: Rows, *anchors: bytes | Identity, dbx: Sequence[bytes] = (), threshold: int = 1,
    listed: Sequence[str] = (LISTED,),
) -> Verdict:  # fmt: skip
    rules = policy(anchors, dbx=dbx, cmdline={
        "require": ["verity"], "verity": list(listed), "threshold": threshold})
    data = line.encode()
    digest = hashlib.sha256(data).digest()
    return judge_piece(Piece(Role.CMDLINE, "the command line", data, digest, hashlib.sha256, rows), rules)


def test_what_repart_signed_is_taken(disk: VerityDisk, root: bytes) -> None:
    for line in (f"{LISTED} roothash={disk.root_hash}", f"roothash={disk.root_hash} {LISTED}"):
        verdict = judge(line, {"vda3": disk.signature}, root)
        assert verdict.accepted, verdict.reason
        assert (verdict.rule, verdict.signer) == ("verity", "Verity signer")
        assert verdict.reason == "signed by Verity signer, under Root (SHA-256)"
        assert verdict.covered == "the root hash; the other words are listed"


@pytest.mark.parametrize(("line", "sentence"), [
    (f"{LISTED} roothash={OTHER}", f"no disk has a signature of its roothash (found={OTHER})"),
    (LISTED, "it does not say once what its root is: roothash= or usrhash="),
    (f"{LISTED} roothash=HASH roothash=HASH", "it does not say once what its root is"),
    (f"{LISTED} roothash=HASH init=/bin/sh", "it is none of the command lines listed (found="),
    (f"{LISTED}  roothash=HASH", "it is none of the command lines listed"),
    (f"{LISTED} roothash=HASH usrhash={OTHER}", f"no disk has a signature of its usrhash (found={OTHER})"),
    (f'{LISTED} "roothash=HASH"', "with quotes or -- in it"),
    (f"{LISTED} -- roothash=HASH", "with quotes or -- in it"),
    (f"{LISTED} roothash=", "no disk has a signature of its roothash (found=)"),
    (f"{LISTED}\troothash=HASH", "it does not say once what its root is"),
    (f"{LISTED} roothash", "no disk has a signature of its roothash (found=)"),
])  # fmt: skip
def test_other_command_lines_are_refused(line: str, sentence: str, disk: VerityDisk, root: bytes) -> None:
    verdict = judge(line.replace("HASH", disk.root_hash), {"vda3": disk.signature}, root)
    assert (verdict.accepted, verdict.rule) == (False, "verity")
    assert sentence in verdict.reason


def test_a_signature_under_another_anchor_or_revoked_is_refused(disk: VerityDisk, root: bytes) -> None:
    line, rows = f"{LISTED} roothash={disk.root_hash}", {"vda3": disk.signature}
    stranger = identity("Stranger", key("p256"), ca=True)
    assert "no anchor of the policy has issued it" in judge(line, rows, stranger).reason
    revoked = judge(line, rows, root, dbx=[signature_list("x509", root)])
    assert (revoked.accepted, "is revoked" in revoked.reason) == (False, True)
    changed = disk.signature.replace(disk.root_hash.encode(), OTHER.encode())
    assert "does not fit" in judge(f"{LISTED} roothash={OTHER}", {"vda3": changed}, root).reason


def partition(root_hash: str, signature: bytes) -> bytes:
    told = {"rootHash": root_hash, "signature": b64encode(signature).decode()}
    return json.dumps(told).encode().ljust(16384, b"\0")


def test_two_signers_of_all_hashes_are_two_approvals(tmp_path: Path) -> None:
    first, second = pair = [identity(f"Signer {number}", key("p256", number), ca=True) for number in (1, 2)]
    roots, usr = "a" * 64, "b" * 64
    signed = {(text, one): openssl_cms(tmp_path, text.encode(), one) for text in (roots, usr) for one in pair}
    line = f"{LISTED} roothash={roots} usrhash={usr}"

    def rows(*pairs: tuple[str, Identity]) -> Rows:
        return {f"vd{number}": partition(text, signed[text, one])
                for number, (text, one) in enumerate(pairs)}

    everything = rows((roots, first), (usr, first), (roots, second), (usr, second))
    assert judge(line, everything, first, second, threshold=2).accepted
    lacking = rows((roots, first), (usr, first), (roots, second))
    assert judge(line, lacking, first, second).accepted
    assert "1 of 2 approvals" in judge(line, lacking, first, second, threshold=2).reason
    mixed = judge(line, rows((roots, first), (usr, second)), first, second)
    assert (mixed.accepted, mixed.reason) == (False, "no one has signed all of its root hashes")


@pytest.mark.parametrize("pin", ["a  b", " a", 'a "b"', "a -- b", f"a roothash={OTHER}", "usrhash", "a\tb", "a\n"])
def test_pins_that_could_not_be_taken_apart_are_refused(pin: str, root: bytes) -> None:
    with pytest.raises(ConfigError, match=r"key=policy\.cmdline\.verity"):
        policy([root], cmdline={"require": ["verity"], "verity": [pin]})


def test_a_policy_without_anchors_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"verity needs policy\.anchors"):
        policy([], cmdline={"require": ["verity"], "verity": [LISTED]})


def test_a_partition_that_lies_is_an_error(disk: VerityDisk) -> None:
    used = disk.signature.rstrip(b"\0")
    for cut in cuts(used, 7):
        with pytest.raises(FormatError):
            parse_verity_signature(cut)
    for at in range(0, len(used), 5):
        survives(parse_verity_signature, used[:at] + b"\xff" + used[at + 1 :])
        survives(parse_verity_signature, used[:at] + b'"' + used[at + 1 :])
    for text in ("[]", '{"rootHash":"AB"}', '{"rootHash":3}', f'{{"rootHash":"{OTHER}"}}',
                 f'{{"rootHash":"{OTHER}","signature":"!"}}', f'{{"rootHash":"{"0" * 40}","signature":"AA=="}}'):
        with pytest.raises(FormatError):
            parse_verity_signature(text.encode())


class Disks:
    """Block devices by name; one that is None cannot be read."""

    def __init__(self, held: Mapping[str, bytes | None]) -> None:
        self.held = held

    def open(self, name: str) -> Disks:
        self.content = self.held[name]
        self.size = len(self.content or b"x" * 100)
        return self

    def read_at(self, offset: int, size: int) -> bytes:
        if self.content is None:
            raise FetchError("the device cannot be read", device="vdb3")
        return self.content[offset : offset + size]

    def close(self) -> None:
        pass


def test_signature_partitions_of_all_disks_are_read_up_to_a_limit() -> None:
    kind = sorted(dps.VERITY_SIGNATURES)[0].upper()
    volumes = [Volume(name="vda1", parttype=dps.ESP), Volume(name="vda3", parttype=kind),
               Volume(name="vdb3", parttype=kind), Volume(name="vdc")]
    found, problems = read_root_hashes(volumes, Disks({"vda3": b"x" * 100_000, "vdb3": None}))  # type: ignore[arg-type]
    assert [(name, len(data)) for name, data in found] == [("vda3", 65536)]
    assert [problem.source for problem in problems] == ["vdb3"]
    many = [Volume(name=f"d{number}", parttype=kind) for number in range(PARTITIONS_MAX + 1)]
    found, problems = read_root_hashes(many, Disks({volume.name: b"" for volume in many}))  # type: ignore[arg-type]
    assert (len(found), len(problems)) == (PARTITIONS_MAX, 1)


def test_the_types_are_those_of_sfdisk() -> None:
    """WITNESS: sfdisk knows the Discoverable Partitions Specification."""
    command = ["sfdisk", "--label", "gpt", "--list-types"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = {row.split()[0].lower(): row for row in told.splitlines() if "verity sign" in row}
    assert names.keys() >= dps.VERITY_SIGNATURES
    wanted = ("(x86)", "(x86-64)", "(ARM)", "(ARM-64)", "(RISC-V-32)", "(RISC-V-64)", "(LoongArch-64)")
    assert {kind for kind, row in names.items() if row.endswith(wanted)} == dps.VERITY_SIGNATURES
