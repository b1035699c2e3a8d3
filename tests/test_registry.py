"""Registries: names to entries."""

from __future__ import annotations

import pytest

from tradebot.errors import UnknownName
from tradebot.registry import Registry


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    registry.register("red")(1)
    registry.register("green")(2)
    return registry


def test_an_entry_is_found_by_its_name(colours: Registry[int]) -> None:
    assert colours["green"] == 2


def test_registering_returns_the_entry_so_that_it_can_decorate() -> None:
    registry: Registry[object] = Registry("thing")
    thing = object()
    assert registry.register("it")(thing) is thing


def test_entries_come_in_the_order_of_registration(colours: Registry[int]) -> None:
    assert list(colours) == ["red", "green"]
    assert len(colours) == 2
    assert "red" in colours
    assert "blue" not in colours


def test_a_second_entry_of_one_name_is_a_programming_error(colours: Registry[int]) -> None:
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.register("red")(3)
    assert colours["red"] == 1


def test_an_unknown_name_is_answered_with_the_nearest_one(colours: Registry[int]) -> None:
    with pytest.raises(UnknownName, match="unknown colour 'gren'; did you mean 'green'"):
        colours["gren"]
