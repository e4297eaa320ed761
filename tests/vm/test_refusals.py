"""Every refusal, booted: one disk holds them all, the boot shim tries one after the other, and the last entry boots."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.builders.disk import Partition, make_disk
from tests.builders.keys import make_leaf
from tests.builders.refusals import LONG_OPTIONS, MAKERS, MEMORY_MIB, Refusal, Workshop
from tests.builders.target import make_token, target_initrd
from tests.vm.scene import bls, make_authority
from tests.vm.shimmed import TARGET_CMDLINE, Disk, Outcome, boot, config_text, debian_ca, make_shim, policy_text

pytestmark = [pytest.mark.vm, pytest.mark.xdist_group("refusals")]
GARBAGE = bytes(range(256)) * 4096


def entry_id(number: int) -> str:
    """Return the name of the `number`th entry: the higher name is tried first."""
    return f"{90 - number}.conf"


class Refused:
    """One boot over all the entries, by one engine."""

    def __init__(self, directory: Path, engine: str) -> None:
        self.token = make_token()
        initrd = target_initrd(self.token)
        ours, theirs = make_authority(directory, "ours"), make_authority(directory, "theirs")
        fired = make_leaf(directory, "fired", ours.ca)
        shop = Workshop(directory, initrd, ours.signer, fired, theirs.signer)
        self.refusals = shop.all()
        disk = self.make_disk(directory, shop)
        policy = policy_text(
            anchors=["debian-ca.der", "ours-ca.der"], more='dbx = ["dbx.esl"]', cmdlines=[TARGET_CMDLINE, LONG_OPTIONS],
            initrds=[initrd, *self.pinned("initrd")], kernels=self.pinned("linux"),
        )  # fmt: skip
        files = {"debian-ca.der": debian_ca().read_bytes(), "ours-ca.der": ours.ca.der.read_bytes(),
                 "dbx.esl": shop.dbx()}
        shim = make_shim(directory / "shim", config_text(policy, engine=engine), files)
        self.outcome: Outcome = boot(shim, Disk(path=disk), memory=MEMORY_MIB)

    def make_disk(self, directory: Path, shop: Workshop) -> Path:
        files = {"vmlinuz": shop.kernel, "initrd": shop.initrd}
        for refusal in self.refusals:
            files |= refusal.files  # type: ignore[arg-type]  # links among them
        count = len(self.refusals)
        entries = {f"loader/entries/{entry_id(number)}": refusal.entry()
                   for number, refusal in enumerate(self.refusals)}
        entries[f"loader/entries/{entry_id(count)}"] = bls("/vmlinuz", "/initrd")
        return make_disk(directory / "disk.img", [
            Partition("esp", raw=GARBAGE), Partition("xbootldr", "ext4", {**files, **entries}),
        ])  # fmt: skip

    def pinned(self, key: str) -> list[bytes]:
        return [data for one in self.refusals for data in one.pinned if (one.initrd != "/initrd") == (key == "initrd")]


@pytest.fixture(scope="module", params=["load", "file"])
def refused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Refused:
    return Refused(tmp_path_factory.mktemp(f"refusals-{request.param}"), request.param)


def test_the_good_entry_boots_in_the_end(refused: Refused) -> None:
    """Every entry is tried once, in order; an ESP full of garbage and a file that is no entry stop nothing."""
    assert refused.outcome.facts is not None
    assert refused.outcome.facts.token == refused.token
    report = refused.outcome.report
    assert report is not None
    tried = [entry_id(number) for number, one in enumerate(refused.refusals) if one.stage != "entries"]
    assert [one["entry"] for one in report["attempts"]] == [*tried, entry_id(len(MAKERS))]
    esp, = (volume for volume in report["volumes"] if volume["kind"] == "esp")
    assert esp["fstype"] is None


@pytest.mark.parametrize("number", range(len(MAKERS)), ids=[make.__name__ for make in MAKERS])
def test_it_is_refused_where_and_why_it_should_be(refused: Refused, number: int) -> None:
    wanted: Refusal = refused.refusals[number]
    assert refused.outcome.report is not None
    if wanted.stage == "entries":
        problems = refused.outcome.report["problems"]
        assert any(entry_id(number) in one["source"] and re.search(wanted.why, one["error"]) for one in problems)
        return
    attempt = next(one for one in refused.outcome.report["attempts"] if one["entry"] == entry_id(number))
    assert attempt["error"] is not None, wanted.name
    assert (attempt["stage"], bool(re.search(wanted.why, attempt["error"]))) == (wanted.stage, True), attempt["error"]
    assert f"{attempt['entry']} failed in {wanted.stage}: " in refused.outcome.serial
