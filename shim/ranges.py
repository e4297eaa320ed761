"""Half-open intervals of integers and sorted sets of them. Pure arithmetic; nothing wraps, nothing is rounded."""

from __future__ import annotations

from shim.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Range(Value):
    """The integers from `start` up to, not including, `end`. Never empty, never negative."""

    start: int
    end: int

    def check(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"no range: {self.start:#x}..{self.end:#x}")

    @classmethod
    def sized(cls, start: int, size: int) -> Range:
        """Make the range of `size` integers from `start`."""
        return cls(start=start, end=start + size)

    @property
    def size(self) -> int:
        return self.end - self.start

    def overlaps(self, other: Range) -> bool:
        return self.start < other.end and other.start < self.end

    def contains(self, other: Range) -> bool:
        return self.start <= other.start and other.end <= self.end

    def __str__(self) -> str:
        return f"{self.start:#x}..{self.end:#x}"


class RangeSet:
    """Disjoint ranges in ascending order; ranges that touch are joined. Immutable."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        joined: list[Range] = []
        for item in sorted(ranges, key=lambda r: r.start):
            if joined and item.start <= joined[-1].end:
                if item.end > joined[-1].end:
                    joined[-1] = Range(start=joined[-1].start, end=item.end)
            else:
                joined.append(item)
        self.ranges = tuple(joined)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.ranges)

    def __len__(self) -> int:
        return len(self.ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __repr__(self) -> str:
        return f"RangeSet({', '.join(map(str, self.ranges))})"

    @property
    def size(self) -> int:
        return sum(item.size for item in self.ranges)

    @property
    def largest(self) -> Range | None:
        """The largest range, the lowest among equals; None when the set is empty."""
        return max(self.ranges, key=lambda r: r.size, default=None)

    def contains(self, wanted: Range) -> bool:
        return any(item.contains(wanted) for item in self.ranges)

    def add(self, *extra: Range) -> RangeSet:
        return RangeSet((*self.ranges, *extra))

    def remove(self, *holes: Range) -> RangeSet:
        """Return the set without the integers of `holes`."""
        kept = list(self.ranges)
        for hole in holes:
            rest: list[Range] = []
            for item in kept:
                if not item.overlaps(hole):
                    rest.append(item)
                    continue
                if item.start < hole.start:
                    rest.append(Range(start=item.start, end=hole.start))
                if hole.end < item.end:
                    rest.append(Range(start=hole.end, end=item.end))
            kept = rest
        return RangeSet(kept)

    def clip(self, window: Range) -> RangeSet:
        """Return the part of the set that lies inside `window`."""
        return RangeSet(
            Range(start=max(item.start, window.start), end=min(item.end, window.end))
            for item in self.ranges
            if item.overlaps(window)
        )
