"""Orders and positions under every fault that is known: `python scripts/soak_trading.py [--runs N] [--seed N] [--day]`.

A desk trades three symbols, in every third run contracts, long and short, at the simulated exchange, in
process, for 20 cycles of a stepped clock. Prices wander, requests of orders and of the account meet
faults, somebody else on the account takes orders away, and in some cycles the process dies: at a write of
the journal, or before or after a request was carried out; another one then opens the file. The settings
are drawn too: how positions are entered, protected and left.

All along no more may be sold than was bought (the account holds coins that are not the bot's) and no
contract be held the other way than it was entered, no order may be taken twice, and no position may be
without a stop for more than two cycles in a row, a minute or more apart, in which the venue answered
everything, had takers for what was to be left, and nobody died. In the end the faults stop, and within four
more cycles the journal must agree with the exchange to the last digit: trades, positions and money; its rows
must follow from its facts. Anything else, or an error that is none of ours, ends it with 6 and names the run.

With --day each run is a day of 1,440 cycles in which one request in twenty goes wrong and nobody dies. In
the end equity, at marks of one instant, and realised results are what the exchange's balances say.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tradebot.clock import HOUR, MINUTE, SECOND, SteppedClock
from tradebot.config import Settings
from tradebot.errors import MarketError, Regression, TradebotError
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.futures import FuturesClient
from tradebot.market.venue import ZERO, Instrument, OrderType, Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.books import Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.fault_plan import Plan, parse_spec
from tradebot.sim.fault_prices import FaultyPrices
from tradebot.sim.fault_transport import FaultTransport
from tradebot.sim.futures.algo import Algos
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import ALGOS, ORDERS, TRADES
from tradebot.sim.prices import Marked
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal
from tradebot.trading.orders import quantize, refusal
from tradebot.trading.positions import PositionState
from tradebot.trading.reckoning import brought
from tradebot.trading.results import results
from tradebot.trading.risk import Prediction

D = Decimal
CYCLES, QUIET = 20, 4
DAY, DAY_RATE = 1_440, 0.05
RECKLESS = {"daily_loss": 0, "drawdown": 0, "max_losses": 0, "cool_down_s": 60}
BARE = 2  # cycles without a stop that are allowed
START = 1_516_406_400_000  # 2018-01-20
THEIRS = D(7)  # of each coin, held by somebody else on the account
ACCOUNT = "soak"
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
MONEY = D(10_000)  # in a new account
STOPS = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
FUNDED = 8 * HOUR - 15 * MINUTE  # into the day: contracts are funded while they are held
LEVERAGE = (1, 3, 20)
THIRD = 3  # each so many runs is of contracts
SPECS = (
    "executed-dropped", "executed-dropped how=reset", "dropped", "dropped how=reset", "refused", "limited seconds=5",
    "limited what=orders seconds=5", "backend-timeout", "backend-timeout executed=true", "html", "html executed=true",
    "server-error executed=true", "server-error status=502 code=0", "unavailable says=unknown executed=true",
    "unavailable", "truncated", "truncated clean=true", "unknown-status", "unknown-fields", "duplicated-trades",
)  # fmt: skip
SETTINGS: dict[str, tuple[Any, ...]] = {
    "entry": ("market", "market", "limit"),
    "entry_seconds": (60, 180),
    "reprice": (0, 2),
    "trail": ("0", "0", "0.01"),
    "break_even_after": ("0", "0.01"),
    "ladder": ((), (), ("0.01:0.5", "0.02:0.5")),
    "max_hold_s": (180, 600, 14_400),
    "fraction": ("0.1", "0.02"),
}


class Death(BaseException):
    """The process ends here, whatever it was about to do."""


@dataclass
class Reaper:
    """Counts steps down to a death; what is dead stays so until `rise`."""

    left: int | None = None
    dead: bool = False

    def step(self) -> None:
        """One more write or request."""
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Death

    def rise(self) -> None:
        """Another process begins."""
        self.left, self.dead = None, False


class Mortal(httpx.AsyncBaseTransport):
    """A transport at which the process may die, before a request is carried out or after; `before` comes first."""

    def __init__(self, inner: httpx.AsyncBaseTransport, reaper: Reaper, before: Callable[[], None]) -> None:
        self._inner, self._reaper, self._before = inner, reaper, before

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply, if anybody is there to read it."""
        self._before()
        self._reaper.step()
        response = await self._inner.handle_async_request(request)
        self._reaper.step()
        return response


