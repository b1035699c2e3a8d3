"""Progress that nobody looks at."""

from __future__ import annotations

from tradebot.progress import Progress, unseen


def test_it_takes_what_work_tells_and_needs_nobody() -> None:
    tell: Progress = unseen
    for done in range(3):
        tell("fetch", done, 3)
