"""`make demo`: a disk with a UKI and Debian's signed kernel, booted through the boot shim to the second kernel.

`python -m tests.vm.demo [ENGINE=auto|load|file] [ENTRY=bls|uki|vmlinux]`. Each entry's initrd holds a random token,
made for this run: the exit status is 0 only when the second kernel printed the token of the entry that was asked for.
"""

from __future__ import annotations

import secrets
import shlex
import sys
import time
from pathlib import Path
from typing import NamedTuple

from shim.cli import main as bootshim
from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.keys import KeyFiles, make_ca, make_leaf
from tests.builders.target import parse_facts, target_initrd
from tests.builders.uki import make_uki, sign_pe
from tests.builders.vmlinux import vmlinux_of
from tests.vm.shimmed import SHIM_KERNELS, config_text, debian_ca, policy_text

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "build" / "demo"
ENGINES = ("auto", "load", "file")
IDS = {"bls": "debian-bls.conf", "uki": "debian-uki.efi", "vmlinux": "debian-vmlinux.conf"}
ENGINE_NAMES = {"load": "kexec_load", "file": "kexec_file_load"}
CMDLINE = "console=ttyS0 quiet demo"
SECONDS = 120


class Demo(NamedTuple):
    """What a run is made of: a token for each entry, and files in `directory`."""

    directory: Path
    tokens: dict[str, str]
    disk: Path
    config: Path


def main(arguments: list[str]) -> int:
    """Run the demo; return its exit status."""
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    engine, entry = given.get("ENGINE", "auto"), given.get("ENTRY", "bls")
    if engine not in ENGINES or entry not in IDS or len(given) != len(arguments) or set(given) - {"ENGINE", "ENTRY"}:
        print(f"usage: demo ENGINE={'|'.join(ENGINES)} ENTRY={'|'.join(IDS)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    status = show(compose(DIRECTORY, engine, entry), engine, entry)
    print(f"demo: {time.monotonic() - started:.0f} s in all")
    return status


def compose(directory: Path, engine: str, entry: str) -> Demo:
    """Make the disk, the keys and the configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    kernel = debian.kernel()
    say(f"the kernel: Debian's {kernel.release}, signed by Debian; the authority is in its package shim-unsigned")
    tokens = {name: secrets.token_hex(16) for name in IDS}
    initrds = {name: target_initrd(token) for name, token in tokens.items()}
    say("the target: an initrd for each entry, with a /init that prints a random token made just now")
    authority = make_ca(directory, "demo-ca")
    signer = make_leaf(directory, "demo-signer", authority)
    uki = signed_uki(directory, kernel.image, initrds["uki"], signer)
    say("a UKI of that kernel, made by ukify, signed by sbsign under an authority made just now")
    vmlinux = vmlinux_of(kernel.image)
    esp = Partition("esp", "vfat", {f"EFI/Linux/{IDS['uki']}": uki})
    boot = Partition("xbootldr", "ext4", label="boot", files={
        f"loader/entries/{IDS['bls']}": bls("Debian, signed bzImage", "/vmlinuz", "/initrd.bls"),
        f"loader/entries/{IDS['vmlinux']}": bls("Debian, bare vmlinux", "/vmlinux", "/initrd.vmlinux"),
        "vmlinuz": kernel.image, "vmlinux": vmlinux,
        "initrd.bls": initrds["bls"], "initrd.vmlinux": initrds["vmlinux"],
    })  # fmt: skip
    disk = make_disk(directory / "disk.img", [esp, boot])
    say("a GPT disk: the ESP (vfat) with the UKI, the XBOOTLDR partition (ext4) with two BLS entries")
    (directory / "debian-ca.der").write_bytes(debian_ca().read_bytes())
    policy = policy_text(
        anchors=["debian-ca.der", authority.der.name], kernels=[vmlinux], cmdlines=[CMDLINE],
        initrds=[initrds["bls"], initrds["vmlinux"]],
    )  # fmt: skip
    config = directory / "config.toml"
    config.write_text(config_text(policy, engine=engine, entry=IDS[entry]))
    say("the policy: signatures under these two authorities; initrds and the bare vmlinux pinned by SHA-256; "
        "the command line exactly")
    return Demo(directory, tokens, disk, config)


def signed_uki(directory: Path, kernel: Path, initrd: bytes, signer: KeyFiles) -> Path:
    (directory / "initrd.uki").write_bytes(initrd)
    unsigned = make_uki(directory / "unsigned.efi", kernel, [directory / "initrd.uki"], CMDLINE)
    return sign_pe(unsigned, directory / "signed.efi", signer)


def bls(title: str, linux: str, initrd: str) -> str:
    return f"title {title}\nversion 1\nlinux {linux}\ninitrd {initrd}\noptions {CMDLINE}\n"


def show(demo: Demo, engine: str, entry: str) -> int:
    """Build the initramfs, boot, and judge what the serial line said."""
    kernel = SHIM_KERNELS["virtio"]
    initramfs, serial = demo.directory / "initramfs.xz", demo.directory / "serial.log"
    status = command("build", "--config", demo.config, "--output", initramfs, *kernel.build_words())
    if status != 0:
        return status
    wanted = expected_entry(engine, entry)
    if wanted != entry:
        say("on x86 kexec_file_load takes no ELF: the boot shim must say so and go to the next entry")
    say(f"the second kernel must print {demo.tokens[wanted]}")
    status = command("run", "--kernel", kernel.image, "--initramfs", initramfs, "--disk", demo.disk,
                     "--expect", f"token={demo.tokens[wanted]}", "--timeout", SECONDS, "--serial", serial)
    return judge(serial.read_text(), demo, engine, wanted) if status == 0 else status


def expected_entry(engine: str, entry: str) -> str:
    """Return the entry that has to boot in the end."""
    return "uki" if (engine, entry) == ("file", "vmlinux") else entry


def judge(text: str, demo: Demo, engine: str, wanted: str) -> int:
    """Say what the second kernel was given; 0 only when it is the entry and the engine that were asked for."""
    facts = parse_facts(text + "\nbootshim-target-end\n")
    if facts is None or facts.report is None or facts.token != demo.tokens[wanted]:
        print("demo: FAILED: the target did not say what it should", file=sys.stderr)
        return 1
    attempt = facts.report["attempts"][-1]
    if attempt["entry"] != IDS[wanted] or attempt["engine"] != ENGINE_NAMES.get(engine, attempt["engine"]):
        print(f"demo: FAILED: booted {attempt['entry']} by {attempt['engine']}", file=sys.stderr)
        return 1
    for name, value in facts.lines.items():
        print(f"  the second kernel says: {name} = {value}")
    print(f"demo: the second kernel printed the token of {attempt['entry']}, loaded by {attempt['engine']}")
    return 0


def command(*words: object) -> int:
    """Run the host command, shown as one would type it."""
    texts = [str(word) for word in words]
    print(f"$ bootshim {shlex.join(texts)}", flush=True)
    return bootshim(texts)


def say(sentence: str) -> None:
    print(f"demo: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
