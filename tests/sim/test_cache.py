from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim.cache import Cache


def test_what_was_put_comes_back() -> None:
    cache: Cache[str] = Cache(10)
    assert cache.put("a", "x", 4) == "x"
    assert cache.get("a") == "x"
    assert cache.get("b") is None


def test_the_least_recently_used_leaves_first() -> None:
    cache: Cache[str] = Cache(10)
    cache.put("a", "1", 4)
    cache.put("b", "2", 4)
    cache.get("a")
    cache.put("c", "3", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("1", None, "3")


def test_a_new_value_takes_the_place_of_the_old_one() -> None:
    cache: Cache[str] = Cache(10)
    cache.put("a", "1", 8)
    cache.put("a", "2", 3)
    assert (cache.get("a"), cache.size, len(cache)) == ("2", 3, 1)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=60))
def test_it_never_holds_more_than_its_limit(puts: list[tuple[int, int]]) -> None:
    cache: Cache[int] = Cache(20)
    held: dict[int, int] = {}
    for name, size in puts:
        cache.put(name, size, size)
        held[name] = size
        assert cache.size <= 20
        assert cache.size == sum(size for name, size in held.items() if cache.get(name) is not None)


def test_looking_whether_something_is_there_does_not_count_as_use() -> None:
    cache: Cache[str] = Cache(2)
    cache.put("a", "x", 1)
    cache.put("b", "y", 1)
    assert "a" in cache
    cache.put("c", "z", 1)
    assert "a" not in cache
