"""The file of the trading state is whole from the moment it has its name, and never comes back empty."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tradebot.errors import TradebotError
from tradebot.trading.state_file import APPLICATION, SCHEMA, opened


def test_a_file_is_made_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    database = opened(tmp_path / "state.db")
    assert database.rows("PRAGMA application_id") == [(APPLICATION,)]
    assert database.rows("PRAGMA user_version") == [(len(SCHEMA),)]
    tables = {name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"events", "orders", "positions", "fills", "payments"}
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"], "nothing of the draft is left"
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_one_that_is_there_keeps_what_it_holds_and_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = opened(path)
    first.execute("INSERT INTO events (account, time, kind, body) VALUES ('a', 1, 'k', '{}')")
    first.close()
    path.chmod(0o644)
    again = opened(path)
    assert again.rows("SELECT account, time FROM events") == [("a", 1)]
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_several_that_make_it_at_once_all_have_the_same_one(tmp_path: Path) -> None:
    path, errors = tmp_path / "state.db", list[BaseException]()

    def add(number: int) -> None:
        try:
            database = opened(path)
            database.execute("INSERT INTO events (account, time, kind, body) VALUES ('a', ?, 'k', '{}')", (number,))
            database.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    database = opened(path)
    assert database.rows("SELECT time FROM events ORDER BY time") == [(number,) for number in range(8)]
    database.close()


def test_a_place_where_none_can_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TradebotError, match=r"state\.db"):
        opened(tmp_path / "nowhere" / "state.db")