class MortalJournal(Journal):
    """A journal at whose writes the process may die."""

    reaper: Reaper

    def record(self, account: str, time: int, *facts: Any) -> None:
        """Write, if somebody is there to do it."""
        self.reaper.step()
        super().record(account, time, *facts)
        self.reaper.step()

    def secure(self) -> None:
        """Have it on disk."""
        self.reaper.step()
        super().secure()
        self.reaper.step()


@dataclass
class Story:
    """What happened in a run, in words, and how often what."""

    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def instrument(symbol: str, luck: Random) -> Instrument:
    """Rules as venues have them, and some of which step and tick multiply to more places than amounts have."""
    step, tick = luck.choice(
        (("0.1", "0.0001"), ("0.001", "0.01"), ("0.001", "0.0001"), ("0.00001", "0.1"), ("0.000001", "0.00001"))
    )
    bounds = {"step": D(step), "min_quantity": D(step), "tick": D(tick), "min_notional": D(5), "max_quantity": D(9000)}
    return Instrument(symbol, symbol.removesuffix("USDT"), "USDT", **bounds)


@dataclass(frozen=True)
class Known:
    """What the exchange knows of an order of ours, or of an algo order and what it has become."""

    name: str
    number: int
    side: Side
    left: Decimal
    open: bool
    stop: bool


