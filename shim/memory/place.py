"""Where everything goes. Pure interval arithmetic: bytes, physical addresses."""

from __future__ import annotations

from shim.errors import PlanError
from shim.ranges import Range, RangeSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shim.model import Request

PAGE = 4096


def place(requests: Sequence[Request], free: RangeSet) -> dict[str, Range]:
    """Choose an address for every request.

    Returns ranges by the requests' names: disjoint, inside `free`, starting at a multiple of `alignment`, whole pages
    long. Requests that are fixed are placed first, the others in the order given.
    Raises PlanError with the request that did not fit and the largest hole left.
    """
    placed: dict[str, Range] = {}
    for request in sorted(requests, key=lambda request: request.fixed is None):
        if request.name in placed:
            raise PlanError("two requests for memory have one name", name=request.name)
        chosen = _place_one(request, free)
        placed[request.name] = chosen
        free = free.remove(chosen)
    return {request.name: placed[request.name] for request in requests}


def _place_one(request: Request, free: RangeSet) -> Range:
    size = _pages(request.size)
    if request.fixed is not None:
        return _exactly(request, request.fixed, size, free)
    if request.preferred is not None and request.preferred % request.alignment == 0:
        wanted = Range.sized(request.preferred, size)
        if free.contains(wanted) and request.low <= wanted.start and wanted.end <= request.high:
            return wanted
    window = free.clip(Range(start=request.low, end=request.high)) if request.low < request.high else RangeSet()
    holes = list(window)
    for hole in reversed(holes) if request.top else holes:
        start = _start_in(hole, size, request.alignment, request.top)
        if start is not None:
            return Range.sized(start, size)
    largest = window.largest
    raise PlanError("no room in memory", name=request.name, size=size, alignment=request.alignment,
                    low_address=request.low, high_address=request.high,
                    largest_hole=str(largest) if largest else "none")


def _exactly(request: Request, start: int, size: int, free: RangeSet) -> Range:
    wanted = Range.sized(start, size)
    if start % PAGE == 0 and free.contains(wanted):
        return wanted
    largest = free.largest
    raise PlanError("the only place for it is not free", name=request.name, wanted=str(wanted),
                    largest_hole=str(largest) if largest else "none")


def _start_in(hole: Range, size: int, alignment: int, top: bool) -> int | None:
    """Return the lowest (or highest) aligned start of `size` bytes inside a hole, None when there is none."""
    if top:
        start = (hole.end - size) // alignment * alignment
        return start if start >= hole.start else None
    start = -(-hole.start // alignment) * alignment
    return start if start + size <= hole.end else None


def _pages(size: int) -> int:
    if size <= 0:
        raise PlanError("a request for no memory", size=size)
    return -(-size // PAGE) * PAGE
