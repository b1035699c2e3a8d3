from __future__ import annotations

from dataclasses import replace

from exchanging import NOW, D

from futures.test_conditional import STOP
from futures.test_ledger import ORDER
from tradebot.market.venue import Side
from tradebot.sim.futures import replies
from tradebot.sim.futures.ledger import Entry, Income, Trade
from tradebot.sim.futures.positions import PositionSide, Terms

FILLED = replace(ORDER, order_id=7, executed=D("0.1"), quote_executed=D("3999.99999999"), status="FILLED")


def test_average_and_amount_are_for_queries_alone() -> None:
    assert not replies.placed(FILLED, "RESULT").keys() & {"avgPrice", "cumQuote", "time"}
    assert replies.queried(FILLED)["avgPrice"] == "39999.99999990"
    assert replies.queried(FILLED)["cumQuote"] == "3999.99999999"
    assert replies.queried(ORDER)["avgPrice"] == "0.00000000"


def test_an_acknowledgement_tells_a_new_order() -> None:
    told = replies.placed(FILLED, "ACK")
    assert (told["status"], told["executedQty"]) == ("NEW", "0.00000000")
    assert replies.placed(FILLED, "RESULT")["status"] == "FILLED"


def test_what_was_a_stop_is_told_as_one() -> None:
    assert replies.order(FILLED)["origType"] == "LIMIT"
    assert replies.order(replace(FILLED, original_type="STOP"))["origType"] == "STOP"


def test_only_trailing_stops_tell_a_callback_rate() -> None:
    assert "callbackRate" not in replies.algo(STOP)
    trailing = replies.algo(replace(STOP, callback=D("0.5"), activation=D(41_000)))
    assert (trailing["callbackRate"], trailing["activatePrice"]) == ("0.5", "41000.00000000")


def test_the_order_that_a_stop_became_is_told_as_text() -> None:
    assert replies.algo(STOP)["actualOrderId"] == ""
    assert replies.algo(replace(STOP, order_id=12))["actualOrderId"] == "12"


def test_a_cancelled_stop_has_its_code_as_text() -> None:
    told = replies.algo_canceled(STOP)
    assert (told["code"], told["clientAlgoId"]) == ("200", "s")


def test_a_trade_tells_its_profit_and_both_ends() -> None:
    both = PositionSide.BOTH
    fill = Trade(3, "BTCUSDT", 7, Side.SELL, both, D(40_000), D("0.1"), D(4000), D(-5), D(2), NOW, True)
    told = replies.trade(fill, "USDT")
    assert (told["realizedPnl"], told["commission"], told["commissionAsset"]) == ("-5.00000000", "2.00000000", "USDT")
    assert (told["buyer"], told["maker"], told["side"]) == (False, True, "SELL")


def test_income_tells_its_trade_where_there_is_one() -> None:
    entry = Entry(1, "BTCUSDT", Income.FUNDING, D("-0.1"), NOW)
    assert replies.income(entry, "USDT")["tradeId"] == ""
    told = replies.income(replace(entry, kind=Income.COMMISSION, trade_id=3), "USDT")
    assert (told["incomeType"], told["income"], told["tradeId"]) == ("COMMISSION", "-0.10000000", "3")


def test_terms_are_told_in_the_words_of_the_venue() -> None:
    told = replies.config(Terms("BTCUSDT", 7, isolated=True))
    assert (told["leverage"], told["marginType"]) == (7, "ISOLATED")
