"""Rules for some sources: a URL is one URL in all the forms in which it can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cli import main
from shim.errors import ConfigError
from shim.verify.origin import is_from, normal_url, origin_of, parse_match
from tests.unit.hostile import bounded

PINNED = "https://boot.example.org/pinned/"


@pytest.mark.parametrize(("url", "normal"), [
    ("HTTPS://Boot.Example.Org/A", "https://boot.example.org/A"),
    ("https://boot.example.org:443/a", "https://boot.example.org/a"),
    ("https://boot.example.org:8443/a", "https://boot.example.org:8443/a"),
    ("http://me:secret@h/a", "http://h/a"),
    ("http://h", "http://h/"),
    ("http://h/a/./b/../c", "http://h/a/c"),
    ("http://h/../../a", "http://h/a"),
    ("http://h/a/..", "http://h/"),
    ("http://h/a/b/..", "http://h/a/"),
    ("http://h/%61%2e%2E/x", "http://h/a../x"),
    ("http://h/a/%2e%2e/x", "http://h/x"),
    ("http://h/a%2fb", "http://h/a%2Fb"),
    ("http://h/a%", "http://h/a%"),
    ("http://h/a%zz", "http://h/a%zz"),
    ("http://h/a?x=/../#y", "http://h/a"),
    ("tftp://10.0.0.1:69/vmlinuz", "tftp://10.0.0.1/vmlinuz"),
    ("http://[::1]:80/a", "http://[::1]/a"),
])  # fmt: skip
def test_one_url_has_one_form(url: str, normal: str) -> None:
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(("url", "match", "matches"), [
    (f"{PINNED}a.efi", PINNED, True),
    (f"{PINNED}../a.efi", PINNED, False),
    ("https://boot.example.org/x/%2e%2e/pinned/a.efi", PINNED, True),
    ("https://boot.example.org.evil.example/pinned/a.efi", PINNED, False),
    ("http://boot.example.org/pinned/a.efi", PINNED, False),
    ("https://boot.example.org/pinned", PINNED, False),
    ("https://boot.example.org/one", "https://BOOT.example.org:443/one", True),
    ("https://boot.example.org/one/two", "https://boot.example.org/one", False),
    ("tftp://10.0.0.1/vmlinuz", "tftp://", True),
    ("http://10.0.0.1/vmlinuz", "tftp://", False),
    ("http://10.0.0.1/vmlinuz", "http://10.0.0.1", True),
])  # fmt: skip
def test_a_url_matches_what_stands_for_it(url: str, match: str, matches: bool) -> None:
    wanted = parse_match({"url": match}, "policy.source.match")
    if match == "http://10.0.0.1":
        assert wanted == {"url": "http://10.0.0.1/"}
    assert is_from(origin_of(url, {}), wanted) is matches
    assert not is_from(origin_of("vda1:/vmlinuz", {}), wanted)


@pytest.mark.parametrize("url", [
    "", "boot.example.org/", "https:/boot", "://x/", "https://h/?x", "https://me@h/", "https://h/#x", "ht tp://h/",
    "https://h/\n", "https://" + "h" * 3000,
])  # fmt: skip
def test_what_is_no_url_to_know_a_source_by_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"key=policy\.source\.match\.url"):
        parse_match({"url": url}, "policy.source.match")
    with pytest.raises(ConfigError, match="no volume has one"):
        parse_match({"url": PINNED, "label": "x"}, "policy.source.match")


@given(st.text(max_size=200))
def test_any_text_has_a_form_that_stays(text: str) -> None:
    with bounded():
        once = normal_url(f"http://{text}")
    path = once.split("://", 1)[1].partition("/")[2]
    assert not {".", ".."} & set(path.split("/"))
    assert normal_url(once).count("/") <= once.count("/")


def test_the_command_judges_as_if_it_came_from_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = tmp_path / "my.toml", tmp_path / "kernel"
    file.write_bytes(b"kernel")
    config.write_text('\n'.join([
        "[policy.kernel]", 'require = ["unsigned"]',
        "[[policy.source]]", f'match = {{url = "{PINNED}"}}', "[policy.source.kernel]", "require = []",
        "[[policy.source]]", "match = {removable = true}", "[policy.source.kernel]", "require = []",
    ]))  # fmt: skip

    def judged(*sources: str) -> int:
        words = [word for source in sources for word in ("--source", source)]
        return main(["verify", str(file), "--policy", str(config), *words])

    assert judged() == 0
    assert judged(f"url={PINNED}kernel") == 1
    assert judged("url=https://boot.example.org/kernel") == 0
    assert judged("removable=yes") == 1
    assert judged("removable=no", "label=x") == 0
    assert "the policy has no rule" in capsys.readouterr().out
    assert judged("colour=red") == 2
