from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim import noise

INDEX = np.arange(-5_000, 200_000, dtype=np.int64)


def test_a_key_depends_on_the_seed_and_on_every_name() -> None:
    keys = {
        noise.key(1),
        noise.key(2),
        noise.key(1, "a"),
        noise.key(1, "b"),
        noise.key(1, "a", "b"),
        noise.key(1, "ab"),
    }
    assert len(keys) == 6
    assert noise.key(1, "a") == noise.key(1, "a")


def test_bits_are_splitmix64() -> None:
    """The published generator seeded with 0 gives these words first (Vigna's reference code)."""
    words = noise.bits(0, np.array([1, 2, 3]))
    assert [hex(word) for word in words.tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_lanes_are_the_four_parts_of_a_word() -> None:
    word = np.array([0x1111_2222_3333_4444], np.uint64)
    assert [int(noise.lane(word, place)[0]) for place in range(4)] == [0x4444, 0x3333, 0x2222, 0x1111]


@given(st.integers(-(2**40), 2**40))
def test_a_word_is_that_of_the_arrays(first: int) -> None:
    stream, places = noise.key(5, "x"), range(first, first + 50)
    assert [noise.word(stream, place) for place in places] == noise.bits(stream, np.array(places)).tolist()


def test_normals_have_mean_zero_and_variance_one() -> None:
    values = noise.normals(noise.key(1, "x"), INDEX)
    assert abs(values.mean()) < 0.01
    assert values.std() == pytest.approx(1, abs=0.01)
    assert np.abs(values).max() < 3.5
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.01


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=50))
def test_exp2_is_a_power_of_two_to_twelve_places(exponents: list[float]) -> None:
    x = np.array(exponents)
    np.testing.assert_allclose(noise.exp2(x), 2.0**x, rtol=1e-11)


OCTAVES = noise.ValueNoise({1: 0.3, 4: 0.5, 16: 0.7})


def made(pattern: noise.Pattern, stream: int, index: np.ndarray) -> np.ndarray:
    return noise.sample([(pattern, np.array([[stream]], np.uint64), index[None])])[0][0]


@given(st.integers(-10_000, 10_000), st.integers(1, 60))
def test_value_noise_and_wandering_have_the_same_bytes_in_any_range(first: int, length: int) -> None:
    whole = np.arange(first - 7, first + length + 3, dtype=np.int64)
    part = whole[7 : 7 + length]
    for pattern in (OCTAVES, noise.Wander()):
        assert made(pattern, 9, part).tobytes() == made(pattern, 9, whole)[7 : 7 + length].tobytes()


def test_patterns_have_the_same_bytes_alone_and_together() -> None:
    streams, index = np.array([[9], [8]], np.uint64), np.array([[5, 6, 7], [-3, 200, 17]])
    together = noise.sample([(OCTAVES, streams, index), (noise.Wander(), streams + np.uint64(1), index[:, :2])])
    for row in range(2):
        assert together[0][row].tobytes() == made(OCTAVES, int(streams[row, 0]), index[row]).tobytes()
        assert together[1][row].tobytes() == made(noise.Wander(), int(streams[row, 0]) + 1, index[row, :2]).tobytes()


def test_value_noise_is_a_straight_line_between_its_random_numbers() -> None:
    values = made(noise.ValueNoise({16: 1.0}), 9, np.arange(0, 33, dtype=np.int64))
    np.testing.assert_allclose(np.diff(values[:17], 2), 0, atol=1e-12)
    np.testing.assert_array_equal(values[::16], noise.normals(9, np.arange(3)))
    assert abs(values[16] - values[0]) > 0.01


def test_wandering_has_brownian_steps_but_never_strays() -> None:
    path = made(noise.Wander(), noise.key(3, "level"), INDEX)
    steps = np.diff(path)
    assert steps.std() == pytest.approx(1, abs=0.05)
    assert (path[16:] - path[:-16]).std() == pytest.approx(4, abs=0.3)
    assert np.abs(path).max() < 80
