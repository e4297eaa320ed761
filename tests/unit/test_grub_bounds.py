"""A script of GRUB that wants to run away: it ends soon, in little memory, and the problem names the line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.entries.grub.regex import match
from shim.errors import FormatError
from tests.unit.grub import CONFIG, read

MIB = 1 << 20
CPU_SECONDS, MEMORY = 2.0, 128 * MIB
# A megabyte each, or what grows to more than that.
HOSTILE = {
    "short lines": b"a\n" * (MIB // 2),
    "words in one line": b"echo " + b"a " * (MIB // 2),
    "one token": b"a" * MIB,
    "quotes": b'"' * MIB,
    "an unclosed string": b"echo '" + b"x" * MIB,
    "if in if": b"if true; then\n" * (MIB // 14),
    "menuentry in menuentry": b"menuentry x {\n" * (MIB // 14),
    "entries": b"menuentry x {\nlinux /vmlinuz\n}\n" * (MIB // 31),
    "one long entry": b"menuentry x {\n" + b"linux /vmlinuz\n" * (MIB // 15) + b"}\n",
    "mistakes": b"&&\n" * (MIB // 3),
    "mistakes in blocks": b"if true; then\n}\n" * (MIB // 16),
    "variables": b"".join(b"set v%d=x\n" % number for number in range(MIB // 12)),
    "doubling": b"set a=xxxxxxxx\n" + b"set a=$a$a\n" * 40 + b"echo $a\n" * (MIB // 8 - 60),
    "long arguments": b"set a=" + b"x" * 60000 + b"\n" + b"echo $a $a $a $a\n" * 60000,
    "an endless loop": b"while true; do set a=x$a; done\n",
    "a function that calls itself": b"function f { f; f; }\nf\n",
    "functions that call each other": b"function f { g; }\nfunction g { if true; then f; fi; }\nf\n",
    "a function that defines itself": b"function f {\nfunction f {\ntrue\n}\nf\n}\nwhile f; do f; done\n",
    "functions": b"".join(b"function f%d { true; }\n" % number for number in range(MIB // 25)),
    "eval in eval": b"set e='eval $e; eval $e'\neval $e\n",
    "parameters that double": b"function f { f $@ $@; }\nf a b\n",
    "a regular expression": b"while true; do regexp '((a*)*)*b' '" + b"a" * 2000 + b"'; done\n",
    "file names": b"while true; do echo /*/*/*a*b*; done\n",
    "backslashes": b"\\" * MIB,
    "variables in one word": b"echo " + b"${a}" * (MIB // 4),
    "newlines": b"\n" * MIB,
    "loops in loops": b"for i in " + b"a " * 10000 + b"; do for j in " + b"a " * 10000 + b"; do true; done; done\n",
    "exported variables": b"".join(b"export v%d\n" % number for number in range(4000))
    + b"submenu x { true; }\n" * 40000,
    "searches": b"while true; do search --file /x; done\n",
    "bytes": bytes(range(256)) * 4096,
}
SCRIPT = """
import json, sys, time
from tests.unit.grub import read
data = open(sys.argv[1], "rb").read()
begun = time.process_time()
found = read(data)
seconds = time.process_time() - begun
# Not ru_maxrss, which begins with what the process that forked held.
peak = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([seconds, peak, len(found.entries), [problem.as_dict() for problem in found.problems]]))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_malice_ends_soon_and_names_the_line(name: str, tmp_path: Path) -> None:
    Path(tmp_path, "grub.cfg").write_bytes(HOSTILE[name])
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "grub.cfg")], capture_output=True, text=True,
                          check=True, cwd=Path(__file__).parents[2], timeout=60)
    seconds, memory, entries, problems = json.loads(done.stdout)
    assert seconds < CPU_SECONDS
    assert memory < MEMORY
    assert entries == 0
    source, error = problems[0].values()
    assert source.startswith(f"vda2:{CONFIG}")
    assert error
    assert source.rpartition(":")[2].isdecimal()


@given(st.text("if then fi;{}\n$\"'\\ a=[]()!-o*?&|<>#", max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_script_ends_the_reading(text: str) -> None:
    for entry in read(text).entries:
        assert entry.id


@given(st.lists(st.sampled_from([
    "if true; then\n", "fi\n", "else\n", "elif false; then\n", "for i in a b; do\n", "done\n", "while false; do\n",
    "function f {\n", "}\n", "menuentry x {\n", "submenu y {\n", "linux /vmlinuz $i\n", "f a b\n", "break\n",
    "return 1\n", "set a=$a$i\n", "source /boot/grub/grub.cfg\n", "configfile /boot/grub/grub.cfg\n", "eval \"$a\"\n",
    "shift\n",
    "test a = b -o ( c\n", "export a\n", "boot\n", "regexp --set a '(.*)' $a\n", "initrd /init*\n",
]), max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_arrangement_of_statements_ends_the_reading(parts: list[str]) -> None:
    read("".join(parts))


@given(st.text("ab()|*+?{},[]^$.\\1-:", max_size=30), st.text("ab1-", max_size=40))
@settings(deadline=None)
def test_no_regular_expression_takes_long(pattern: str, text: str) -> None:
    steps: list[int] = []

    def spend(states: int) -> None:
        steps.append(states)

    try:
        match(pattern, text, spend)
    except FormatError as problem:
        assert str(problem)
    assert sum(steps) <= (len(text) + 1) * 5000
