"""The configuration: what is wrong is refused with its line, and nothing but what was allowed is overridden."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.config import CONFIG_SIZE_LIMIT, NEVER_OVERRIDDEN, TABLES, Config, override, parse_config
from shim.errors import ConfigError, FetchError
from shim.model import Role

ROOT = Path(__file__).parents[2]


def nothing(name: str) -> bytes:
    raise FetchError("no such file", path=name)


def parsed(text: str) -> Config:
    return parse_config(text, "my.toml", nothing)


def test_an_empty_configuration_trusts_nothing_and_has_the_documented_defaults() -> None:
    config = parsed("")
    assert not any(config.policy.required(role) for role in Role)
    assert config.boot.as_dict() == {
        "timeout": None, "entry": None, "wait": 10.0, "dialects": (), "on_failure": "menu", "reset_delay": 10.0,
        "edit": False, "report": "table",
    }  # fmt: skip
    assert config.load.engine == "auto"
    assert config.measure.tpm == "optional"
    assert config.console.devices == ()
    assert config.test.corrupt_digest is None


WRONG = {
    "[boot]\n\ntimout = 3\n": ("unknown key", "boot.timout", 3),
    '[boot]\ntimeout = "3"\n': ("wrong type", "boot.timeout", 2),
    "[boot]\nwait = 1\ntimeout = -1\n": ("out of range", "boot.timeout", 3),
    "[boot]\ntimeout = inf\n": ("out of range", "boot.timeout", 2),
    "[boot]\ntimeout = nan\n": ("out of range", "boot.timeout", 2),
    "[boot]\ntimeout = true\n": ("wrong type", "boot.timeout", 2),
    "[boot]\nedit = 1\n": ("wrong type", "boot.edit", 2),
    '[boot]\non_failure = "hang"\n': ("not one of the words known here", "boot.on_failure", 2),
    '# a\n[load]\nengine = "kexec"\n': ("not one of the words known here", "load.engine", 3),
    '[console]\ndevices = "ttyS0"\n': ("wrong type", "console.devices", 2),
    "[measure]\ntpm = true\n": ("wrong type", "measure.tpm", 2),
    '[measure]\ntpm = "yes"\n': ("not one of the words known here", "measure.tpm", 2),
    '[override]\nallow = ["measure.tpm"]\n': ("this cannot be overridden", "override.allow", 2),
    "[console]\ndevices = [1]\n": ("wrong type", "console.devices", 2),
    "\n[boat]\nx = 1\n": ("unknown table", "boat", 2),
    "boot = 1\n": ("this must be a table", "boot", 1),
    "policy = 1\n": ("this must be a table", "policy", 1),
    '[policy.kernel]\nrequre = ["sha256"]\n': ("unknown key", "policy.kernel.requre", 2),
    '[policy.kernal]\nrequire = ["sha256"]\n': ("unknown key", "policy.kernal", 1),
    '[policy.kernel]\nrequire = ["exact"]\n': ("not a kind for this role", "policy.kernel.require", 2),
    '[policy.kernel]\nrequire = ["authenticode"]\n': ("authenticode needs policy.anchors", "policy.kernel.require", 2),
    '[policy.initrd]\nrequire = ["sha256"]\nsha256 = ["12"]\n': (None, "policy.initrd.sha256", 3),
    '[override]\nallow = ["policy.kernel"]\n': ("this cannot be overridden", "override.allow", 2),
    '[override]\nallow = ["test.corrupt_digest"]\n': ("this cannot be overridden", "override.allow", 2),
    '[override]\nallow = ["override.allow"]\n': ("this cannot be overridden", "override.allow", 2),
    '[override]\nallow = ["boot.nothing"]\n': ("this cannot be overridden", "override.allow", 2),
    '[override]\nallow = [""]\n': ("this cannot be overridden", "override.allow", 2),
}


@pytest.mark.parametrize("text", WRONG, ids=repr)
def test_what_is_wrong_is_refused_with_its_key_and_line(text: str) -> None:
    reason, key, line = WRONG[text]
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert reason is None or caught.value.reason == reason
    assert (caught.value.facts["key"], caught.value.facts["line"], caught.value.facts["file"]) == (key, line, "my.toml")


@pytest.mark.parametrize("text", ["[boot", "a = ", "\0", "a = 1\na = 2\n", "x = " + "[" * 100_000, "x = " + "9" * 5000])
def test_what_is_not_toml_is_a_typed_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parsed(text)


def test_a_configuration_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long"):
        parsed("#" * (CONFIG_SIZE_LIMIT + 1))


def test_a_file_that_the_policy_names_and_that_is_absent_is_an_error() -> None:
    with pytest.raises(FetchError):
        parsed('[policy]\nanchors = ["missing.der"]\n')


@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_a_typed_error(text: str) -> None:
    try:
        parsed(text)
    except ConfigError as problem:
        assert str(problem)


@given(st.dictionaries(st.sampled_from([*TABLES, "policy", "x"]), st.dictionaries(
    st.sampled_from(["timeout", "entry", "engine", "devices", "allow", "kernel", "edit", "x"]),
    st.sampled_from(["1", "1.5", "true", '"a"', '["a"]', "[1]", "{}", '"menu"', "1979-05-27", "[[]]"]), max_size=3,
), max_size=4))  # fmt: skip
def test_any_values_are_taken_or_refused_with_a_line(tables: dict[str, dict[str, str]]) -> None:
    lines = []
    for table, rows in tables.items():
        lines += [f"[{table}]", *(f"{key} = {value}" for key, value in rows.items())]
    try:
        parsed("\n".join(lines))
    except ConfigError as problem:
        assert 1 <= int(str(problem.facts["line"])) <= len(lines)


ALLOWED = '[override]\nallow = ["boot.timeout", "boot.edit", "boot.dialects", "load.engine", "console.devices"]\n'


def test_the_command_line_changes_what_is_allowed() -> None:
    words = "quiet bootshim.boot.timeout=2.5 bootshim.load.engine=file bootshim.boot.edit=yes ro"
    config = override(parsed(ALLOWED), f"{words} bootshim.console.devices=ttyS0,tty0")
    assert config.refused == ()
    assert (config.boot.timeout, config.boot.edit, config.load.engine) == (2.5, True, "file")
    assert config.console.devices == ("ttyS0", "tty0")


@pytest.mark.parametrize(
    "word",
    [
        "bootshim.boot.wait=1",
        "bootshim.boot.timeout=",
        "bootshim.boot.timeout=-1",
        "bootshim.boot.timeout=nan",
        "bootshim.boot.timeout=1e9",
        "bootshim.boot.edit=maybe",
        "bootshim.boot.edit",
        "bootshim.load.engine=other",
        "bootshim.policy.kernel.require=unsigned",
        "bootshim.override.allow=policy",
        "bootshim.test.corrupt_digest=kernel",
        "bootshim.",
        "bootshim.=1",
        "bootshim.x",
        "bootshim.boot.timeout.x=1",
        "bootshim." + "x" * 100_000,
    ],
    ids=lambda word: word[:40],
)
def test_every_other_word_changes_nothing_and_is_told(word: str) -> None:
    before = parsed(ALLOWED)
    after = override(before, f"a {word} b")
    assert len(after.refused) == 1
    assert len(after.refused[0]) < 500
    assert after.replace(refused=()) == before


def test_nothing_is_overridden_where_nothing_is_allowed() -> None:
    before = parsed("")
    words = [f"bootshim.{table}.{key}=1" for table, fields in TABLES.items() for key in fields]
    after = override(before, " ".join(words))
    assert len(after.refused) == len(words)
    assert after.replace(refused=()) == before


@given(st.text(max_size=200))
def test_any_command_line_leaves_the_policy_alone(text: str) -> None:
    before = parsed(ALLOWED)
    after = override(before, f"bootshim.{text} bootshim.policy.{text}={text}")
    assert after.policy == before.policy
    assert after.override == before.override
    assert after.test == before.test


def test_every_documented_key_exists_and_every_key_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    sections = dict(re.findall(r"^### \[(\w+)\]\n(.*?)(?=^###|\Z)", text, re.M | re.S))
    assert {*sections} == {*TABLES, "policy"}
    for table, fields in TABLES.items():
        assert set(re.findall(r"^\| `(\w+)`", sections[table], re.M)) == set(fields), table
    for table in NEVER_OVERRIDDEN:
        assert f"`{table}`" in sections["override"]


def test_all_that_decides_is_kept_as_it_is_measured() -> None:
    text = '[override]\nallow = ["boot.timeout"]\n[policy]\ndbx = ["list.esl"]\n'
    words = "quiet bootshim.boot.timeout=3 bootshim.boot.wait=1"
    config = override(parse_config(text, "my.toml", lambda name: b""), words)
    assert config.content == (
        ("config.toml", text.encode()), ("list.esl", b""), ("override", b"boot.timeout=3"),
    )  # fmt: skip
