"""Where settings come from: layers, files, variables, messages."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tradebot.clock import parse_time
from tradebot.config import Settings, inherited_environment, leaves, load
from tradebot.config.loading import RENAMED, find_file, merge, nest
from tradebot.errors import ConfigError, UnknownName, UsageError


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a config.toml, and a home without one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def settings(
    text: str = "", options: Mapping[str, tuple[str, Any]] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    Path("config.toml").write_text(text, encoding="utf-8")
    return load(None, options, environ or {})


def complaint(*args: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(*args)
    return str(caught.value)


def test_without_anything_the_built_in_defaults_hold() -> None:
    assert load(None, None, {}) == Settings()
    assert Settings().market.intervals == ("5m", "15m", "1h")


def test_each_source_wins_over_the_one_before() -> None:
    text = "[venue]\nname = 'file'\nretries = 1\nconnections = 7"
    environ = {"TRADEBOT_VENUE__NAME": "environment", "TRADEBOT_VENUE__RETRIES": "2"}
    venue = settings(text, {"venue.name": ("--venue", "option")}, environ).venue
    assert (venue.name, venue.retries, venue.connections) == ("option", 2, 7)


def test_an_option_that_was_not_given_changes_nothing() -> None:
    assert settings("[venue]\nname = 'x'", {"venue.name": ("--venue", None)}).venue.name == "x"


def test_the_data_folder_has_a_variable_of_its_own() -> None:
    assert settings("", None, {"TRADEBOT_DATA_DIR": "/x"}).data_dir == "/x"


def test_lists_and_decimals_can_be_written_as_text() -> None:
    environ = {"TRADEBOT_UNIVERSE__SYMBOLS": "ADABTC, ETHBTC", "TRADEBOT_TRADING__FRACTION": "0.25"}
    found = settings("", None, environ)
    assert found.universe.symbols == ("ADABTC", "ETHBTC")
    assert found.trading.fraction == Decimal("0.25")


def test_parameters_of_a_strategy_are_a_table_of_their_own() -> None:
    assert settings("[strategy.parameters]\nfast = 5").strategy.parameters == {"fast": 5.0}


def test_an_unknown_key_is_answered_with_the_nearest_right_name() -> None:
    assert complaint("[venue]\nnmae = 'x'") == "config.toml: unknown key 'venue.nmae'; did you mean 'name'?"


def test_a_key_of_before_is_answered_with_what_it_is_now() -> None:
    said = "config.toml: unknown key 'run.max_bar_age_s'; it is risk.max_bar_age, in bars of the finest interval, now"
    assert complaint("[run]\nmax_bar_age_s = 60") == said
    known = dict(leaves())
    assert not RENAMED.keys() & known.keys()
    assert all(new.split(",")[0] in known for new in RENAMED.values())


def test_an_unknown_table_is_named() -> None:
    assert complaint("[venu]\nname = 'x'") == "config.toml: unknown key 'venu'; did you mean 'venue'?"


def test_an_unknown_variable_is_named() -> None:
    message = complaint("", None, {"TRADEBOT_VENUE__NMAE": "x"})
    assert message == "$TRADEBOT_VENUE__NMAE: unknown key 'venue.nmae'; did you mean 'name'?"


@pytest.mark.parametrize(
    ("given", "source"),
    [
        (("[venue]\nretries = 99",), "config.toml: venue.retries = 99: "),
        (("", None, {"TRADEBOT_VENUE__RETRIES": "99"}), "$TRADEBOT_VENUE__RETRIES: venue.retries = '99': "),
        (("", {"venue.retries": ("--tries", 99)}), "--tries: venue.retries = 99: "),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_its_source(given: tuple[Any, ...], source: str) -> None:
    assert complaint(*given) == source + "input should be less than or equal to 10"


def test_a_bad_time_keeps_its_key() -> None:
    message = complaint("", {"sim.at": ("--at", "tomorrow")})
    assert message == "--at: sim.at = 'tomorrow': 'tomorrow' is not a time; write it as 2018-01-20T00:00:00Z"
    assert settings("[sim]\nat = '2018-01-20'").sim.at == "2018-01-20"


def test_the_source_named_is_the_one_that_won() -> None:
    message = complaint("[venue]\nretries = 5", None, {"TRADEBOT_VENUE__RETRIES": "many"})
    assert message.startswith("$TRADEBOT_VENUE__RETRIES: venue.retries = 'many'")


def test_a_file_that_is_not_toml_is_an_error_with_its_place() -> None:
    message = complaint("[venue\nname = 1")
    assert message.startswith("config.toml: not valid TOML: ")
    assert "line 1" in message


def test_a_file_may_begin_with_a_mark_and_have_the_line_ends_of_windows() -> None:
    Path("config.toml").write_bytes(b"\xef\xbb\xbf[venue]\r\nname = 'x'\r\n")
    assert load(None, None, {}).venue.name == "x"


def test_a_file_in_another_encoding_is_named_with_the_line() -> None:
    Path("config.toml").write_bytes(b"[venue]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"^config\.toml line 2: is not UTF-8; save the file in that encoding$"):
        load(None, None, {})


@pytest.mark.parametrize("at", ["2018-01-20", "2018-01-20T00:00:00", "2018-01-20T00:00:00Z"])
def test_a_time_may_be_one_of_toml(at: str) -> None:
    assert parse_time(settings(f"[sim]\nat = {at}").sim.at) == 1_516_406_400_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("venue = 5",), "config.toml: venue = 5: is a section; set one of its keys, as venue.name"),
        (("", {"run.budget_ms": ("--set x", "{a=1}")}),
         "--set x: run.budget_ms = '{a=1}': is a table; set one of its keys, as run.budget_ms.NAME"),
    ],
)  # fmt: skip
def test_a_value_in_place_of_a_section_is_answered_with_how_to_write_it(given: tuple[Any, ...], said: str) -> None:
    assert complaint(*given) == said


def test_a_wrong_name_in_a_table_is_found_where_it_stands() -> None:
    message = complaint("[run]\nbudget_ms = { fetsch = 5 }", {"data_dir": ("--data-dir", "/x")})
    assert message.startswith("config.toml: unknown key 'run.budget_ms.fetsch': input should be 'scan', 'fetch'")


def test_a_file_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"no configuration file away\.toml"):
        load("away.toml", None, {})
    with pytest.raises(ConfigError, match=r"no configuration file gone\.toml"):
        load(None, None, {"TRADEBOT_CONFIG": "gone.toml"})


def test_files_are_looked_for_from_the_nearest_to_the_users(tmp_path: Path) -> None:
    users = tmp_path / "xdg" / "tradebot" / "config.toml"
    users.parent.mkdir(parents=True)
    users.touch()
    found = find_file(None, {})
    assert found is None or found.name == "config.toml"  # macOS keeps it elsewhere
    Path("config.toml").touch()
    assert find_file(None, {}) == Path("config.toml")
    Path("mine.toml").touch()
    assert find_file(None, {"TRADEBOT_CONFIG": "mine.toml"}) == Path("mine.toml")
    assert find_file("config.toml", {"TRADEBOT_CONFIG": "mine.toml"}) == Path("config.toml")


def test_dotted_keys_become_tables_and_tables_are_laid_on_each_other() -> None:
    tree = merge(nest({"a.b": 1, "a.c": 2}), nest({"a.c": 3, "d": 4}))
    assert tree == {"a": {"b": 1, "c": 3}, "d": 4}


def test_another_process_can_be_given_an_environment_without_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEBOT_SIM__SEED", "7")
    monkeypatch.setenv("OTHER", "kept")
    assert inherited_environment()["OTHER"] == "kept"
    assert "TRADEBOT_SIM__SEED" not in inherited_environment()


def blamed(found: Settings, key: str) -> str:
    with pytest.raises(UnknownName) as caught, found.blaming(key):
        raise UnknownName("unknown thing 'x'")
    return str(caught.value)


def test_what_others_find_wrong_is_told_with_key_and_source() -> None:
    text = "[venue]\nname = 'x'\n[strategy.parameters]\nstrength = 2"
    options = {"strategy.name": ("--strategy", "x"), "market.intervals": ("--intervals", None)}
    found = settings(text, options, {"TRADEBOT_UNIVERSE__QUOTE": "x"})
    assert blamed(found, "venue.name") == "config.toml: venue.name: unknown thing 'x'"
    assert blamed(found, "strategy.parameters") == "config.toml: strategy.parameters: unknown thing 'x'"
    assert blamed(found, "strategy.name") == "--strategy: strategy.name: unknown thing 'x'"
    assert blamed(found, "universe.quote") == "$TRADEBOT_UNIVERSE__QUOTE: universe.quote: unknown thing 'x'"
    assert blamed(found, "market.intervals") == "unknown thing 'x'", "a default is nobody's mistake"


def test_only_the_asked_for_kind_of_error_is_told_so() -> None:
    found = settings("[venue]\nname = 'x'")
    with pytest.raises(UsageError, match=r"^else$"), found.blaming("venue.name", UnknownName):
        raise UsageError("else")


def test_trouble_of_a_whole_section_does_not_repeat_the_section() -> None:
    told = complaint("[venue]\nbase_url = 'http://venue.test'")
    assert told == "config.toml: venue: the built-in venue 'sim' has no address; add --venue binance"
