"""Every kind of judgement x every case x both modes: the exact verdict on artefacts of the tools that people use.

The sentences stand in tests/golden/judgements/table.txt, which `python -m tests.builders.judgements` writes. Which are
taken and which are refused stands here, by hand, so that writing them anew hides nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shim.errors import ShimError
from shim.formats.uki import split_uki
from shim.load.kernels import lay_out_kernel
from shim.verify.kinds import KINDS
from tests.builders.judgements import CASES, GOLDEN, MODES, Absent, Bench, Row, Trial, judge
from tests.builders.judgements.detached import an_initrd
from tests.builders.judgements.images import Images
from tests.builders.judgements.kinds import HEAD, MAKERS, rows_of, section

pytestmark = pytest.mark.tools

# In the order of the golden file. "no-policy": what is asked for is refused when the policy is read, at build time.
# "absent": the kind has no such case, and the row says why.
OUTCOMES = {
    "authenticode": """
        good             taken taken taken
        tampered         refused
        wrong key        refused
        expired          taken
        revoked          refused refused refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       taken refused
        another role     taken taken
        replayed         taken refused refused refused refused
    """,
    "cms": """
        good             taken
        tampered         refused
        wrong key        refused
        expired          taken
        revoked          refused refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       taken refused
        another role     taken refused
        replayed         refused taken refused refused
    """,
    "appended": """
        good             taken
        tampered         refused
        wrong key        refused
        expired          taken
        revoked          refused refused refused
        downgraded hash  refused refused
        truncated        refused refused refused
        duplicated       taken refused refused
        another role     taken refused
        replayed         refused taken refused refused
    """,
    "sha256": """
        good             taken
        tampered         refused
        wrong key        absent
        expired          absent
        revoked          refused refused
        downgraded hash  no-policy
        truncated        refused
        duplicated       taken refused
        another role     refused
        replayed         refused
    """,
    "exact": """
        good             taken
        tampered         refused refused
        wrong key        absent
        expired          absent
        revoked          refused
        downgraded hash  absent
        truncated        refused
        duplicated       taken refused refused
        another role     no-policy
        replayed         refused
    """,
    "manifest": """
        good             taken
        tampered         refused refused
        wrong key        refused
        expired          absent
        revoked          refused refused
        downgraded hash  refused refused
        truncated        refused refused refused
        duplicated       refused refused refused
        another role     taken refused refused
        replayed         refused taken refused refused
    """,
    "minisign": """
        good             taken taken taken
        tampered         refused
        wrong key        refused
        expired          absent
        revoked          absent refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       taken refused
        another role     refused taken refused
        replayed         refused taken refused refused
    """,
    "openpgp": """
        good             taken taken
        tampered         refused
        wrong key        refused
        expired          refused taken taken
        revoked          refused refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       taken refused
        another role     taken refused
        replayed         refused taken refused refused
    """,
    "ospkg": """
        good             taken taken
        tampered         refused
        wrong key        refused
        expired          taken
        revoked          refused refused
        downgraded hash  refused
        truncated        refused refused
        duplicated       taken refused
        another role     no-policy refused
        replayed         taken refused
    """,
    "ssh": """
        good             taken taken taken
        tampered         refused
        wrong key        refused
        expired          no-policy
        revoked          absent refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       refused refused
        another role     taken refused refused
        replayed         refused taken refused refused
    """,
    "verity": """
        good             taken
        tampered         refused refused refused
        wrong key        refused
        expired          taken
        revoked          refused refused
        downgraded hash  refused refused
        truncated        refused refused
        duplicated       taken refused refused
        another role     taken no-policy
        replayed         taken refused refused
    """,
    "unsigned": """
        good             taken
        tampered         taken
        wrong key        absent
        expired          absent
        revoked          refused refused
        downgraded hash  absent
        truncated        taken
        duplicated       no-policy
        another role     taken no-policy
        replayed         taken refused
    """,
}


def expected(kind: str) -> dict[str, list[str]]:
    """Return the outcomes of each case of a kind."""
    lines = [line.strip() for line in OUTCOMES[kind].strip().splitlines()]
    found = {case: line.removeprefix(case).split() for line in lines for case in CASES if line.startswith(f"{case}  ")}
    assert len(found) == len(lines)
    return found


def outcome(row: Row) -> str:
    """Return what came of a row, in the words of OUTCOMES; check what the two modes make of it."""
    if isinstance(row, Absent):
        assert len(row.why.split()) >= 3
        return "absent"
    enforced, audited = (judge(row, mode) for mode in MODES)
    assert enforced.verdict == audited.verdict
    verdict = enforced.verdict
    if verdict is None:
        assert enforced.sentence == audited.sentence
        assert not enforced.passes and not audited.passes
        return "no-policy"
    # Nobody starts what cannot be taken apart, audit or not.
    assert audited.passes or audited.sentence.startswith("the OS package cannot be used")
    assert enforced.passes == verdict.accepted
    assert verdict.role is row.role
    if verdict.accepted:
        assert verdict.rule == row.kind
        return "taken"
    assert {row.kind, "dbx", "minimum_version", "sbat"} & set(verdict.rule.split(" or "))
    assert enforced.sentence == f"the {row.role.value} is not trusted: {verdict.reason} (file={verdict.name})"
    return "refused"


def test_every_kind_has_every_case() -> None:
    """A kind that is new has no rows yet, and does not come in without them."""
    assert list(MAKERS) == list(OUTCOMES) == list(KINDS)
    for kind in KINDS:
        assert tuple(expected(kind)) == CASES
        assert all(expected(kind).values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_judgement(kind: str, tmp_path: Path) -> None:
    rows, names = rows_of(kind, tmp_path)
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.case, []).append(outcome(row))
    assert found == expected(kind)
    text = section(kind, rows, names)
    assert text.splitlines() == written(kind)
    assert text.count("\n    enforce  ") == text.count("\n    audit    ") == sum(isinstance(row, Trial) for row in rows)


def written(kind: str) -> list[str]:
    """Return the section of a kind in the golden file."""
    text = GOLDEN.read_text()
    assert text.startswith(HEAD)
    title = f"\n{kind}\n{'=' * len(kind)}\n"
    _, found, rest = text.removeprefix(HEAD).partition(title)
    ends = [at for other in KINDS if (at := rest.find(f"\n{other}\n{'=' * len(other)}\n")) >= 0]
    assert found, kind
    return (title + rest[: min(ends, default=len(rest))]).splitlines()


def test_the_manual_says_which_kinds_bind_a_role() -> None:
    """Where the table takes a file of another role, docs/policy.md says that the kind does not bind it."""
    text = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    rows = [line.split("|") for line in text.split("## What a judgement binds")[1].split("\n- ")[0].splitlines()
            if line.startswith("| `")]
    told = {kind: row[4].split()[0].rstrip(":") for row in rows for kind in re.findall(r"`(\w+)`", row[1])}
    assert told == {kind: "no" if "taken" in expected(kind)["another role"] else "yes" for kind in KINDS}


def test_what_was_signed_for_another_role_is_refused_when_it_is_laid_out(tmp_path: Path) -> None:
    """Most kinds bind bytes and not what they are for. So an add-on, a UKI or an initrd is still no kernel."""
    images = Images(Bench("authenticode", tmp_path))
    addon, uki = images.sign(images.addon()).data, images.uki.data
    for data in (addon, uki, an_initrd(), images.shim):
        with pytest.raises(ShimError, match="no kernel of a known kind"):
            lay_out_kernel(memoryview(data))
    with pytest.raises(ShimError, match="linux"):
        split_uki(addon)
