"""The kill switch: whatever its file holds, nothing is entered while it is there."""

from __future__ import annotations

import json

import pytest
from dealing import MINUTE, START
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import TradingError
from tradebot.trading.halt import LONGEST, NAME, Halt, Switch, halt

PULLED = Halt("weekend", "me@here", 1_516_406_400_000)


class TestTheSwitch:
    def test_is_off_without_its_file(self, tmp_path):
        assert Switch(tmp_path).state() is None

    def test_is_on_for_every_process_until_it_is_released(self, tmp_path):
        assert Switch(tmp_path).pull(PULLED) == PULLED == Switch(tmp_path).state()
        assert Switch(tmp_path).release() == PULLED
        assert Switch(tmp_path).state() is None
        assert Switch(tmp_path).release() is None

    def test_says_who_when_and_why(self):
        assert str(PULLED) == "stopped since 2018-01-20 00:00:00 by me@here: weekend"

    def test_does_not_forget_that_all_is_to_be_left(self, tmp_path):
        switch = Switch(tmp_path)
        switch.pull(halt("now", "me", flatten=True))
        assert switch.pull(PULLED).flatten

    @given(st.text(max_size=2 * LONGEST), st.text(max_size=20), st.integers(0, 10**13), st.booleans())
    def test_reads_what_it_wrote(self, tmp_path_factory, reason, who, since, flatten):
        switch = Switch(tmp_path_factory.mktemp("data"))
        written = switch.pull(Halt(reason, who, since, flatten))
        assert switch.state() == written
        assert written.reason == " ".join(reason.split())[:LONGEST]

    @given(st.binary(max_size=300))
    def test_is_on_whatever_its_file_holds(self, tmp_path_factory, content):
        folder = tmp_path_factory.mktemp("data")
        (folder / NAME).write_bytes(content)
        found = Switch(folder).state()
        assert found is not None
        assert found.reason

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is there"),
            (b"back on monday\n", "back on monday"),
            (b'{"schema": 1, "reason": "x", "who"', "is damaged"),
            (b'{"reason": 1, "who": "me", "since": 0, "flatten": false}', "is damaged"),
            (b'{"reason": "x", "who": "me", "since": 1e300, "flatten": true}', "is damaged"),
            (b"\0\0\0\0", "is damaged"),
            (b"\xff\xfe", "is damaged"),
        ],
    )
    def test_tells_what_it_can_of_a_file_that_it_has_not_written(self, tmp_path, content, reason):
        (tmp_path / NAME).write_bytes(content)
        found = Switch(tmp_path).state()
        assert found.reason.endswith(reason)
        assert (found.who, found.flatten) == ("unknown", False)

    def test_is_on_when_it_cannot_be_read_and_says_when_it_cannot_be_removed(self, tmp_path):
        (tmp_path / NAME).mkdir()
        assert "cannot be read" in Switch(tmp_path).state().reason
        with pytest.raises(TradingError, match="remove it by hand"):
            Switch(tmp_path).release()
        with pytest.raises(TradingError, match="the trading is not stopped"):
            Switch(tmp_path).pull(PULLED)
        assert [each.name for each in tmp_path.iterdir()] == [NAME], "nothing half written is left"

    def test_is_written_for_people_too(self, tmp_path):
        Switch(tmp_path).pull(PULLED)
        assert json.loads((tmp_path / NAME).read_text())["reason"] == "weekend"


class TestADesk:
    async def test_enters_nothing_and_leaves_what_is_due_while_it_is_on(self, office):
        desk = office()
        await desk.buy("AUSDT")
        desk.desk.switch.pull(PULLED)
        orders, skipped = await desk.buy("BUSDT", bar=START + MINUTE)
        assert orders == []
        assert skipped == {
            "BUSDT": "stopped since 2018-01-20 00:00:00 by me@here: weekend; `tradebot stop --release` ends that"
        }
        assert desk.state("AUSDT") == "open"
        desk.price("AUSDT", "90")
        assert [order.intent for order in await desk.monitor()] == ["stop-loss"]

    async def test_enters_again_once_it_is_released(self, office):
        desk = office()
        desk.desk.switch.pull(PULLED)
        assert (await desk.buy("AUSDT"))[0] == []
        desk.desk.switch.release()
        assert [order.state for order in (await desk.buy("AUSDT"))[0]] == ["FILLED"]

    async def test_leaves_all_that_is_held_in_every_beat_until_it_is_gone(self, office):
        desk = office()
        await desk.buy("AUSDT", "BUSDT")
        desk.desk.switch.pull(halt("out", "me", flatten=True))
        desk.broker.script.extend(["reject", "fill"])
        await desk.monitor()
        assert [desk.state(name) == "open" for name in ("AUSDT", "BUSDT")].count(True) == 1
        desk.restart()
        await desk.monitor()
        assert {desk.state("AUSDT"), desk.state("BUSDT")} <= {"dust", None}
        assert await desk.monitor() == []
