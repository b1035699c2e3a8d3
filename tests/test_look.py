"""What a look has seen, and when."""

from __future__ import annotations

from tradebot.look import Watch


def test_a_watch_counts_from_a_stages_first_start_to_its_last_end() -> None:
    watch = Watch()
    with watch("fetch"), watch("analyze"):
        pass
    with watch("analyze"):
        pass
    stages = watch.stages
    assert set(stages) == {"scan", "fetch", "analyze", "predict", "execute", "monitor"}
    assert stages["execute"] == 0.0
    assert 0 < stages["analyze"] <= watch.total_ms
    assert stages["fetch"] <= watch.total_ms
