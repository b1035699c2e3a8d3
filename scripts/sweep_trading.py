"""kill -9 at every step of an order: `python scripts/sweep_trading.py [--short] [--tale NAME]`.

A process of its own trades one symbol at a simulated exchange that is served by another (`sim serve`, stepped
clock, prices minute by minute from a file) and is killed with SIGKILL: within each write of the journal, before and
after it, and before and after each request that changes something at the venue. The steps are found by running:
the first run dies at the first, the next one at the second, until one survives. Then another process opens
what is left, compares, and does what the loop does until everything is over; it may come back at once or minutes
later. Each tale is the life of a position: how it is entered, protected, watched and left; on spot, or as a
contract on margin, long or short, with its stop and target at the algo service.

What must be so: no order is taken twice; what was not at the venue when the process died never gets there later;
what was there is booked to the last digit, and nothing else; results with fees and funding are what the wallet
gained; nobody holds, for more than two cycles, what
should have a stop at the venue and has none; nothing is left in the end but dust. Anything else ends it with 6.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tradebot.clock import MINUTE, SECOND, SteppedClock, format_time
from tradebot.config import Settings
from tradebot.errors import Regression
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.futures import FuturesClient
from tradebot.market.venue import ZERO, Balance, Instrument, Side
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET, sign
from tradebot.trading.desk import Desk
from tradebot.trading.facts import Fact
from tradebot.trading.journal import Journal
from tradebot.trading.orders import MADE_BY_VENUE, Duty, OrderState, Outcome, quantize, refusal
from tradebot.trading.positions import PositionState
from tradebot.trading.reckoning import brought
from tradebot.trading.reconcile import Reconciliation
from tradebot.trading.results import results
from tradebot.trading.risk import Prediction

D = Decimal
SYMBOL, BASE = "ABCUSDT", "ABC"
ACCOUNT = "sweep"
BEGIN = 1_516_406_400_000  # 2018-01-20
PERIOD, FUNDING = 40, 480  # minutes from the begin of a run to that of the next, or from funding to funding
RUNS = 250  # at most, of one tale
WITHIN = 30 * SECOND  # of a minute, when its cycle is made
BARE, SETTLE = 2, 5  # cycles without a stop that are allowed; cycles after a restart, at least
LATE = 8 * MINUTE  # after which every third process comes back
STRIDE, FEW = 23, ("flatten", "ladder", "limit", "short")  # --short dies at one in so many steps of these
STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT", "STOP_MARKET", "STOP")
START = D(10_000)  # in a new account
MANY = 1000  # rows of a page
CALM = {"daily_loss": 0, "drawdown": 0, "cool_down_s": 0, "max_losses": 0, "max_bar_age": 0}
ENDED_BY_US = -signal.SIGKILL


@dataclass(frozen=True)
class Tale:
    """Prices of a run, a minute each, and how it is traded; what is still held in the last minute is closed by hand."""

    prices: tuple[str, ...]
    trading: dict[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    side: Side | None = None
    """That of a contract; None on spot."""
    early: int = 0
    """Minutes before funding at which each run begins; 0: somewhere."""
    until: int = 0
    """Minutes of each run in which its faults hold; 0: all."""

    @property
    def venue(self) -> str:
        """Where it happens."""
        return "binance" if self.side is None else "binance-usdm"

    @property
    def period(self) -> int:
        """Minutes from the begin of a run to that of the next."""
        return FUNDING if self.early else PERIOD

    def begin(self, run: int) -> int:
        """When a run begins."""
        return BEGIN + (run * self.period - self.early) * MINUTE

    def plan(self, run: int) -> dict[str, Any]:
        """Its faults in a run."""
        words = [spec.split() for spec in self.faults]
        ends = {"until": self.begin(run) + self.until * MINUTE} if self.until else {}
        return {"fault": [{"kind": kind, **dict(word.split("=") for word in rest), **ends} for kind, *rest in words]}

    @property
    def settings(self) -> Settings:
        """What its processes are told."""
        return Settings.model_validate({"trading": self.trading, "risk": CALM})

    def price(self, minute: int) -> str:
        """Of a minute of a run; the last one stays."""
        return self.prices[min(minute, len(self.prices) - 1)]


TALES = {
    "target": Tale(("100.01", "101", "102", "103.5", "103.5")),
    "stop": Tale(("100.01", "99", "97.5", "97.5")),
    "flatten": Tale(("100.01", "100.5", "101")),
    "trail": Tale(("100.01", "101", "102", "103", "104", "102.5", "102.5"), {"trail": "0.01", "take_profit": "0.2"}),
    "ladder": Tale(
        ("100.01", "101.5", "101.5", "102.5", "101"), {"ladder": ["0.01:0.5", "0.02:0.3"], "break_even_after": "0.01"}
    ),
    "limit": Tale(("100.01", "100.1", "100.2", "99.9", "100", "97"), {"entry": "limit", "entry_seconds": 300}),
    "part": Tale(("100.01", "100.5", "101"), faults=("partial-fill share=0.3",)),
    "time": Tale(("100.01", "100.5", "100.4", "100.6", "100.5"), {"max_hold_s": 170}),
    "watched": Tale(("100.01", "101", "97.5", "97.5"), {"protect": "monitor"}),
    "long": Tale(("100.01", "101", "102", "103.5", "103.5"), side=Side.BUY),
    "short": Tale(("100.01", "99", "98", "96.5", "96.5"), side=Side.SELL),
    "long-stop": Tale(("100.01", "99", "97.5", "97.5"), side=Side.BUY),
    "short-stop": Tale(("100.01", "101", "102.5", "102.5"), side=Side.SELL),
    "short-flatten": Tale(("100.01", "99.5", "99"), side=Side.SELL),
    "short-part": Tale(("100.01", "99.5", "99"), faults=("partial-fill share=0.3",), side=Side.SELL, until=4),
    "long-resize": Tale(
        ("100.01", "100.1", "99.9", "99.8", "100", "99.7", "97"), {"entry": "limit", "entry_seconds": 300},
        ("partial-fill share=0.4",), Side.BUY, until=6,
    ),
    "short-ladder": Tale(
        ("100.01", "98.5", "98.5", "97.5", "99"),
        {"ladder": ["0.01:0.5", "0.02:0.3"], "break_even_after": "0.01"}, side=Side.SELL,
    ),
    "short-trail": Tale(
        ("100.01", "99", "98", "97", "96", "97.5", "97.5"), {"trail": "0.01", "take_profit": "0.2"}, side=Side.SELL
    ),
    "funding": Tale(("100.01", "100.5", "100.4", "100.6", "100.7"), {"leverage": 3}, side=Side.BUY, early=2),
    "liquidated": Tale(("100.01", "100.5", "80", "80"), {"protect": "monitor", "leverage": 10}, side=Side.BUY),
}  # fmt: skip


# -- one process


class Reaper:
    """Kills this process at step `last`; None lets it live. Counts the steps."""

    def __init__(self, last: int | None) -> None:
        self.last, self.steps = last, 0

    def step(self) -> None:
        """One more step."""
        if self.steps == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1


class MortalJournal(Journal):
    """A journal that dies before a write, within it, and when it is on disk."""

    reaper = Reaper(None)
    _begun = True

    def record(self, account: str, time: int, *facts: Fact) -> None:
        """Write."""
        self._begun = False
        self.reaper.step()
        super().record(account, time, *facts)
        self.reaper.step()

    def secure(self) -> None:
        """Have it on disk."""
        self.reaper.step()
        super().secure()
        self.reaper.step()

    def _project(self, account: str, time: int, fact: Fact) -> bool:
        new = super()._project(account, time, fact)
        if not self._begun:
            self._begun = True
            self.reaper.step()
        return new


class Mortal(httpx.AsyncBaseTransport):
    """The network; who uses it dies before a request that changes something is sent, and when the reply is there."""

    def __init__(self, reaper: Reaper) -> None:
        self._inner, self._reaper = httpx.AsyncHTTPTransport(verify=False), reaper

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply, read whole."""
        changes = request.method != "GET" and "/sim/" not in request.url.path
        if changes:
            self._reaper.step()
        response = await self._inner.handle_async_request(request)
        await response.aread()
        if changes:
            self._reaper.step()
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class Trader:
    """A process that trades a run from wherever the venue's clock is until it is over."""

    def __init__(self, url: str, path: Path, tale: Tale, begun: int, reaper: Reaper) -> None:
        self.tale, self.begun = tale, begun
        self.clock = SteppedClock(begun)
        client = BinanceClient if tale.side is None else FuturesClient
        self.client = client(
            VENUES[tale.venue], clock=self.clock, base_url=url, transport=Mortal(reaper), retries=0,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET),
        )  # fmt: skip
        self.journal = MortalJournal(path)
        self.journal.reaper = reaper
        self.bare = 0

    async def live(self) -> None:
        """Compare, then a cycle a minute."""
        async with self.client:
            self.clock.advance(await self.client.sim_now())
            if isinstance(self.client, FuturesClient):
                await self.client.prepare(self.tale.settings.trading.leverage)
            rules = dict(await self.client.instruments())
            desk = Desk(self.client, self.journal, self.clock, self.tale.settings, rules, "USDT", ACCOUNT)
            comparison = Reconciliation(
                self.client, self.journal, self.clock, ACCOUNT, instruments=rules, every_s=300
            )  # fmt: skip
            await desk.reconcile()
            first = (self.clock.now() - self.begun) // MINUTE
            for minute in range(first, first + PERIOD):
                await self._cycle(desk, comparison, minute)
                self._is_guarded(await self._held(), rules[SYMBOL], await self._guarded(), minute)
                if minute >= max(len(self.tale.prices), first + SETTLE) and self._is_over(desk):
                    break
            self.journal.close()

    def _is_over(self, desk: Desk) -> bool:
        return all(each.state is PositionState.DUST for each in desk.positions())

    async def _cycle(self, desk: Desk, comparison: Reconciliation, minute: int) -> None:
        self.clock.advance(await self.client.sim_advance(self.begun + minute * MINUTE + WITHIN))
        marks, side = await self.client.prices(), self.tale.side or Side.BUY
        await desk.monitor(marks)
        if comparison.due:
            await comparison.compare([SYMBOL])
        if comparison.refusal(SYMBOL) is None:
            await desk.enter([Prediction(SYMBOL, side, self.begun, 0.9, 0.5)], marks, 0.5)
        if minute >= len(self.tale.prices) - 1:
            await desk.close(SYMBOL, marks)

    async def _held(self) -> Decimal:
        coin = BASE if self.tale.side is None else SYMBOL
        return abs((await self.client.balances()).get(coin, Balance()).total)

    async def _guarded(self) -> Decimal:
        there = await self.client.open_orders()
        return sum((each.quantity - each.executed for each in there if each.type in STOPS), ZERO)

    def _is_guarded(self, held: Decimal, rules: Instrument, guarded: Decimal, minute: int) -> None:
        """Count cycles in which something that should have a stop at the venue had none."""
        price = D(self.tale.price(minute)) * D("0.97")
        rules = replace(rules, min_notional=ZERO) if rules.contract else rules
        lacking = quantize(rules, held - guarded, price)
        watched = self.tale.settings.trading.protect == "monitor"
        self.bare = 0 if watched or refusal(rules, lacking, price) else self.bare + 1
        if self.bare > BARE:
            raise Regression(f"minute {minute}: {held} held, {guarded} of it with a stop")


