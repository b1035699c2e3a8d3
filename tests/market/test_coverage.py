"""Spans of open times behave as the sets of grid bars that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.coverage import Coverage, Span, followed, joined, merged, missing, reduced, without

STEP = 10
moments = st.integers(0, 60).map(lambda place: place * STEP)
spans = st.lists(st.tuples(moments, moments).map(sorted).map(tuple), max_size=6)


@st.composite
def coverages(draw: st.DrawFn) -> Coverage:
    parts = joined(draw(spans.filter(bool)), STEP)
    first = draw(st.integers(0, parts[0][0] // STEP)) * STEP
    return Coverage(first, *parts[-1], parts[:-1])


def bars(parts: Iterable[Span]) -> set[int]:
    return {moment for since, newest in parts for moment in range(since, newest + 1, STEP)}


def tidy(parts: tuple[Span, ...]) -> bool:
    """Sorted, none empty, and a bar between any two."""
    return all(a <= b for a, b in parts) and all(b + STEP < c for (_, b), (c, _) in pairwise(parts))


@given(spans)
def test_joined_spans_cover_the_same_bars_and_are_tidy(parts: list[Span]) -> None:
    assert bars(joined(parts, STEP)) == bars(parts)
    assert tidy(joined(parts, STEP))


@given(spans, moments, moments)
def test_what_is_forgotten_is_covered_no_more(parts: list[Span], start: int, stop: int) -> None:
    left = without(joined(parts, STEP), start, stop, STEP)
    assert bars(left) == {bar for bar in bars(parts) if not start <= bar < stop}
    assert tidy(left) or start >= stop


@given(spans, moments, moments)
def test_what_is_missing_is_all_that_is_not_covered(parts: list[Span], start: int, end: int) -> None:
    holes = missing(joined(parts, STEP), start, end, STEP)
    assert bars(holes) == set(range(start, end + 1, STEP)) - bars(parts)
    assert tidy(holes)


@given(spans, moments, moments)
def test_fetching_what_is_missing_leaves_nothing_missing(parts: list[Span], start: int, end: int) -> None:
    known = joined(parts, STEP)
    after = joined((*known, *missing(known, start, end, STEP)), STEP)
    assert missing(after, start, end, STEP) == ()


@given(coverages(), coverages())
def test_two_processes_know_together_what_each_knew(one: Coverage, other: Coverage) -> None:
    both = merged(one, other, STEP)
    assert bars(both.spans) == bars(one.spans) | bars(other.spans)
    assert both == merged(other, one, STEP)
    assert both.first == min(one.first, other.first)
    assert tidy(both.spans)


@given(coverages(), coverages())
def test_what_lies_after_the_present_is_forgotten(past: Coverage, now: Coverage) -> None:
    after = followed(past, now, STEP)
    assert after.newest == now.newest
    assert bars(after.spans) == {bar for bar in bars(past.spans) if bar <= now.newest} | bars(now.spans)


@given(coverages(), moments, moments)
def test_a_reduced_coverage_claims_nothing_of_what_is_gone(one: Coverage, start: int, stop: int) -> None:
    left = reduced(one, start, stop, STEP)
    rest = {bar for bar in bars(one.spans) if not start <= bar < stop}
    assert bars(left.spans if left else ()) == rest
    assert left is None or left.first <= min(rest)


def test_neighbours_become_one_and_strangers_do_not() -> None:
    assert joined([(20, 30), (0, 10)], STEP) == ((0, 30),)
    assert joined([(21, 30), (0, 10)], STEP) == ((0, 10), (21, 30))


def test_the_last_span_is_the_one_that_a_live_refresh_sees() -> None:
    both = merged(Coverage(0, 0, 10), Coverage(50, 50, 60), STEP)
    assert (both.first, both.since, both.newest, both.older) == (0, 50, 60, ((0, 10),))
    assert both.spans == ((0, 10), (50, 60))