class World:
    """An exchange that goes on, and a desk that may die and come back."""

    venue, begins, theirs = "binance", START, THEIRS
    sides: tuple[Side, ...] = (Side.BUY,)

    def __init__(self, folder: Path, seed: int) -> None:
        self.luck = Random(seed)  # noqa: S311
        self.story = Story()
        self.clock = SteppedClock(self.begins)
        self.rules = {symbol: self.instrument(symbol) for symbol in SYMBOLS}
        self.marks = {symbol: D(100) for symbol in SYMBOLS}
        self.source = Marked(self.rules)
        self.source.mark(self.marks)
        self.plan = Plan(seed=seed)
        coins = {rules.base: THEIRS for rules in self.rules.values()}
        self.exchange = Exchange(
            FaultyPrices(self.source, self.plan, self.clock), self.clock, None,
            fee=D("0.001"), spread=D(self.luck.choice(("0", "0.0005"))), start={"USDT": MONEY, **coins},
        )  # fmt: skip
        self.futures = Futures(self.exchange)
        self.reaper = Reaper()
        app = create_app(self.exchange, futures=self.futures)
        faulty = FaultTransport(httpx.ASGITransport(app), self.plan, self.clock)
        self.transport = Mortal(faulty, self.reaper, self.jump)
        chosen = {key: self.luck.choice(choices) for key, choices in SETTINGS.items()} | self.more()
        self.settings = Settings.model_validate({"trading": chosen})
        self.path = folder / f"{seed}.db"
        self.bare: Counter[str] = Counter()
        self.last: dict[str, Decimal] = {}
        self.thin = False  # whether orders are filled in part only
        self.whole, self.calm = True, False
        self.journal: Journal | None = None

    def instrument(self, symbol: str) -> Instrument:
        """Rules of a symbol."""
        return instrument(symbol, self.luck)

    def more(self) -> dict[str, Any]:
        """Settings that are for this kind of account only."""
        return {}

    def client(self) -> BinanceClient:
        """A new one."""
        return BinanceClient(
            VENUES["binance"], clock=self.clock, base_url="http://sim", transport=self.transport, retries=0,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET),
        )  # fmt: skip

    async def begin(self) -> None:
        """A process with nothing but the file."""
        if self.journal is not None:
            self.journal.close()
        self.reaper.rise()
        journal = MortalJournal(self.path)
        journal.reaper = self.reaper
        self.journal = journal
        self.desk = Desk(self.client(), journal, self.clock, self.settings, dict(self.rules), "USDT", ACCOUNT)

    # -- what happens

    def wander(self) -> None:
        """Time goes on, and prices with it."""
        passed = self.luck.choice((MINUTE, MINUTE, MINUTE, 5 * SECOND, 5 * MINUTE))
        self.drift(passed, 0.012)

    def drift(self, passed: int, width: float) -> None:
        """So many venue ms go by, in which prices change by such a share."""
        self.whole = passed >= MINUTE
        self.clock.advance(self.clock.now() + passed)
        for symbol, rules in self.rules.items():
            move = D(str(round(self.luck.gauss(0, width), 4)))
            self.marks[symbol] = max(rules.tick, (self.marks[symbol] * (1 + move)).quantize(rules.tick))
        self.source.mark(self.marks)

    def jump(self) -> None:
        """Now and then a price is another one by the time a request arrives, and the desk does not know."""
        if not self.calm and self.luck.random() < 0.03:
            symbol = self.luck.choice(SYMBOLS)
            move = 1 + D(str(round(self.luck.gauss(0, 0.02), 4)))
            self.clock.advance(self.clock.now() + 50)
            self.source.mark({symbol: (self.marks[symbol] * move).quantize(self.rules[symbol].tick)})

    def mischief(self) -> None:
        """Faults of this cycle, and somebody who takes orders away."""
        specs = []
        for spec in self.luck.sample(SPECS, self.luck.choice((0, 0, 1, 2, 3))):
            where = self.luck.choice(("", " path=*order*", " method=POST", " method=DELETE", " method=GET"))
            specs.append(f"{spec}{where} rate={self.luck.choice((0.2, 0.5, 1))}")
        self.thin = self.luck.random() < 0.2
        if self.thin:
            specs.append(f"partial-fill share={self.luck.choice((0.001, 0.3, 0.7))}")
        self.plan.replace([parse_spec(spec) for spec in specs], seed=self.luck.randrange(2**32))
        if self.luck.random() < 0.05:
            with suppress(Exception):
                self.take_away(self.luck.choice(SYMBOLS))
        if self.luck.random() < 0.25:
            self.reaper.left = self.luck.randrange(40)
        self.story.lines.append(f"{self.clock.now()}: {specs}, dies after {self.reaper.left}, {self.marks}")

    def trouble(self) -> None:
        """One request in twenty goes wrong, in whatever way; some ways are for some kinds of requests only."""
        rate = 1.5 * DAY_RATE / len(SPECS)
        self.plan.replace([parse_spec(f"{spec} rate={rate}") for spec in SPECS], seed=self.luck.randrange(2**32))

    async def cycle(self) -> None:
        """What the loop does once a minute."""
        try:
            with suppress(TradebotError):
                await self.desk.monitor(dict(self.marks))
            bar = self.clock.now() // (5 * MINUTE) * 5 * MINUTE
            symbols = self.luck.sample(SYMBOLS, self.luck.choice((0, 1, 2)))
            predictions = [Prediction(symbol, self.luck.choice(self.sides), bar, 0.9, 0.5) for symbol in symbols]
            await self.desk.enter(predictions, dict(self.marks), 0.5)
            self.reaper.left = None
        except Death:
            self.whole = False
            self.story.counts["deaths"] += 1
            await self.begin()
            await self.desk.reconcile()

    # -- what must be so

    def take_away(self, symbol: str) -> None:
        """Somebody cancels all that is open."""
        self.exchange.cancel_all(symbol)

    def ours(self, symbol: str) -> list[Known]:
        """What the exchange has of us."""
        found = self.exchange.orders(Slice(symbol, limit=100_000))
        return [
            Known(e.client_id, e.order_id, e.side, e.left, e.open, e.type in STOPS)
            for e in found
            if e.client_id.startswith("tb-")
        ]

    def trades(self, symbol: str) -> set[int]:
        """Numbers of the trades of our orders."""
        numbers = {order.number for order in self.ours(symbol)}
        found = self.exchange.trades(Slice(symbol, limit=100_000))
        return {each.trade_id for each in found if each.order_id in numbers}

    def held(self, symbol: str) -> Decimal:
        """What the account has of it beyond what is theirs; below 0 for a short."""
        return self.exchange.balances()[self.rules[symbol].base].total - THEIRS

    def wallet(self) -> Decimal:
        """Quote coin of the account."""
        return self.exchange.balances()["USDT"].total

    def worth(self) -> Decimal:
        """The account's equity, without what is theirs, at the marks of now."""
        return self.wallet() + sum((self.held(symbol) * self.marks[symbol] for symbol in self.rules), ZERO)

    def wrong(self, symbol: str, held: Decimal) -> bool:
        """Whether more was sold than bought."""
        return held < 0

    def judge(self) -> None:
        """What holds at any time."""
        for symbol in self.rules:
            orders = self.ours(symbol)
            if len({order.name for order in orders}) != len(orders):
                raise Regression(f"{symbol}: an order was taken twice")
            held = self.held(symbol)
            if self.wrong(symbol, held):
                raise Regression(f"{symbol}: {-held} sold that were not bought")
            guarded = sum((e.left for e in orders if e.open and e.stop), ZERO)
            safe = self._safe(symbol, abs(held), guarded)
            leaving = self.thin and abs(held) < abs(self.last.get(symbol, ZERO))  # at the market, which takes a part
            self.last[symbol] = held
            self.bare[symbol] = 0 if safe or self.plan.hits else self.bare[symbol] + (self.whole and not leaving)
            self.story.counts["cycles without a stop"] += not safe
            if self.bare[symbol] > BARE:
                raise Regression(f"{symbol}: {held} held, {guarded} of it with a stop")

    def _safe(self, symbol: str, held: Decimal, guarded: Decimal) -> bool:
        """Whether what is held has a stop, or is too little for one."""
        rules, price = self.rules[symbol], self.marks[symbol] * D("0.9")
        rules = replace(rules, min_notional=ZERO) if rules.contract else rules
        least = quantize(rules, held - guarded, price)
        return guarded >= quantize(rules, held, price) or bool(refusal(rules, least, price))

    async def settle(self) -> None:
        """The venue answers again; a new process comes to terms with what it finds."""
        self.plan.replace([])
        self.calm, self.thin = True, False
        await self.begin()
        await self.desk.reconcile()
        for _ in range(QUIET):
            self.whole = True
            self.clock.advance(self.clock.now() + MINUTE)
            await self.desk.monitor(dict(self.marks))
            self.judge()

    def agree(self) -> None:
        """The journal tells what the exchange did, all of it and no more."""
        journal = self.journal
        assert journal is not None
        for symbol in self.rules:
            amount = sum((p.sign * p.quantity for p in journal.positions(ACCOUNT) if p.symbol == symbol), ZERO)
            if amount != self.held(symbol):
                raise Regression(f"{symbol}: {amount} by the journal, {self.held(symbol)} by the exchange")
            if journal.booked(ACCOUNT, symbol) != self.trades(symbol):
                raise Regression(f"{symbol}: trades are lost or booked twice")
        held = journal.positions(ACCOUNT)
        ours = sum((brought(p) for p in [*held, *journal.history(ACCOUNT)]), MONEY)
        ours += sum((p.sign * p.quantity * self.marks[p.symbol] for p in held), ZERO)
        if ours != self.worth():
            raise Regression(f"an equity of {ours} by the journal, {self.worth()} by the exchange")
        for order in journal.unresolved(ACCOUNT):
            if not order.resting:
                raise Regression(f"{order.client_id} is {order.state} for ever: {order.reason}")
        if doubted := [p.symbol for p in journal.positions(ACCOUNT) if p.state is PositionState.IN_DOUBT]:
            raise Regression(f"{doubted}: in doubt for ever")
        rows = journal.rows()
        journal.rebuild()
        if journal.rows() != rows:
            raise Regression("the rows do not follow from the facts")

    def balance(self) -> None:
        """Realised results are what the exchange's balances say, to the last digit, where nothing is held."""
        journal = self.journal
        assert journal is not None
        held = journal.positions(ACCOUNT)
        if left := [p for p in held if p.state is not PositionState.DUST]:
            self.story.counts["days that ended with positions"] += bool(left)
            return
        realized = sum((each.realized for each in results(journal, ACCOUNT)), ZERO)
        if realized - sum((p.open_cost for p in held), ZERO) != self.wallet() - MONEY:
            raise Regression(f"{realized} realised by the journal, {self.wallet() - MONEY} by the exchange")
        self.story.counts["results"] += len(results(journal, ACCOUNT))


