"""Nothing is placed outside free memory, over something else, or at a crooked address; a refusal says how large the
largest hole is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import PlanError
from shim.memory.place import place
from shim.model import Request
from shim.ranges import Range, RangeSet

PAGE = 4096
PAGES = st.integers(0, 1 << 20).map(lambda number: number * PAGE)


@st.composite
def free_memory(draw: st.DrawFn) -> RangeSet:
    pieces = draw(st.lists(st.tuples(PAGES, st.integers(1, 1 << 14)), min_size=1, max_size=12))
    return RangeSet(Range.sized(start, count * PAGE) for start, count in pieces)


@st.composite
def wishes(draw: st.DrawFn) -> list[Request]:
    def wish(number: int) -> Request:
        low = draw(PAGES)
        return Request(
            name=f"r{number}",
            size=draw(st.integers(1, 40 << 20)),
            alignment=1 << draw(st.integers(12, 24)),
            low=low,
            high=draw(st.sampled_from([1 << 64, 1 << 32, low + (64 << 20)])),
            fixed=draw(st.one_of(st.none(), st.none(), PAGES)),
            preferred=draw(st.one_of(st.none(), PAGES)),
            top=draw(st.booleans()),
        )

    return [wish(number) for number in range(draw(st.integers(1, 6)))]


@given(free_memory(), wishes())
def test_what_is_placed_fits(free: RangeSet, requests: list[Request]) -> None:
    try:
        placed = place(requests, free)
    except PlanError as problem:
        assert problem.facts["name"] in {request.name for request in requests}
        assert "largest_hole" in problem.facts
        return
    assert list(placed) == [request.name for request in requests]
    for request in requests:
        got = placed[request.name]
        assert free.contains(got)
        assert got.size >= request.size
        assert got.size % PAGE == 0 == got.start % PAGE
        if request.fixed is not None:
            assert got.start == request.fixed
            continue
        assert got.start % request.alignment == 0
        assert request.low <= got.start
        assert got.end <= request.high
    ranges = sorted(placed.values(), key=lambda item: item.start)
    assert all(left.end <= right.start for left, right in pairwise(ranges))


@given(free_memory(), st.integers(1, 40 << 20), st.integers(12, 24), st.booleans())
def test_one_request_is_refused_only_when_nothing_fits(free: RangeSet, size: int, shift: int, top: bool) -> None:
    request = Request(name="only", size=size, alignment=1 << shift, top=top)
    rounded = -(-size // PAGE) * PAGE
    starts = (-(-hole.start >> shift) << shift for hole in free)
    fits = any(start + rounded <= hole.end for start, hole in zip(starts, free, strict=True))
    if fits:
        place([request], free)
    else:
        with pytest.raises(PlanError, match="no room in memory"):
            place([request], free)


def test_top_and_bottom() -> None:
    free = RangeSet([Range(start=PAGE, end=10 * PAGE)])
    assert place([Request(name="a", size=1)], free)["a"].start == PAGE
    assert place([Request(name="a", size=1, top=True)], free)["a"].end == 10 * PAGE


def test_a_preferred_place_that_is_taken_is_not_insisted_on() -> None:
    free = RangeSet([Range(start=PAGE, end=10 * PAGE)])
    placed = place([Request(name="a", size=PAGE, preferred=PAGE), Request(name="b", size=PAGE, preferred=PAGE)], free)
    assert placed["a"].start == PAGE
    assert placed["b"].start != PAGE


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_is_not_placed(size: int) -> None:
    with pytest.raises(PlanError):
        place([Request(name="a", size=size)], RangeSet([Range(start=0, end=PAGE)]))
