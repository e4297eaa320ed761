"""`bootshim policy` says what a policy demands, and warns of what makes it weak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shim.cli import main
from tests.builders.signing import Identity, identity, key

GOOD = """[policy]
anchors = ["ca.der"]
[policy.kernel]
require = ["authenticode", "sha256"]
threshold = 2
sha256 = ["{0}"]
[policy.initrd]
require = ["sha256"]
sha256 = ["{0}", "{1}"]
[policy.cmdline]
require = ["exact"]
exact = ["ro"]
[[policy.source]]
match = {{removable = true, kind = "esp"}}
[policy.source.kernel]
require = []
""".format("0" * 64, "1" * 64)


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root of Trust", key("p256"), ca=True)


@pytest.fixture
def config(tmp_path: Path, root: Identity) -> Path:
    Path(tmp_path, "ca.der").write_bytes(root.der)
    return tmp_path / "my.toml"


def said(config: Path, text: str, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    config.write_text(text)
    status = main(["policy", *(words or ("check",)), str(config)])
    out = capsys.readouterr()
    return status, out.out + out.err


def test_a_good_policy_has_nothing_to_warn_of(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(config, GOOD, capsys)
    assert (status, "nothing to warn of" in text) == (0, True)


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('[policy]\n', '[policy]\nmode = "audit"\n', "mode is audit: nothing is refused"),
    ('require = ["exact"]\nexact = ["ro"]', 'require = ["unsigned"]', "cmdline: unsigned takes anything"),
    ('require = ["authenticode", "sha256"]', 'require = ["sha256"]', "kernel: 2 approvals can never come together"),
    ("[policy.source.kernel]\nrequire = []", '[policy.source.kernel]\nrequire = ["unsigned"]',
     "from volumes with removable True, kind esp, kernel: unsigned takes anything"),
    ('[policy.cmdline]\nrequire = ["exact"]\nexact = ["ro"]\n', "", "cmdline has no rule"),
])  # fmt: skip
def test_what_makes_it_weak_is_a_warning(
    config: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    status, text = said(config, GOOD.replace(old, new), capsys)
    assert status == 1
    assert f"warning: {sentence}" in text


def test_an_empty_policy_boots_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none of kernel, uki, ospkg has a rule" in said(config, "", capsys)[1]


def test_a_wrong_one_is_an_error_with_its_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(config, GOOD.replace("threshold = 2", "threshold = 99"), capsys)
    assert (status, "not a number of approvals" in text, "line=5" in text) == (2, True, True)


def test_it_is_shown_in_plain_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(config, GOOD, capsys, "show")
    assert status == 0
    for line in (
        "enforced: what is refused does not boot", "  kernel      2 approvals by different signers: authenticode or "
        "sha256 (1 listed)", "  uki         never: there is no rule for it", "  initrd      sha256 (2 listed)",
        "from volumes with removable True, kind esp:", "  kernel      never: require is empty",
        "  Root of Trust, SHA-256 ",
    ):  # fmt: skip
        assert line in text


def test_it_is_json_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(config, GOOD, capsys, "show", "--json")
    told = json.loads(text)
    assert (status, told["schema"], told["mode"], told["warnings"]) == (0, "bootshim.policy/1", "enforce", [])
    assert told["rules"]["kernel"] == {
        "require": ["authenticode", "sha256"], "threshold": 2, "minimum_version": None, "pins": {"sha256": 1}}
    assert told["sources"][0]["match"] == {"removable": True, "kind": "esp"}
    assert [anchor["subject"] for anchor in told["anchors"]] == ["Root of Trust"]


def test_a_counter_wants_a_way_out(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost counter takes no manifest, so something else should boot without one."""
    text = (
        '[policy.manifest]\npath = "/m"\nrequire = ["sha256"]\ncounter = 0x01800010\ncounter_base = 41\n'
        '[policy.cmdline]\nrequire = ["manifest"]\n[policy.uki]\nrequire = ["manifest"]\n'
    )
    status, told = said(config, text, capsys)
    assert (status, "when the TPM's counter is lost, nothing boots at all" in told) == (1, True)
    assert "the TPM's counter 0x1800010 says, which began at 41" in said(config, text, capsys, "show")[1]
    better = text.replace('[policy.uki]\nrequire = ["manifest"]',
                          f'[policy.uki]\nrequire = ["manifest", "sha256"]\nsha256 = ["{"0" * 64}"]')
    assert said(config, better, capsys)[0] == 0