class Margin(World):
    """The same with contracts: longs and shorts, stops at the algo service, funding, liquidations."""

    venue, begins = "binance-usdm", START + FUNDED
    sides = (Side.BUY, Side.SELL)

    def instrument(self, symbol: str) -> Instrument:
        """Rules of a contract."""
        return replace(super().instrument(symbol), contract=True)

    def more(self) -> dict[str, Any]:
        """Leverage."""
        return {"leverage": self.luck.choice(LEVERAGE)}

    def client(self) -> FuturesClient:
        """A new one, which is to be prepared."""
        return FuturesClient(
            VENUES["binance-usdm"], clock=self.clock, base_url="http://sim", transport=self.transport, retries=0,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET),
        )  # fmt: skip

    async def begin(self) -> None:
        """A process that begins to trade when the venue answers what it asks first."""
        await super().begin()
        client, leverage = self.desk.broker, self.settings.trading.leverage
        assert isinstance(client, FuturesClient)
        try:
            await client.prepare(leverage)
        except TradebotError:  # it would end, and be started again later
            self.plan.replace([])
            self.drift(MINUTE, 0)
            self.whole = False
            await client.prepare(leverage)

    def take_away(self, symbol: str) -> None:
        """Somebody cancels all that is open, stops too."""
        self.futures.cancel_all(symbol)
        Algos(self.futures).cancel_all(symbol)

    def ours(self, symbol: str) -> list[Known]:
        """Orders, and algo orders under the number of what they have become."""
        self.futures.settle()
        ledger = self.futures.ledger
        plain = [e for e in ORDERS.select(ledger.db, "symbol = ?", (symbol,)) if not e.original_type]
        return [
            *(Known(e.client_id, e.order_id, e.side, e.remaining, e.open, stop=False) for e in plain),
            *(
                Known(e.client_id, e.order_id, e.side, e.quantity, e.status == "NEW", e.type.startswith("STOP"))
                for e in ALGOS.select(ledger.db, "symbol = ?", (symbol,))
            ),
        ]

    def trades(self, symbol: str) -> set[int]:
        """All of them: whatever closes a position of ours is booked."""
        return {each.trade_id for each in TRADES.select(self.futures.ledger.db, "symbol = ?", (symbol,))}

    def held(self, symbol: str) -> Decimal:
        """The amount of the position."""
        self.futures.settle()
        return sum((p.amount for (name, _), p in self.futures.ledger.positions().items() if name == symbol), ZERO)

    def wallet(self) -> Decimal:
        """The start and all income."""
        return self.futures.ledger.wallet

    def worth(self) -> Decimal:
        """Wallet and what is open gained or lost."""
        positions = self.futures.ledger.positions().values()
        return self.wallet() + sum((p.amount * self.marks[p.symbol] - p.cost for p in positions), ZERO)

    def wrong(self, symbol: str, held: Decimal) -> bool:
        """Whether it is held the other way than the last entry went."""
        entered = [e for e in ORDERS.select(self.futures.ledger.db, "symbol = ?", (symbol,)) if not e.reduce_only]
        ways = [1 if each.side is Side.BUY else -1 for each in entered if each.executed]
        return bool(held) and (not ways or ways[-1] * held < 0)