def apart(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Do it in a process of its own: 0, or minus the signal that ended it; `Regression` for anything else."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(work())
            code = 0
        except BaseException:  # the process ends here, and says why
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in {0, ENDED_BY_US}:
        raise Regression(f"a process ended with {code}")
    return code


# -- the venue


def write_prices(folder: Path, tale: Tale) -> None:
    """A file of minutes in which every run of the tale finds the same prices."""
    lines = ["open_time,open,high,low,close,volume"]
    for minute in range(RUNS * tale.period):
        price = tale.price(minute % tale.period)
        lines.append(f"{tale.begin(0) + minute * MINUTE},{price},{price},{price},{price},5000.001")
    (folder / f"{SYMBOL}-1m.csv").write_text("\n".join(lines) + "\n")


@contextmanager
def served(folder: Path, tale: Tale) -> Iterator[str]:
    """The address of an exchange that plays the tale, in a process of its own."""
    klines = folder / "klines"
    klines.mkdir()
    write_prices(klines, tale)
    command = [
        sys.executable, "-m", "tradebot", "sim", "serve", "--json", "--port", "0", "--clock", "stepped",
        "--at", format_time(tale.begin(0)), "--klines", str(klines), "--data-dir", str(folder),
        *(("--fault", "latency ms=0") if tale.faults else ()),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


class Truth:
    """What the exchange has done, by its own log: orders by name, how often a name was taken, and trades."""

    def __init__(self, url: str) -> None:
        events = httpx.get(f"{url}/sim/log", timeout=30).raise_for_status().json()
        self.orders: dict[str, dict[str, Any]] = {}
        self.numbers: Counter[str] = Counter()
        for name, number in {(each["clientOrderId"], each["orderId"]) for each in events}:
            self.numbers[name] += bool(number)
        for each in events:
            self.orders[each["clientOrderId"]] = each
        self._trades = [each["trade"] for each in events if "trade" in each]
        self.booked = {trade["id"] for trade in self._trades}

    @property
    def held(self) -> Decimal:
        """What trades and their fees have left of the coin."""
        return self._net(BASE)

    @property
    def gained(self) -> Decimal:
        """What they did to the wallet."""
        return self._net("USDT")

    def _net(self, coin: str) -> Decimal:
        total = ZERO
        for trade in self._trades:
            way = 1 if trade["isBuyer"] else -1
            total += way * D(trade["qty"]) if coin == BASE else -way * D(trade["quoteQty"])
            total -= D(trade["commission"]) if trade["commissionAsset"] == coin else ZERO
        return total


class ContractTruth(Truth):
    """The same of an account of contracts, by its lists; an algo order is what it has become."""

    def __init__(self, url: str) -> None:
        self._url = url
        plain, algos = self._listed("allOrders", "orderId"), self._listed("allAlgoOrders", "algoId")
        became = {str(each["orderId"]): each for each in plain}
        own = [each for each in plain if each["origType"] == each["type"]]  # of no algo order
        self.numbers = Counter([*(each["clientOrderId"] for each in own), *(each["clientAlgoId"] for each in algos)])
        waited = {
            each["clientAlgoId"]: became.get(each["actualOrderId"], {"status": each["algoStatus"], "executedQty": "0"})
            for each in algos
        }
        self.orders = {_told(each): each for each in own} | waited
        trades = httpx.get(f"{url}/sim/log/usdm", timeout=30).raise_for_status().json()
        self.booked = {trade["id"] for trade in trades}

    @property
    def held(self) -> Decimal:
        """What the venue says is held, below 0 for a short."""
        return sum((D(each["positionAmt"]) for each in self._asked("v3/positionRisk")), ZERO)

    @property
    def gained(self) -> Decimal:
        """What the wallet has more than in the beginning."""
        return D(self._asked("v3/balance")[0]["balance"]) - START

    def _listed(self, path: str, number: str) -> list[dict[str, Any]]:
        """All rows, page by page."""
        rows: list[dict[str, Any]] = []
        while len(rows) % MANY == 0:
            last = {number: rows[-1][number] + 1} if rows else {number: 1}
            page = self._asked(f"v1/{path}", symbol=SYMBOL, limit=MANY, **last)
            rows += page
            if not page:
                break
        return rows

    def _asked(self, path: str, **parameters: Any) -> Any:
        now = httpx.get(f"{self._url}/sim/clock").raise_for_status().json()["now"]
        query = urlencode(parameters | {"timestamp": now})
        url = f"{self._url}/fapi/{path}?{query}&signature={sign(PAPER_SECRET, query.encode())}"
        return httpx.get(url, headers={"X-MBX-APIKEY": PAPER_KEY}, timeout=30).raise_for_status().json()


def _told(order: dict[str, Any]) -> str:
    """The name of an order in the journal: the venue's own ones get their number too."""
    name: str = order["clientOrderId"]
    return f"{name}/{order['orderId']}" if name.startswith(MADE_BY_VENUE) else name


# -- the sweep


class Sweep:
    """One tale, run after run, on one journal and one venue."""

    def __init__(self, url: str, folder: Path, tale: Tale) -> None:
        self.url, self.path, self.tale = url, folder / "state.db", tale
        self.counts: Counter[str] = Counter()

    def dies(self, run: int, step: int) -> bool:
        """A run whose first process dies at a step, if it has so many; whether it did."""
        begun = self.tale.begin(run)
        if self.tale.faults:
            httpx.post(f"{self.url}/sim/faults", json=self.tale.plan(run)).raise_for_status()
        self._move(begun)
        died = self._live(begun, step) == ENDED_BY_US
        if died:
            left, then = self._orders(), self._truth()
            self.counts["killed"] += 1
            if step % 3 == 2:
                self._move(self._now() + LATE)
                self.counts["came back late"] += 1
            self._live(begun, None)
            self._is_final(left, then)
        self._agrees()
        return died

    def _truth(self) -> Truth:
        return Truth(self.url) if self.tale.side is None else ContractTruth(self.url)

    def _live(self, begun: int, step: int | None) -> int:
        return apart(lambda: Trader(self.url, self.path, self.tale, begun, Reaper(step)).live())

    def _now(self) -> int:
        return int(httpx.get(f"{self.url}/sim/clock").raise_for_status().json()["now"])

    def _move(self, moment: int) -> None:
        httpx.post(f"{self.url}/sim/clock", json={"now": moment}).raise_for_status()

    def _orders(self) -> dict[str, Outcome]:
        with Journal(self.path) as journal:
            return {order.client_id: order for order in journal.orders(ACCOUNT)}

    def _is_final(self, left: dict[str, Outcome], then: Truth) -> None:
        """What a dead process left is at the venue if it was, and is not if it was not."""
        now, orders = self._truth(), self._orders()
        for name, order in left.items():
            if not order.settled:
                where = "at the venue" if name in then.orders else "not at the venue"
                self.counts[f"{order.duty} {order.state}, {where}"] += 1
            if name not in then.orders and name in now.orders:
                raise Regression(f"{name} ({order.intent}) was {order.state} and not sent, and was sent later")
            if name in then.orders and orders[name].state is OrderState.ABANDONED:
                raise Regression(f"{name} ({order.intent}) was at the venue and is abandoned")

    def _agrees(self) -> None:
        """The journal tells what the exchange did, all of it and no more."""
        truth = self._truth()
        if twice := [name for name, often in truth.numbers.items() if often > 1]:
            raise Regression(f"taken twice: {twice}")
        if waiting := [name for name, each in truth.orders.items() if each["status"] in {"NEW", "PARTIALLY_FILLED"}]:
            raise Regression(f"still waiting at the venue: {waiting}")
        with Journal(self.path) as journal:
            self._orders_agree(journal, truth)
            self._amounts_agree(journal, truth)
            rows = journal.rows()
            journal.rebuild()
            if journal.rows() != rows:
                raise Regression("the rows do not follow from the facts")

    def _orders_agree(self, journal: Journal, truth: Truth) -> None:
        orders = {order.client_id: order for order in journal.orders(ACCOUNT)}
        if strangers := truth.orders.keys() - orders.keys():
            raise Regression(f"orders that the journal does not know: {strangers}")
        for name, order in orders.items():
            there = truth.orders.get(name)
            executed = D(there["executedQty"]) if there else ZERO
            if not order.settled or order.executed != executed:
                raise Regression(f"{name} ({order.intent}): {order.state}, {order.executed} executed; {there}")
        if journal.booked(ACCOUNT, SYMBOL) != truth.booked:
            raise Regression("trades are lost or booked twice")
        bought: Counter[int] = Counter()
        meant: dict[int, Decimal] = {}
        for order in (each for each in orders.values() if each.duty is Duty.ENTRY):
            bought[order.bar_time] += order.executed  # type: ignore[assignment]
            meant[order.bar_time] = max(order.quantity, meant.get(order.bar_time, ZERO))
        if many := [bar for bar, quantity in bought.items() if quantity > meant[bar]]:
            raise Regression(f"more bought than was meant: {many}")

    def _amounts_agree(self, journal: Journal, truth: Truth) -> None:
        held = journal.positions(ACCOUNT)
        if left := [f"{each.quantity} {each.state}" for each in held if each.state is not PositionState.DUST]:
            raise Regression(f"still held: {left}")
        amount = sum((each.sign * each.quantity for each in held), ZERO)
        if amount != truth.held:
            raise Regression(f"{amount} held by the journal, {truth.held} by the exchange")
        gained = sum((brought(each) for each in [*held, *journal.history(ACCOUNT)]), ZERO)
        dust = sum((each.open_cost for each in held), ZERO)
        if not gained == truth.gained == sum((each.realized for each in results(journal, ACCOUNT)), -dust):
            raise Regression(f"{gained} gained by the journal, {truth.gained} by the exchange")
        if doubts := journal.audit(ACCOUNT).doubts:
            raise Regression(f"in doubt: {doubts}")


def swept(name: str, tale: Tale, stride: int) -> Counter[str]:
    """Kill at every `stride`th step of a tale until a run survives; what happened, how often."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), tale) as url:
        sweep, step = Sweep(url, Path(folder), tale), 0
        try:
            for run in range(RUNS):
                if not sweep.dies(run, step):
                    sweep.counts["runs survived"] += 1
                    return sweep.counts
                step += stride
        except Regression as error:
            raise Regression(f"tale {name}, killed at step {step}: {error}") from error
    raise Regression(f"tale {name}: no run of {RUNS} survives")


def main() -> int:
    """The sweep; 0, or 6 with the tale and step that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tale", action="append", choices=TALES, help="only this one; may be repeated")
    parser.add_argument("--short", action="store_true", help=f"die at every {STRIDE}th step of {', '.join(FEW)}")
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    for name in asked.tale or (FEW if asked.short else TALES):
        begun = time.monotonic()
        try:
            found = swept(name, TALES[name], STRIDE if asked.short else 1)
        except Regression as error:
            print(error, file=sys.stderr)
            return error.exit_code
        print(f"{name}: {found['killed']} steps, killed at each, {time.monotonic() - begun:.0f} s", flush=True)
        counts += found
    for what, often in sorted(counts.items()):
        print(f"  {what}: {often}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
