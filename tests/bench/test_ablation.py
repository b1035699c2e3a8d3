"""The loop with one of its ideas turned off."""

from __future__ import annotations

from tradebot.bench.ablation import IDEAS, Variant
from tradebot.loop import Loop


def test_every_idea_of_the_design_can_be_turned_off_and_the_whole_is_the_first() -> None:
    assert list(IDEAS) == [
        "all four", "asynchronous pipeline", "persistent worker pool", "incremental klines", "one batch on ONNX"
    ]  # fmt: skip
    assert IDEAS["all four"].loop is Variant


def test_a_variant_changes_one_thing_and_is_the_same_loop_otherwise() -> None:
    for idea in IDEAS.values():
        assert issubclass(idea.loop, Loop)
        assert len(vars(idea.loop).keys() & {"begin", "_pipeline"}) <= 2
        assert 10 < len(idea.text) <= 60