def world(folder: Path, seed: int) -> World:
    """That of a run."""
    return (Margin if seed % THIRD == THIRD - 1 else World)(folder, seed)


async def twenty_cycles(world: World) -> None:
    """Faults, orders and deaths."""
    await world.begin()
    for _ in range(CYCLES):
        world.wander()
        world.mischief()
        await world.cycle()
        world.judge()
    await world.settle()
    world.agree()


async def day(world: World, cycles: int = DAY) -> None:
    """Faults and orders, minute by minute, however much is lost; in the end all is closed."""
    world.settings = Settings.model_validate({"trading": world.settings.trading.model_dump(), "risk": RECKLESS})
    await world.begin()
    for _ in range(cycles):
        world.drift(MINUTE, 0.004)
        world.trouble()
        await world.cycle()
        world.story.counts["faults"] += len(world.plan.hits)
        world.story.counts["requests"] += world.plan.requests
        world.judge()
    await world.settle()
    world.agree()
    world.balance()
    for symbol in SYMBOLS:
        await world.desk.close(symbol, world.marks)
    world.agree()
    world.balance()


async def live(folder: Path, seed: int, tale: Callable[[World], Awaitable[None]] = twenty_cycles) -> Story:
    """One run; `Regression` if anything is not as it must be."""
    made = world(folder, seed)
    try:
        await tale(made)
    except (Regression, TradebotError, ArithmeticError, LookupError, MarketError) as error:
        raise Regression(f"run {seed}: {type(error).__name__}: {error}\n" + "\n".join(made.story.lines[-4:])) from error
    assert made.journal is not None
    for order in made.journal.orders(ACCOUNT):
        made.story.counts[f"{order.intent} {order.state}"] += 1
    made.story.counts["trades"] += sum(len(made.journal.booked(ACCOUNT, symbol)) for symbol in SYMBOLS)
    made.journal.close()
    made.path.unlink()
    return made.story


def main() -> int:
    """The whole; 0, or 6 with the run that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000, help="how many runs of 20 cycles")
    parser.add_argument("--seed", type=int, default=0, help="number of the first run")
    parser.add_argument("--day", action="store_true", help="each run is a day of one-minute cycles")
    asked = parser.parse_args()
    tale = day if asked.day else twenty_cycles
    logging.disable(logging.WARNING)  # each fault would be told
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.runs):
            try:
                counts += asyncio.run(live(Path(folder), asked.seed + number, tale)).counts
            except Regression as error:
                print(error, file=sys.stderr)
                return error.exit_code
            if asked.day or (number + 1) % 100 == 0:
                print(f"{number + 1} runs, {time.monotonic() - begun:.0f} s", flush=True)
    for what, often in sorted(counts.items()):
        print(f"  {what}: {often}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
