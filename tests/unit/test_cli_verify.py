"""`bootshim verify` and `bootshim inspect`: exit 0 only for what is trusted, one sentence, JSON with the facts."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shim.cli import inspect as inspect_verb
from shim.cli import main
from shim.cli import verify as verify_verb
from shim.errors import ConfigError
from tests.builders.signing import (
    Identity,
    Signing,
    identity,
    image_digest,
    key,
    signature_list,
    signed_data,
    signed_pe,
    small_pe,
    variable_update,
)


@pytest.fixture(scope="module")
def root() -> Identity:
    return identity("Root", key("rsa2048"), ca=True)


@pytest.fixture
def signed(root: Identity, tmp_path: Path) -> Path:
    leaf = identity("Leaf \x1b[31m", key("p256", 1), root)
    pe = small_pe()
    stranger = identity("Stranger", key("p256", 2))
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "root.der").write_bytes(root.der)
    (tmp_path / "stranger.pem").write_bytes(stranger.pem)
    file = tmp_path / "kernel.efi"
    file.write_bytes(signed_pe(pe, Signing(leaf, nested=[signed_data(pe, Signing(stranger, digest="sha384"))])))
    return file


def run(verb: ModuleType, *words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    status: int = verb.run(parser.parse_args([str(word) for word in words]))
    return status


def test_a_trusted_file_exits_0_with_one_sentence(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for anchor in ("root.pem", "root.der"):
        assert run(verify_verb, signed, "--anchor", signed.with_name(anchor)) == 0
        told = capsys.readouterr().out
        assert told == f"{signed}: trusted as kernel: signed by Leaf \\x1b[31m, under Root (SHA-256)\n"


def test_an_untrusted_file_exits_1_with_the_reason(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = identity("Other", key("p256", 3), ca=True)
    signed.with_name("other.pem").write_bytes(stranger.pem)
    assert run(verify_verb, signed, "--anchor", signed.with_name("other.pem")) == 1
    assert "NOT trusted as kernel: signature 1: no anchor of the policy has issued it" in capsys.readouterr().out
    spoiled = bytearray(signed.read_bytes())
    spoiled[0x210] ^= 1
    signed.write_bytes(spoiled)
    assert run(verify_verb, signed, "--anchor", signed.with_name("root.pem")) == 1
    assert "the file is not what was signed" in capsys.readouterr().out


def test_any_of_several_anchors_is_enough(signed: Path) -> None:
    assert run(verify_verb, signed, "--anchor", signed.with_name("stranger.pem"), signed.with_name("root.pem")) == 0


@pytest.mark.parametrize("junk", [b"", b"MZ", b"\x7fELF", b"text", bytes(5000)])
def test_junk_is_not_trusted(junk: bytes, signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signed.write_bytes(junk)
    assert run(verify_verb, signed, "--anchor", signed.with_name("root.pem")) == 1
    assert "NOT trusted" in capsys.readouterr().out


def test_a_dbx_file_refuses(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = signature_list("sha256", image_digest(small_pe(), "sha256"))
    for data in (lists, variable_update(lists)):
        signed.with_name("dbx").write_bytes(data)
        words = [signed, "--anchor", signed.with_name("root.pem"), "--dbx", signed.with_name("dbx")]
        assert run(verify_verb, *words) == 1
        assert "image digest is revoked" in capsys.readouterr().out


def test_an_sbat_level_refuses(signed: Path, root: Identity, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.unit.test_sbat import LEVEL, ROWS, image

    signed.write_bytes(signed_pe(image(ROWS), Signing(root)))
    (level := signed.with_name("level")).write_bytes(LEVEL)
    words = [signed, "--anchor", signed.with_name("root.pem"), "--sbat", level]
    assert run(verify_verb, *words) == 0
    (later := signed.with_name("later")).write_bytes(LEVEL.replace(b"boot,3", b"boot,4"))
    for first, second in ((level, later), (later, level)):
        assert run(verify_verb, *words[:3], "--sbat", first, "--sbat", second) == 1
        assert "its SBAT component boot is of generation 3: the policy demands 4 at least" in capsys.readouterr().out
    config = signed.with_name("my.toml")
    config.write_text('[policy]\nsbat = ["level"]\n[policy.kernel]\nrequire = ["unsigned"]\nsbat = "required"\n')
    assert run(verify_verb, signed, "--policy", config) == 0
    assert run(verify_verb, signed, "--policy", config, "--sbat", later) == 1
    capsys.readouterr()
    facts = inspected(signed, capsys)
    assert [(row["component"], row["generation"]) for row in facts["sbat"]] == [
        ("sbat", 1), ("boot", 3), ("boot.debian", 1),
    ]  # fmt: skip
    run(inspect_verb, signed)
    assert "  SBAT boot.debian, generation 1: boot 6.1-2\n" in capsys.readouterr().out
    signed.write_bytes(image(b"no rows"))
    assert inspected(signed, capsys)["problems"][0].startswith("sbat: SBAT row has an empty column or too few")


def test_a_configuration_judges_by_role(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    initrd = signed.with_name("initrd")
    initrd.write_bytes(b"070701")
    config = signed.with_name("my.toml")
    config.write_text(
        '[policy]\nanchors = ["root.pem"]\n[policy.kernel]\nrequire = ["authenticode"]\n'
        f'[policy.initrd]\nrequire = ["sha256"]\nsha256 = ["{hashlib.sha256(b"070701").hexdigest()}"]\n'
    )
    assert run(verify_verb, signed, "--policy", config) == 0
    assert run(verify_verb, initrd, "--policy", config, "--role", "initrd") == 0
    assert run(verify_verb, signed, "--policy", config, "--role", "initrd") == 1
    assert run(verify_verb, signed, "--policy", config, "--role", "uki") == 1
    assert "the policy has no rule that would take a uki" in capsys.readouterr().out
    config.write_text("[policy]\nanchors = [\n")
    with pytest.raises(ConfigError, match="not TOML"):
        run(verify_verb, signed, "--policy", config)


def test_trust_must_come_from_somewhere(signed: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run(verify_verb, signed)
    assert caught.value.code == 2
    with pytest.raises(ConfigError, match="not a usable certificate"):
        run(verify_verb, signed, "--anchor", signed)


def test_the_verdict_as_json(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verify_verb, signed, "--anchor", signed.with_name("root.pem"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "bootshim.verify/1"
    assert (told["accepted"], told["rule"], told["role"]) == (True, "authenticode", "kernel")
    assert told["signer"] == "Leaf \x1b[31m"
    assert told["sha256"] == hashlib.sha256(signed.read_bytes()).hexdigest()


def inspected(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(inspect_verb, file, "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert run(inspect_verb, file) == 0
    assert "\x1b" not in capsys.readouterr().out
    return facts


def test_inspect_shows_every_signature(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = inspected(signed, capsys)
    assert facts["format"] == "PE"
    assert facts["pe"]["image_digests"]["SHA-384"] == image_digest(small_pe(), "sha384").hex()
    assert [one["name"] for one in facts["pe"]["sections"]] == [".s0", ".s1"]
    outer, nested = facts["signatures"]
    assert (outer["place"], outer["digest_algorithm"], outer["digest_matches"]) == ("signature 1", "SHA-256", True)
    assert (nested["place"], nested["digest_algorithm"]) == ("signature 1, nested 1", "SHA-384")
    assert nested["signers"][0]["subject"] == "Stranger"
    assert outer["signers"][0]["key"] == "ECDSA P-256"
    assert facts["problems"] == []


def test_inspect_tells_of_what_is_broken(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(signed.read_bytes())
    data[0x210] ^= 1
    signed.write_bytes(data)
    assert inspected(signed, capsys)["signatures"][0]["digest_matches"] is False
    signed.write_bytes(data[:-8])
    facts = inspected(signed, capsys)
    assert "certificate table lies outside the file" in facts["pe"]["unhashable"]
    assert "certificate table lies outside the file" in facts["problems"][0]
    for junk in (b"", b"MZ" + bytes(10), b"\x7fELF", bytes(600) , data[:300]):
        signed.write_bytes(junk)
        assert inspected(signed, capsys)["size"] == len(junk)


def test_the_commands_of_the_manual(
    root: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    (tmp_path / "my.toml").write_text(manual.split("```toml\n")[1].split("```")[0])
    (tmp_path / "debian-uefi-ca.der").write_bytes(root.der)
    (tmp_path / "dbx.esl").write_bytes(signature_list("sha256", bytes(32)))
    for name in ("vmlinuz", "debug.addon.efi", "kernel.efi"):
        (tmp_path / name).write_bytes(signed_pe(small_pe(), Signing(root)))
    (tmp_path / "initrd.img").write_bytes(b"test")
    monkeypatch.chdir(tmp_path)
    commands = [line.split()[1:] for line in manual.splitlines() if line.startswith("    bootshim ")]
    assert [command[0] for command in commands] == ["verify"] * 5 + ["policy"] * 2
    for command in commands:
        assert main(command) == 0, capsys.readouterr().out


@pytest.mark.tools
def test_inspect_a_real_kernel_and_a_real_uki(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.builders.debian import kernel
    from tests.unit.test_witnesses import make_uki

    facts = inspected(kernel().image, capsys)
    assert facts["format"] == "bzImage"
    assert facts["linux"]["protocol"] == "2.15"
    assert "Debian" in facts["linux"]["version"]
    assert facts["signatures"][0]["signers"][0]["issuer"] == "Debian Secure Boot CA"
    facts = inspected(make_uki(identity("Signer", key("rsa2048")), tmp_path), capsys)
    assert facts["format"] == "UKI"
    profile = facts["uki"]["profiles"][0]
    assert (profile["cmdline"], profile["uname"]) == ("quiet root=/dev/vda", "6.1.0-test")
    assert profile["parts"]["initrd"] == 6 * 999
