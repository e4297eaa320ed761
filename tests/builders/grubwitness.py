"""The witness for GRUB's script: grub-emu of Debian, which is GRUB itself as a program of the host.

`python -m tests.builders.grubwitness` runs every case of tests/golden/grub/cases.txt in it and writes outcomes.json.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.builders import debian
from tests.builders.disk import Partition, make_disk
from tests.builders.filesystems import MIB, run

GOLDEN = Path(__file__).parents[1] / "golden/grub"
OUTCOMES = GOLDEN / "outcomes.json"
TIMEOUT = 60.0
MARK = ":"
PROMPTS = (b"grub> ", b"grub rescue> ", b"Press any key", b"GNU GRUB  version")
# grub-emu can draw in a window, which nobody opens here: what it asks of SDL is given by a library of nothing.
SDL = ("SDL_Flip", "SDL_GetError", "SDL_Init", "SDL_Quit", "SDL_SetColors", "SDL_SetVideoMode",
       "SDL_CreateRGBSurface", "SDL_CreateRenderer", "SDL_CreateTexture", "SDL_CreateWindow", "SDL_RenderClear",
       "SDL_RenderCopy", "SDL_RenderPresent", "SDL_SetPaletteColors", "SDL_UpdateTexture")
# GRUB 2.06 and 2.12, and what they are linked against beyond what every Debian 12 has.
LIBRARIES = {"bookworm": ("libdevmapper1.02.1",),
             "trixie": ("libdevmapper1.02.1", "libc6", "libselinux1", "libudev1", "libpcre2-8-0", "libcap2")}
EXT_UUID, VFAT_UUID, LABEL, VFAT_LABEL = "11111111-2222-3333-4444-555555555555", "ABCD-1234", "GRUBROOT", "GRUBESP"


def block(**variables: str) -> bytes:
    """Return an environment block as grub-editenv makes it."""
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    text = f"# GRUB Environment Block\n{lines}"
    return (text + "#" * (1024 - len(text))).encode()


# What lies beside each script.
FILES: dict[str, bytes] = {
    "file": b"content\n", "empty": b"", "folder/inside": b"x",
    "included.cfg": b"set from_included=yes\n", "parameters.cfg": b'echo ":$1/$2/$#"\n',
    "menu.cfg": b'set timeout=0\nmenuentry a { echo ":<$kept><$lost>"; halt; }\n',
    "entry.cfg": b"menuentry included { echo :included; halt; }\n",
    "glob/a.txt": b"", "glob/b.txt": b"", "glob/long.txt": b"", "glob/c.cfg": b"",
    "grubenv": block(saved_entry="saved", with_equals="a=b", kernelopts="root=UUID=1 ro quiet", empty=""),
    "other.env": block(other="back\\\\slash \\\nline"),
}
# What is on the disk: on its ESP, and on the file system behind that.
ESP = {"only/on/esp": b"x", "both": b"esp"}
ROOT = {"here": b"x", "folder/inside": b"x", "both": b"root"}


def cases() -> dict[str, str]:
    """Return the scripts by name."""
    _preface, *parts = re.split(r"^=== (.*)\n", (GOLDEN / "cases.txt").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def whole(script: str) -> str:
    """Return a script as it is run: one that makes no menu ends with GRUB's end."""
    return script if "timeout=0" in script else f"{script}\nhalt\n"


def outcomes() -> dict[str, list[str]]:
    """Return what GRUB said of each, as it was recorded."""
    found: dict[str, list[str]] = json.loads(OUTCOMES.read_text())
    return found


