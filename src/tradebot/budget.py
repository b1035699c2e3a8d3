"""The latency budget of a cycle: which stages took longer than they may, and who was slow. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

TOTAL = "total"
NAMED = 3


def broken(stages: Mapping[str, float], total_ms: float, budget_ms: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Stages over their budget, each with the ms that it took; `total` is the whole cycle. No budget is no limit."""
    for stage, took in {**stages, TOTAL: total_ms}.items():
        if took > budget_ms.get(stage, float("inf")):
            yield stage, took


def told(stage: str, took_ms: float, limit_ms: float, waits: Mapping[str, float]) -> str:
    """In words, with the slowest of `waits`: ms by symbol."""
    slowest = sorted(waits, key=lambda symbol: -waits[symbol])[:NAMED]
    named = ", ".join(f"{symbol} {waits[symbol]:.0f} ms" for symbol in slowest)
    return f"{stage} took {took_ms:.0f} ms, its budget is {limit_ms:g} ms" + (f"; slowest: {named}" if named else "")


def missed(count: int, doubts: Sequence[str] = ()) -> Sequence[str]:
    """What to say of cycles that were left out, before `doubts` of the venue's clock, which then are the reason."""
    why = "" if doubts else ": the one before took too long"
    return [f"{count} cycle{'s' * (count > 1)} missed{why}"] if count else []
