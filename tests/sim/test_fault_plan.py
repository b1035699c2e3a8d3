"""Plans: what they say, whom they hit and that they repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import HOUR, MINUTE, SECOND
from tradebot.errors import ConfigError
from tradebot.sim.fault_data import UnknownFields
from tradebot.sim.fault_kinds import Banned, Dropped, ExecutedDropped, Html, Latency, Limited, Refused, SlowBody
from tradebot.sim.fault_market import Holes, PartialFill, Skew
from tradebot.sim.fault_plan import REMEMBERED, Plan, open_plan, parse_plan, parse_spec
from tradebot.sim.faults import Call, Outcome, Wire

NOW = 1_700_000_000_000
ORDER = Call("POST", "/api/v3/order", "ETHUSDT")
KLINES = Call("GET", "/api/v3/klines", "BTCUSDT")
PING = Call("GET", "/api/v3/ping")


def struck(plan: Plan, *calls: Call, now: int = NOW) -> list[bool]:
    return [plan.meet(call, now) is not None for call in calls]


def test_an_empty_plan_hits_nothing() -> None:
    assert Plan().meet(ORDER, NOW) is None
    assert not Plan().shut(NOW)


@pytest.mark.parametrize(
    ("keys", "hit"),
    [
        ({}, [True, True, True]),
        ({"path": "/api/v3/order"}, [True, False, False]),
        ({"path": "order"}, [True, False, False]),
        ({"path": "*/k*"}, [False, True, False]),
        ({"path": "rder"}, [False, False, False]),
        ({"method": "get"}, [False, True, True]),
        ({"symbol": "ETHUSDT,BTCUSDT"}, [True, True, False]),
        ({"symbol": ["BTCUSDT"], "method": "GET"}, [False, True, False]),
        ({"nth": 2}, [False, True, False]),
        ({"nth": 2, "times": 5}, [False, True, True]),
        ({"times": 2}, [True, True, False]),
        ({"rate": 0}, [False, False, False]),
    ],
)
def test_it_hits_such_requests_as_its_keys_say(keys: dict[str, Any], hit: list[bool]) -> None:
    assert struck(Plan([Dropped(**keys)]), ORDER, KLINES, PING) == hit


def test_times_are_the_venues_and_the_end_is_not_included() -> None:
    plan = Plan([Dropped(since=NOW, until=NOW + SECOND)])
    assert [struck(plan, ORDER, now=at) == [True] for at in (NOW - 1, NOW, NOW + SECOND - 1, NOW + SECOND)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_the_first_that_decides_is_enacted_and_the_others_add_to_it() -> None:
    faults = [Latency(ms=5), Html(), Dropped(), Latency(ms=2), SlowBody(pieces=3, pause_ms=7), UnknownFields()]
    outcome = Plan(faults).meet(ORDER, NOW)
    assert outcome is not None
    assert outcome.reply is not None
    assert b"<html>" in outcome.reply.body
    assert (outcome.delay_ms, outcome.pieces, outcome.pause_ms, len(outcome.edits)) == (7, 3, 7, 1)
    assert outcome.wire is Wire.WHOLE


def test_what_decides_later_is_no_hit_but_goes_on_counting() -> None:
    plan = Plan([Html(nth=1), Dropped(nth=2)])
    assert struck(plan, ORDER, ORDER, ORDER) == [True, True, False]
    assert [(hit.fault, hit.kind, hit.request, hit.executed) for hit in plan.hits] == [
        (1, "html", 1, False), (2, "dropped", 2, False),
    ]  # fmt: skip


def test_a_hit_tells_the_request_and_whether_it_reached_the_exchange() -> None:
    plan = Plan([Latency(path="klines"), ExecutedDropped(path="order")])
    struck(plan, PING, ORDER, KLINES)
    hits = [(hit.request, hit.time, hit.method, hit.path, hit.symbol, hit.executed) for hit in plan.hits]
    assert hits == [(2, NOW, "POST", ORDER.path, "ETHUSDT", True), (3, NOW, "GET", KLINES.path, "BTCUSDT", True)]


def test_hits_are_remembered_but_not_without_end() -> None:
    plan = Plan([Latency()])
    for _ in range(REMEMBERED + 5):
        plan.meet(PING, NOW)
    assert (len(plan.hits), plan.hits[0].request) == (REMEMBERED, 6)


def test_a_ban_holds_for_all_requests_until_its_end_in_venue_time() -> None:
    plan = Plan([Banned(seconds=60, path="klines", nth=1)])
    assert struck(plan, ORDER) == [False]
    assert struck(plan, KLINES) == [True]
    assert struck(plan, ORDER, PING, now=NOW + MINUTE - 1) == [True, True]
    assert struck(plan, ORDER, KLINES, now=NOW + MINUTE) == [False, False]
    outcome = Plan([Banned(seconds=60)]).meet(ORDER, NOW)
    assert outcome is not None
    assert outcome.reply is not None
    assert ("retry-after", "60") in outcome.reply.headers
    assert f"until {NOW + MINUTE}".encode() in outcome.reply.body


def test_a_ban_goes_before_whatever_else_would_decide() -> None:
    plan = Plan([Html(), Banned(seconds=60, path="klines", nth=1), Dropped()])
    for call, kind in ((ORDER, "html"), (KLINES, "html"), (ORDER, "html")):
        plan.meet(call, NOW)
        assert plan.hits[-1].kind == kind
    plan = Plan([Html(nth=2, times=9), Banned(seconds=60, nth=1)])
    struck(plan, ORDER, ORDER)
    assert [hit.kind for hit in plan.hits] == ["banned", "banned"]
    struck(plan, ORDER, now=NOW + MINUTE)
    assert plan.hits[-1].kind == "html"


def test_a_ban_counts_down() -> None:
    plan = Plan([Banned(seconds=60)])
    plan.meet(PING, NOW)
    outcome = plan.meet(PING, NOW + 30_500)
    assert outcome is not None
    assert outcome.reply is not None
    assert dict(outcome.reply.headers)["retry-after"] == "30"


def test_the_door_is_shut_by_time_alone() -> None:
    plan = Plan([Refused(since=NOW, until=NOW + SECOND), Refused(path="order"), Limited()])
    assert [plan.shut(at) for at in (NOW - 1, NOW, NOW + SECOND)] == [False, True, False]
    assert plan.document()["faults"][0]["struck"] == 0, "nothing was asked"


def test_the_door_is_shut_for_so_many_real_ms_and_then_not_again() -> None:
    plan = Plan([Refused(ms=0.001)])
    assert plan.shut(NOW)
    while plan.shut(NOW):
        pass
    assert not plan.shut(NOW)
    assert plan.meet(PING, NOW) is None


def test_a_request_that_is_refused_shuts_the_door_behind_it() -> None:
    plan = Plan([Refused(ms=1000, path="order", nth=1)])
    assert not plan.shut(NOW)
    assert struck(plan, PING, ORDER, PING) == [False, True, True]
    assert plan.shut(NOW)


def test_another_plan_begins_anew_and_whoever_listens_is_told() -> None:
    plan, told = Plan([Dropped(nth=1)], seed=1), []
    plan.changed.append(lambda: told.append(plan.seed))
    struck(plan, ORDER)
    plan.replace([Dropped(nth=1), Skew(ms=5)], seed=2)
    assert told == [2]
    assert plan.requests == 0
    assert not plan.hits
    assert struck(plan, ORDER) == [True]
    assert plan.skewed


def test_clock_faults_add_up_and_drift_begins_with_them() -> None:
    plan = Plan([Skew(ms=100), Skew(drift_ms=60, since=NOW), Skew(ms=-1000, until=NOW)])
    assert [plan.skew(at) for at in (NOW - 1, NOW, NOW + HOUR // 2, NOW + 2 * HOUR)] == [-900, 100, 130, 220]


def test_of_several_partial_fills_the_least_holds() -> None:
    plan = Plan([PartialFill(share=0.5), PartialFill(share=0.2, symbol="A"), PartialFill(share=0, until=NOW)])
    assert [float(plan.liquidity(symbol, NOW)) for symbol in "AB"] == [0.2, 0.5]
    assert Plan().liquidity("A", NOW) == 1


FAULTS = st.lists(
    st.builds(
        lambda kind, rate, times: kind(rate=rate, times=times),
        st.sampled_from([Latency, Dropped, Html, ExecutedDropped, SlowBody]),
        st.floats(0, 1),
        st.integers(0, 3),
    ),
    max_size=4,
)


def told(outcome: Outcome | None) -> object:
    return None if outcome is None else (outcome.executed, outcome.delay_ms, outcome.wire, outcome.reply)


@settings(max_examples=60, deadline=None)
@given(FAULTS, st.integers(0, 2**32), st.lists(st.sampled_from([ORDER, KLINES, PING]), max_size=30))
def test_the_same_seed_and_requests_meet_the_same_faults(faults: Any, seed: int, calls: list[Call]) -> None:
    one, other = Plan(faults, seed=seed), Plan(faults, seed=seed)
    first = [told(one.meet(call, NOW + at)) for at, call in enumerate(calls)]
    assert first == [told(other.meet(call, NOW + at)) for at, call in enumerate(calls)]
    assert one.hits == other.hits
    one.replace(faults, seed=seed)
    assert first == [told(one.meet(call, NOW + at)) for at, call in enumerate(calls)]


def test_a_rate_is_kept_and_another_seed_hits_others() -> None:
    plans = [Plan([Dropped(rate=0.3), Latency(jitter_ms=100)], seed=seed) for seed in (1, 2)]
    first, second = ([hit.executed for hit in _all(plan) if hit.kind == "dropped"] for plan in plans)
    assert 250 < len(first) < 350
    hit = [{hit.request for hit in plan.hits if hit.kind == "dropped"} for plan in plans]
    assert hit[0] != hit[1]
    assert len(second) != 0


def _all(plan: Plan) -> Any:
    for _ in range(1000):
        plan.meet(ORDER, NOW)
    return plan.hits


def test_jitter_differs_from_request_to_request() -> None:
    plan = Plan([Latency(ms=10, jitter_ms=5)])
    delays = {outcome.delay_ms for outcome in (plan.meet(PING, NOW) for _ in range(50)) if outcome}
    assert len(delays) == 50
    assert all(10 <= delay < 15 for delay in delays)


def test_a_file_and_the_command_line_make_one_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text("seed = 9\n[[fault]]\nkind = 'holes'\nsince = 2018-01-20T00:00:00Z\nsymbol = ['A', 'B']\n")
    plan = open_plan(str(file), ["latency ms=5 path=klines", "refused until=2018-01-20"])
    assert plan.seed == 9
    assert plan.faults == (
        Holes(since=1_516_406_400_000, symbol=("A", "B")),
        Latency(ms=5, path="klines"),
        Refused(until=1_516_406_400_000),
    )
    assert plan.market == plan.faults[:1]


def test_a_plan_tells_itself_as_json_and_is_read_again() -> None:
    plan = Plan([Latency(ms=5, since=NOW), Holes(symbol=("A",), rate=0.5)], seed=3)
    plan.meet(KLINES, NOW)
    document = plan.document()
    assert document["faults"][0] == {"kind": "latency", "ms": 5.0, "since": NOW, "seen": 1, "struck": 1}
    assert document["hits"][0]["path"] == "/api/v3/klines"
    entries = [{k: v for k, v in row.items() if k not in ("seen", "struck")} for row in document["faults"]]
    assert parse_plan({"seed": 3, "fault": entries}, "again") == (list(plan.faults), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeed = 1", "plan.toml: unknown key 'seeed'; did you mean 'seed'?"),
        ("seed = -1", "plan.toml: seed = -1: write a whole number from 0 on"),
        ("seed = ", "plan.toml: not valid TOML"),
        ("fault = 3", "plan.toml: fault: write each one as a table under [[fault]]"),
        ("[[fault]]\nms = 3", "plan.toml: fault 1: no kind; known: "),
        ("[[fault]]\nkind='html'\n[[fault]]\nkind='latncy'", "fault 2: unknown fault 'latncy'; did you mean 'lat"),
        ("[[fault]]\nkind = 'latency'\nmss = 3", "fault 1 (latency): unknown key 'mss'; did you mean 'ms'?"),
        ("[[fault]]\nkind = 'latency'\nms = 'x'", "fault 1 (latency): ms = 'x': input should be a valid number"),
        ("[[fault]]\nkind = 'latency'\nsince = 5", "fault 1 (latency): since = 5: '5' is not a time in milliseconds"),
        ("[[fault]]\nkind = 'holes'\npath = 'x'", "fault 1 (holes): unknown key 'path'; known: interval, rate"),
        ("[[fault]]\nkind = 'holes'\ninterval = '7m'", "fault 1 (holes): interval = '7m': no such interval; known: 1s"),
        ("[[fault]]\nkind = 'skew'\ndrift_ms = 3", "fault 1 (skew): drift_ms needs since: from when on?"),
        ("[[fault]]\nkind='html'\nsince = 2018-01-02\nuntil = 2018-01-01", "fault 1 (html): until is not after since"),
        ("[[fault]]\nkind = 'unavailable'\nexecuted = true", "is answered 'unavailable' was certainly not executed"),
    ],
)  # fmt: skip
def test_a_malformed_plan_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        open_plan(str(file))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "--fault '': unknown fault ''"),
        ("latency 5", "--fault 'latency 5': '5' is not key=value"),
        ("latency kind=html", "--fault 'latency kind=html': 'kind=html' is not key=value"),
        ("latency 'ms=5", "--fault 'latency 'ms=5': No closing quotation; write it as 'latency ms=20'"),
        ("truncated share=1", "--fault 'truncated share=1' (truncated): share = '1': input should be less than 1"),
    ],
)
def test_a_malformed_option_is_one_clear_line(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spec(spec)
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nosuch.toml: No such file"):
        open_plan(str(tmp_path / "nosuch.toml"))