@cache
def _program(folder: str, suite: str) -> tuple[list[str], dict[str, str]]:
    """Return grub-emu's command and environment, with the libraries that need not be installed, in the folder."""
    code = "".join(f"void {name}(void) {{}}\n" for name in SDL)
    for name in ("libSDL-1.2.so.0", "libSDL2-2.0.so.0"):
        output = str(Path(folder, name))
        subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", output, "-x", "c", "-"],
                       input=code, text=True, check=True)
    for package in LIBRARIES[suite]:
        for library in debian.package(package, suite=suite).rglob("*.so.*"):
            if not Path(folder, library.name).exists():
                Path(folder, library.name).symlink_to(library)  # a package's own path may have a colon in it
    program = str(debian.package("grub-emu", suite=suite) / "usr/bin/grub-emu")
    environment = {"TERM": "dumb", "PATH": os.environ["PATH"]}
    if suite == "bookworm":
        return [program], {**environment, "LD_LIBRARY_PATH": folder}
    loader, = debian.package("libc6", suite=suite).glob("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    return [str(loader), "--library-path", folder, program], environment


def make_witness_disk(folder: Path) -> Path:
    """Return a GPT disk with an ESP and an ext4 file system, whose UUIDs and labels are fixed."""
    esp, root, trees = folder / "esp.img", folder / "root.img", folder / "trees"
    for name, files in (("esp", ESP), ("root", ROOT)):
        for path, content in files.items():
            target = trees / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for image in (esp, root):
        with image.open("wb") as stream:
            stream.truncate(8 * MIB)
    run("mkfs.vfat", "-n", VFAT_LABEL, "-i", VFAT_UUID.replace("-", ""), str(esp))
    run("mcopy", "-s", "-i", str(esp), *map(str, sorted((trees / "esp").iterdir())), "::")
    run("mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-U", EXT_UUID, "-d", str(trees / "root"), str(root))
    return make_disk(folder / "disk.img", [Partition("esp", raw=esp.read_bytes()),
                                           Partition("root", raw=root.read_bytes())])


def said_by_grub(script: str, folder: Path, disk: Path, libraries: str, suite: str = "bookworm") -> list[str]:
    """Run a script in grub-emu; return the lines that it echoed with a colon in front.

    Raises TimeoutError for a script that does not end.
    """
    for path, content in {**FILES, "grub.cfg": whole(script).encode()}.items():
        target = folder / "grub" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "device.map").write_text(f"(hd0) {disk}\n")
    command, environment = _program(libraries, suite)
    text = _run([*command, "-d", str(folder / "grub"), "-m", str(folder / "device.map")], environment)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode("utf-8", "replace")).replace("\r", "")
    return [line for line in plain.split("\n") if line.startswith(MARK)]


def _run(command: list[str], environment: dict[str, str]) -> bytes:
    """Run a program that wants a terminal, until it ends or asks for a person."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as program:
        os.close(theirs)
        said, deadline = b"", time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                if program.poll() is not None:
                    break
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            said += piece
            if any(prompt in said for prompt in PROMPTS):
                break
        else:
            program.kill()
            raise TimeoutError(f"grub-emu did not end: {said[-2000:]!r}")
        program.kill()
    os.close(ours)
    return said


def all_said_by_grub(folder: Path, suite: str = "bookworm") -> dict[str, list[str]]:
    """Run every case, each in a process of its own: some ten seconds for all."""
    disk, libraries = make_witness_disk(folder), folder / "libraries"
    libraries.mkdir()
    return {name: said_by_grub(script, folder, disk, str(libraries), suite) for name, script in cases().items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = all_said_by_grub(Path(folder))
    OUTCOMES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    version, newer = debian.version("grub-emu"), debian.version("grub-emu", suite="trixie")
    (GOLDEN / "WITNESS").write_text(
        f"outcomes.json: what grub-emu {version} of Debian 12 (bookworm) says of each script in cases.txt: the lines\n"
        "that it echoes with a colon in front. Made by `python -m tests.builders.grubwitness`, one process a script,\n"
        "in a directory with the files of that module and a disk of its own (GPT; vfat, ext4) as (hd0). The unit\n"
        f"test runs all of them anew, and in grub-emu {newer} of Debian 13 (trixie), which says the same.\n")
    print(f"{len(found)} cases")


if __name__ == "__main__":
    main()
