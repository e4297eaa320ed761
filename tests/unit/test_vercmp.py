"""Versions are in the order of the specification, which systemd's own comparison bears witness to."""

from __future__ import annotations

import subprocess
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.formats.vercmp import compare_versions

PAIRS = (
    ("~1", "1"), ("1~rc1", "1"), ("1", "1.1"), ("1-1", "1.1"), ("1^post", "1.1"), ("1-2", "1^1"), ("1a", "1b"),
    ("1.0", "1.00"), ("1.2", "1.10"), ("a", "1"), ("", "1"), ("~", ""), ("1_2", "12"), ("1+2", "1.2"), ("v1", "v2"),
    ("6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"), ("5.19", "6.1"), ("6.1.0-rc3", "6.1.0"), ("123.a-1", "123a-1"),
    ("1.0~beta", "1.0~alpha"), ("a.b", "a"), ("0001", "1"), ("1..2", "1.2"), ("ä1", "1"), ("1^", "1"), ("1-", "1"),
)
TEXT = st.text("~-^.0129abAZ_+ ä", max_size=12)


@pytest.mark.tools
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_systemd_says_the_same(left: str, right: str) -> None:
    """WITNESS: systemd-analyze compare-versions (systemd 252), which prints the relation."""
    done = subprocess.run(["systemd-analyze", "compare-versions", left, right], capture_output=True, text=True,
                          check=False)
    shown = [version or "''" for version in (left, right)]
    relation = done.stdout.removeprefix(shown[0]).removesuffix(f"{shown[1]}\n").strip()
    assert compare_versions(left, right) == {"<": -1, "==": 0, ">": 1}[relation]


@given(TEXT, TEXT)
def test_two_versions_have_one_order(left: str, right: str) -> None:
    assert compare_versions(left, right) == -compare_versions(right, left)
    assert compare_versions(left, left) == 0


@given(st.lists(TEXT, min_size=3, max_size=3))
def test_order_carries_over(versions: list[str]) -> None:
    for first, second, third in product(versions, repeat=3):
        if compare_versions(first, second) <= 0 and compare_versions(second, third) <= 0:
            assert compare_versions(first, third) <= 0


@pytest.mark.parametrize(("older", "newer"), list(pairwise(
    ("~rc1", "", "1~rc1", "1", "1-1", "1-2", "1^1", "1.1", "2"))))
def test_marks_go_before_and_after(older: str, newer: str) -> None:
    assert compare_versions(older, newer) == -1
