"""`bootshim measure --sign` signs as systemd-measure does, byte for byte; systemd-pcrlock takes its components."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shim.cli import build_parser, main
from shim.cli.measure import predict, read_candidate
from shim.formats.pe import parse_pe
from shim.measure.eventlog import FirmwareLog, continue_log
from shim.measure.session import Session
from shim.system.clock import LinuxClock
from tests.builders.debian import kernel
from tests.builders.measured import BANKS, newer, pcrlock, sections_of, systemd_sign
from tests.builders.swtpm import TpmServer
from tests.builders.uki import make_uki

pytestmark = pytest.mark.tools
INITRD = b"initrd"


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, its public half, and a UKI of two profiles that carries it."""
    folder = tmp_path_factory.mktemp("seal")
    openssl("genrsa", "-out", str(folder / "key.pem"), "2048")
    openssl("pkey", "-in", str(folder / "key.pem"), "-pubout", "-out", str(folder / "pub.pem"))
    (folder / "initrd").write_bytes(INITRD)
    make_uki(folder / "uki.efi", kernel().image, [folder / "initrd"], "ro", profiles={"safe": "ro single"},
             more=["--pcrpkey", str(folder / "pub.pem")])
    return folder


def signed(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, key: str = "key.pem") -> str:
    capsys.readouterr()
    assert main(["measure", str(folder / "uki.efi"), "--sign", str(folder / key), *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [
    [], ["--bank=sha256"], ["--bank=sha512", "--bank=sha1", "--phase=enter-initrd", "--phase="],
    ["--phase=one::two:", "--phase=öne", "--phase=a", "--phase=a"],
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("profile", [0, 1])
def test_the_signatures_are_those_of_systemd_measure(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], profile: int
) -> None:
    ours = signed(capsys, folder, f"--profile={profile}", *words)
    theirs = systemd_sign(tmp_path, sections_of((folder / "uki.efi").read_bytes(), profile),
                          f"--private-key={folder / 'key.pem'}", *words)
    assert ours == theirs


def test_they_are_those_of_systemd_252_on_a_tpm(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It knows fewer sections, so the UKI has only those."""
    older = tmp_path / "older"
    older.mkdir()
    for name in ("key.pem", "pub.pem"):
        (older / name).write_bytes((folder / name).read_bytes())
    subprocess.run(["objcopy", "-R", ".sbat", "-R", ".uname", "-R", ".profile", str(folder / "uki.efi"),
                    str(older / "uki.efi")], check=True)  # fmt: skip
    sections = sections_of((older / "uki.efi").read_bytes())
    assert set(sections) == {".linux", ".osrel", ".cmdline", ".initrd", ".pcrpkey"}
    theirs = systemd_sign(tmp_path, sections, f"--private-key={older / 'key.pem'}",
                          f"--public-key={older / 'pub.pem'}", own=True)
    assert signed(capsys, older) == theirs


def test_the_signatures_of_another_profile_are_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before.json"
    before.write_text(signed(capsys, folder, "--bank=sha256", "--bank=sha384"))
    sections = sections_of((folder / "uki.efi").read_bytes(), 1)
    words = ["--bank=sha256", "--phase=enter-initrd", f"--append={before}"]
    ours = signed(capsys, folder, "--profile=1", *words)
    assert ours == systemd_sign(tmp_path, sections, f"--private-key={folder / 'key.pem'}", *words)
    assert {bank: len(rows) for bank, rows in json.loads(ours).items()} == {"sha384": 4, "sha256": 5}
    before.write_text(ours)
    assert signed(capsys, folder, "--profile=1", *words) == ours  # the same signature again is one


def test_a_signature_beside_pcr_11_changes_nothing_and_one_byte_does(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signed(capsys, folder, "--bank=sha256", "--phase=")
    (tmp_path / "pcrsig.json").write_text(before)
    for name in ("key.pem", "pub.pem"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    subprocess.run(["objcopy", f"--add-section=.pcrsig={tmp_path / 'pcrsig.json'}", str(folder / "uki.efi"),
                    str(tmp_path / "uki.efi")], check=True)  # fmt: skip
    assert signed(capsys, tmp_path, "--bank=sha256", "--phase=") == before
    data = bytearray((tmp_path / "uki.efi").read_bytes())
    section = parse_pe(data).section(".osrel")
    assert section is not None
    data[data.index(bytes(section.data(data)))] ^= 1
    (tmp_path / "uki.efi").write_bytes(data)
    assert signed(capsys, tmp_path, "--bank=sha256", "--phase=") != before


def test_a_key_that_does_not_fit_is_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl("genrsa", "-out", str(tmp_path / "other.pem"), "2048")
    openssl("genrsa", "-out", str(tmp_path / "small.pem"), "1024")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(tmp_path / "ec.pem"))
    openssl("genpkey", "-algorithm", "ED25519", "-out", str(tmp_path / "ed.pem"))
    (tmp_path / "linux").write_bytes(b"no UKI")
    (tmp_path / "broken.json").write_text("[" * 100000)
    uki, key, public = (str(folder / name) for name in ("uki.efi", "key.pem", "pub.pem"))
    for words, sentence in [
        ([uki, "--sign", str(tmp_path / "small.pem")], "found=RSA-1024"),
        ([uki, "--sign", str(tmp_path / "ec.pem")], "found=ECDSA P-256"),
        ([uki, "--sign", str(tmp_path / "ed.pem")], "PCR policies are signed with RSA"),
        ([uki, "--sign", str(tmp_path / "none.pem")], "the private key cannot be read"),
        ([uki, "--sign", public], "the private key cannot be read"),
        ([uki, "--sign", str(tmp_path / "other.pem"), "--public-key", public], "is not that of the private key"),
        ([uki, "--sign", key, "--public-key", key], "the public key cannot be read"),
        ([uki, "--sign", key, "--append", str(tmp_path / "broken.json")], "the signatures are not JSON"),
        ([str(tmp_path / "linux"), "--sign", key], "only a UKI is measured into the PCR that is signed"),
        ([uki, "--phase", "enter-initrd"], "go with --sign"),
    ]:
        assert main(["measure", *words]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["measure", uki, "--sign", str(tmp_path / "other.pem"), "--bank=sha256"]) == 0
    assert "another key than the one that signs" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["measure", uki, "--sign", key]) == 2
    assert "needs the program openssl" in capsys.readouterr().err


def test_a_passphrase_is_asked_for_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    openssl("pkey", "-in", str(folder / "key.pem"), "-aes256", "-passout", "pass:secret",
            "-out", str(tmp_path / "locked.pem"))  # fmt: skip
    words = ["measure", str(folder / "uki.efi"), "--sign", str(tmp_path / "locked.pem")]
    code = (f"import sys; from shim.cli import main; sys.stdout = open({str(tmp_path / 'out')!r}, 'w'); "
            f"sys.exit(main({words!r}))")  # fmt: skip
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = os.read(terminal, 4096)
    while b"pass phrase" not in said:
        said += os.read(terminal, 4096)
    time.sleep(0.2)  # openssl empties what was typed before it asked
    os.write(terminal, b"secret\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    assert (tmp_path / "out").read_text() == signed(capsys, folder)


def components(capsys: pytest.CaptureFixture[str], target: Path, words: Sequence[str]) -> list[Path]:
    capsys.readouterr()
    assert main(["measure", *words, "--pcrlock", str(target)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    return [Path(line.rpartition(": ")[2]) for line in said.err.splitlines()]


def test_a_component_is_what_systemd_pcrlock_makes_of_a_uki(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uki = make_uki(tmp_path / "one.efi", kernel().image, [folder / "initrd"], "ro")
    theirs = tmp_path / "theirs.pcrlock"
    subprocess.run([*newer("systemd-pcrlock"), "lock-uki", str(uki), f"--pcrlock={theirs}"], check=True)
    written = components(capsys, tmp_path / "ours.pcrlock", [str(uki)])
    assert written == [tmp_path / "ours.pcrlock"]
    expected = [record for record in json.loads(theirs.read_text())["records"] if record["pcr"] == 11]
    assert len(expected) == 12
    assert json.loads(written[0].read_text()) == {"records": expected}  # theirs has the PE's own digest in PCR 4, too


@pytest.mark.parametrize(("words", "pcrs"), [
    (["--profile=1", "--cmdline=ro quiet"], {11: "650-bootshim-uki", 12: "660-bootshim-parameters"}),
    (["--entry=uki.efi", "--initrd=INITRD"],
     {8: "640-bootshim-config", 9: "645-bootshim-kernel", 11: "650-bootshim-uki"}),
    (["--root"], {11: "650-bootshim-uki", 12: "660-bootshim-parameters", 13: "670-bootshim-extensions"}),
], ids=["profile", "entry", "beside"])  # fmt: skip
def test_systemd_pcrlock_recognizes_all_that_was_measured_and_predicts_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], pcrs: dict[int, str]
) -> None:
    beside = folder / "uki.efi.extra.d"
    beside.mkdir(exist_ok=True)
    (beside / "one.cred").write_bytes(b"a secret")
    (beside / "one.raw").write_bytes(b"an extension")
    image = str(folder / "uki.efi") if words != ["--root"] else "/uki.efi"
    words = [image, *(str(word).replace("INITRD", str(folder / "initrd")) for word in words)]
    if words[-1] == "--root":
        words.append(str(folder))
    (tmp_path / "lock").mkdir()
    written = components(capsys, tmp_path / "lock", words)
    variant = "uki@1" if "--profile=1" in words else "uki"  # profiles do not overwrite each other
    assert written == [tmp_path / "lock" / f"{name}.pcrlock.d/{variant}.pcrlock" for name in pcrs.values()]
    arguments = build_parser().parse_args(["measure", *words])
    events = predict(arguments, read_candidate(arguments), list(BANKS))
    log = tmp_path / "log"
    log.write_bytes(continue_log(FirmwareLog(), events, BANKS))
    where = [f"--components={tmp_path / 'lock'}", "--json=short", "--location=600:699"]
    with TpmServer() as tpm:
        session = Session(tpm, LinuxClock())
        for event in events:
            session.extend(event.pcr, event.digests)
        values = {pcr: session.read("sha256", pcr).hex() for pcr in pcrs}
        known = json.loads(pcrlock(tpm, log, "log", *where))
        said = json.loads(pcrlock(tpm, log, "predict", *where, *(f"--pcr={pcr}" for pcr in pcrs)))
    matched = [(record["pcr"], record["component"]) for record in known["log"]]
    assert matched == [(event.pcr, pcrs[event.pcr]) for event in events]
    assert {row["pcr"]: row["values"][-1] for row in said["sha256"]} == values
