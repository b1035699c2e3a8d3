"""One process at a time trades from a data folder."""

from __future__ import annotations

import pytest

from tradebot.errors import Locked, TradingError
from tradebot.lock import alone, lock_is_free

from .conftest import MakeSettings


def test_who_comes_second_is_told_to_come_back(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with alone(settings):
        assert not lock_is_free(settings)
        with pytest.raises(Locked, match="another tradebot run holds"), alone(settings):
            pass
    assert lock_is_free(settings)


def test_other_data_folders_are_free(make_settings: MakeSettings, tmp_path: object) -> None:
    with alone(make_settings()):
        assert lock_is_free(make_settings(data_dir=f"{tmp_path}/other"))


def test_the_lock_is_given_back_whatever_happens(make_settings: MakeSettings) -> None:
    with pytest.raises(ZeroDivisionError), alone(make_settings()):
        raise ZeroDivisionError
    assert lock_is_free(make_settings())


def test_no_lock_no_orders(make_settings: MakeSettings) -> None:
    settings = make_settings()
    (settings.data_path / "lock").mkdir()
    with pytest.raises(TradingError, match="no lock, no orders"), alone(settings):
        pass
