"""Only code that can run anywhere is flattened; everything else is refused by name."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from shim.errors import FormatError
from shim.purgatory.args import ARGS, blob
from shim.purgatory.build import compile_purgatory
from shim.purgatory.flatten import Flat, flatten


def assembled(folder: Path, text: str) -> bytes:
    source, target = folder / "x.s", folder / "x.o"
    source.write_text(text + "\n.section .note.GNU-stack\n")
    subprocess.run(["gcc", "-c", "-o", target, source], check=True)
    return target.read_bytes()


def flat(folder: Path, text: str) -> Flat:
    return flatten(io.BytesIO(assembled(folder, text)))


def test_what_is_relative_is_settled(tmp_path: Path) -> None:
    text = "a: lea b(%rip), %rax\n call c\n .quad b - .\n.section .rodata\n b: .byte 7\n .bss\n c: .skip 5000\n"
    made = flat(tmp_path, text)
    assert made.size == 8192 and len(made.code) <= 32
    b, c = made.symbols["b"], made.symbols["c"]
    assert made.code[:3] == b"\x48\x8d\x05" and struct.unpack_from("<i", made.code, 3) == (b - 7,)
    assert made.code[7:8] == b"\xe8" and struct.unpack_from("<i", made.code, 8) == (c - 12,)
    assert struct.unpack_from("<q", made.code, 12) == (b - 12,)
    assert made.code[b] == 7


@pytest.mark.parametrize(("text", "name"), [
    ("mov $b, %eax\n b:", "R_X86_64_32"), ("mov b, %eax\n b:", "R_X86_64_32S"),
    (".quad b\n .data\n b:", "R_X86_64_64"),
    ("mov b@GOTPCREL(%rip), %rax\n b:", "R_X86_64_REX_GOTPCRELX"), ("lea b@tpoff(%rax), %rax", "R_X86_64_TPOFF32")])
def test_what_depends_on_the_address_is_refused(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(FormatError, match="depends on the load address") as caught:
        flat(tmp_path, text)
    assert caught.value.facts["relocation"] == name


@pytest.mark.parametrize("text", [
    ".byte b - .\n .skip 200\n .data\n b:", "lea b + 0x7fffffff(%rip), %rax\n nop\n .data\n b:",
    ".word b - .\n .skip 40000\n .data\n b:"])
def test_a_value_too_large_for_its_field_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match="overflows"):
        flat(tmp_path, text)


def test_an_undefined_symbol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not in the image") as caught:
        flat(tmp_path, "call memmove")
    assert caught.value.facts["symbol"] == "memmove"


def test_an_executable_is_refused() -> None:
    with Path("/proc/self/exe").open("rb") as stream, pytest.raises(FormatError, match="not a relocatable object"):
        flatten(stream)


@pytest.mark.tools
def test_two_builds_are_the_same_bytes_and_the_ones_in_use() -> None:
    first, second = compile_purgatory(), compile_purgatory()
    assert first == second == blob()
    assert len(first.code) < 16 << 10 and first.size <= 20 << 10
    assert first.code[first.args:first.args + ARGS.size] == bytes(ARGS.size)
