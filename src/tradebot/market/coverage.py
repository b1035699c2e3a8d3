"""Which stretches of a series are known: disjoint spans of open times and their algebra.

A span `(since, newest)` says that from one open time to the other (UTC ms, both inclusive) everything
that the venue has is stored; a bar missing inside is missing at the venue. History may be fetched for
an old time while the newest bars are held too, so a series has a sorted list of them. Two spans
between which no bar fits are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

Span: TypeAlias = tuple[int, int]


class Coverage(NamedTuple):
    """What is stored of a series, as open times (UTC ms).

    No bar is older than `first`. From `since` to `newest` the store holds everything that the venue
    has: the last span, the only one that a live refresh looks at. `older` are the spans before it.
    """

    first: int
    since: int
    newest: int
    older: tuple[Span, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans, oldest first."""
        return (*self.older, (self.since, self.newest))


def joined(spans: Iterable[Span], step: int) -> tuple[Span, ...]:
    """Sorted and disjoint spans of all that `spans` cover; `step` is the length of a bar in ms."""
    out: list[Span] = []
    for since, newest in sorted(spans):
        if out and since <= out[-1][1] + step:
            out[-1] = (out[-1][0], max(out[-1][1], newest))
        else:
            out.append((since, newest))
    return tuple(out)


def without(spans: Iterable[Span], start: int, stop: int, step: int) -> tuple[Span, ...]:
    """What is left when the bars with `start <= open time < stop` are forgotten; both lie on the grid."""
    parts = [
        part for since, newest in spans for part in ((since, min(newest, start - step)), (max(since, stop), newest))
    ]
    return tuple(sorted({(since, newest) for since, newest in parts if since <= newest}))


def missing(spans: Iterable[Span], start: int, end: int, step: int) -> tuple[Span, ...]:
    """The stretches of the open times `start` to `end` that no span (sorted, disjoint) covers."""
    holes, cursor = [], start
    for since, newest in spans:
        if since > cursor:
            holes.append((cursor, min(end, since - step)))
        cursor = max(cursor, newest + step)
    holes.append((cursor, end))
    return tuple((a, b) for a, b in holes if a <= b)


def merged(one: Coverage, other: Coverage, step: int) -> Coverage:
    """What both know together."""
    return _covering(min(one.first, other.first), (*one.spans, *other.spans), step)


def followed(past: Coverage, now: Coverage, step: int) -> Coverage:
    """`now`, found out with `past` in view, and what `past` knew of the time up to `now.newest`.

    What lies after that was another run of a simulated venue, or this one before its clock was set back.
    """
    kept = [(since, min(newest, now.newest)) for since, newest in past.spans if since <= now.newest]
    return _covering(min(past.first, now.first), (*kept, *now.spans), step)


def _covering(first: int, spans: Iterable[Span], step: int) -> Coverage:
    *older, last = joined(spans, step)
    return Coverage(first, *last, tuple(older))


def reduced(coverage: Coverage, start: int, stop: int, step: int) -> Coverage | None:
    """What is left of a coverage `without` some bars; None if that is nothing."""
    spans = without(coverage.spans, start, stop, step)
    if not spans:
        return None
    first = max(coverage.first, stop) if start <= coverage.first else coverage.first
    return _covering(first, spans, step)
