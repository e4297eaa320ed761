"""What README and docs say is there: targets, verbs, options, links, configurations."""

from __future__ import annotations

import errno
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from shim.cli import VERBS, build_parser
from shim.config import TABLES, parse_config
from shim.entries import DIALECTS
from shim.entries.grub import limits
from shim.entries.grub.commands import IGNORED, OTHER_MODULES, OTHER_SYSTEMS, REFUSED, UNANSWERED, UNDERSTOOD
from shim.load.errnos import FILE, LOAD
from shim.model import Role

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SIGNERS = {"release.pub": "minisign", "allowed_signers": "ssh ed25519"}
PLACEHOLDERS = {"SHA-256 OF THE INITRD": "0" * 64, "a3f5…": "0" * 64}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Return the lines that a reader would type: indented, continued lines joined, without what the shell does."""
    text = page.read_text().replace("\\\n", " ")
    return [line.split("  #")[0].split(" > ")[0].strip() for line in text.splitlines()
            if re.match(r"    (\.venv/bin/bootshim|bootshim|make) [a-z]+( |$)", line)]


def ca(name: str) -> bytes:
    from tests.builders import debian
    from tests.builders.detached import make_signer

    if name in SIGNERS:
        with tempfile.TemporaryDirectory() as folder:
            return make_signer(Path(folder), SIGNERS[name]).public
    if name.endswith((".esl", ".bin")):
        return b""
    if name == "sbat-level":
        return b"sbat,1,2025021800\n"
    return next(debian.package("shim-unsigned").rglob("debian-uefi-ca.der")).read_bytes()


@pytest.mark.tools
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_configuration_is_one(page: Path) -> None:
    for text in blocks(page, "toml"):
        whole = text
        for said, meant in PLACEHOLDERS.items():
            whole = whole.replace(said, meant)
        config = parse_config(whole, page.name, ca)
        assert any(config.policy.required(role) for role in Role)


def test_the_first_configuration_is_short() -> None:
    text, = blocks(ROOT / "README.md", "toml")
    assert len(text.splitlines()) <= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_can_be_given(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(page):
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets, line
        elif "VERB" not in words:
            build_parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_that_is_named_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", page.read_text())) <= targets


def test_what_the_manual_for_developers_names_is_there() -> None:
    text = (ROOT / "docs/development.md").read_text()
    for name in re.findall(r"`((?:shim|initramfs|tests)/[a-z_/.]+)`", text):
        assert (ROOT / name).exists(), name
    for table, path in re.findall(r"`([A-Z]+)` in `([a-z_/.]+)`", text):
        assert re.search(rf"^{table}\b.*=", (ROOT / path).read_text(), re.MULTILINE), (table, path)
    sources = [path for folder in ("shim", "initramfs", "tests") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    for variable in re.findall(r"`(BOOTSHIM_\w+)`", text):
        assert f'"{variable}"' in code, variable


def test_the_sentences_of_the_running_kernel_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(E[A-Z]+)` \| (.*) \|$", (ROOT / "docs/trust.md").read_text(), re.MULTILINE)
    assert len(rows) == 5
    for name, sentence in rows:
        assert sentence in (LOAD.get(getattr(errno, name)), FILE.get(getattr(errno, name))), name


def test_every_verb_is_in_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for verb in VERBS:
        assert f"`bootshim {verb}" in text


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    for table, fields in TABLES.items():
        assert f"### [{table}]" in text
        for key in fields:
            assert f"| `{key}` |" in text, f"{table}.{key}"


def test_every_dialect_and_every_command_of_grub_is_documented() -> None:
    text = (ROOT / "docs/dialects.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [dialect.name for dialect in DIALECTS]
    for title, names in (("Understood", UNDERSTOOD), ("Passed over", (*IGNORED, *OTHER_MODULES)),
                         ("Unanswered", UNANSWERED), ("Refused", REFUSED), ("Other systems", OTHER_SYSTEMS)):
        section = text.partition(f"### {title}\n")[2].partition("\n### ")[0]
        paragraph, = [part for part in section.split("\n\n") if part.lstrip().startswith("`") and ", `" in part]
        assert re.findall(r"`(\S+)`", paragraph) == sorted(names), title


@pytest.mark.parametrize(("row", "shown"), [
    ("a file; all files", f"{limits.SOURCE_SIZE_MAX >> 20} MiB; {limits.SOURCES_SIZE_MAX >> 20} MiB in "
     f"{limits.SOURCES_MAX}"),
    (f"steps (a command, a turn of a loop, {limits.BYTES_A_STEP} bytes", f"{limits.STEPS_MAX:,}"),
    ("words and signs", f"{limits.TOKENS_MAX:,}"), ("blocks, functions", f"{limits.NESTING_MAX}"),
    ("menus in menus", f"{limits.MENUS_DEEP_MAX}"), ("entries", f"{limits.ENTRIES_MAX:,}"),
    ("a value", f"{limits.VALUE_SIZE_MAX >> 10} KiB, {limits.ARGUMENTS_SIZE_MAX >> 10} KiB"),
])
def test_the_limits_of_grubs_script_are_those_of_the_code(row: str, shown: str) -> None:
    rows = [line for line in (ROOT / "docs/dialects.md").read_text().splitlines() if line.startswith(f"| {row}")]
    assert [line.split("|")[2].strip() for line in rows] == [shown]


def test_help_says_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:[^#\n]*## ", makefile, re.MULTILINE), target
