"""The tables of config.toml as models: each key with its default, its limits and what it means.

Values are validated wherever they come from; nothing here knows where that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, field_validator, model_validator

from tradebot.clock import parse_time
from tradebot.errors import UsageError


def _split(value: object) -> object:
    """Lists may be written with commas where TOML is not at hand; nothing is listed twice."""
    if not isinstance(value, str):
        return value
    parts = list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if value.strip() and not parts:
        raise ValueError("a list of nothing but commas")
    return parts


Stage: TypeAlias = Literal["scan", "fetch", "analyze", "predict", "execute", "monitor", "total"]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


def address_problem(text: str) -> str | None:
    """Why `text` is not the address of a venue, or None."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return str(error).lower()
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or " " in text:
        return "not an address"
    return "a password does not belong here" if "@" in parts.netloc else None


class Section(BaseModel):
    """A table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Venue(Section):
    """Where market data comes from and orders go to."""

    name: str = Field(
        "sim", description="The exchange: sim (built in), binance, binance-usdm (market data), ccxt:NAME."
    )
    base_url: str = Field("", description="Another address of the same protocol; empty for the venue's own.")
    timeout_s: float = Field(10.0, gt=0, le=120, description="Longest wait for any reply but an order's, real seconds.")
    connections: int = Field(50, ge=1, le=500, description="Requests in the air at once.")

    weight_share: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the venue's request limits that one process may use. All that share the data folder "
        "stay below 0.9 together; give each folder its part where several are used behind one address.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        problem = address_problem(value) if value else None
        if problem:
            raise ValueError(f"{problem}; write it as http://127.0.0.1:8080")
        return value

    @model_validator(mode="after")
    def _has_an_address(self) -> Venue:
        if self.base_url and self.name == "sim":
            raise ValueError("the built-in venue 'sim' has no address; add --venue binance")
        return self

    retries: int = Field(3, ge=0, le=10, description="Further tries of a read that failed in a way that can pass.")


class Universe(Section):
    """Which symbols a cycle looks at."""

    symbols: Names = Field(
        (), description="A fixed list; or patterns such as *USDT, of whose matches the most traded are taken; "
        "empty: the most traded of all."
    )  # fmt: skip
    quote: str = Field("", description="Quote coin; empty: the one that most symbols on offer share.")
    top: int = Field(30, ge=1, le=5000, description="How many of the most traded symbols, by 24 h quote volume.")
    exclude: Names = Field((), description="Symbols never to look at, or patterns of them.")
    min_volume: float = Field(0.0, ge=0, description="Least 24 h quote volume, in the quote coin; 0: any.")
    min_age_d: float = Field(
        0.0, ge=0, le=10_000, description="Least age in days, counted from the first daily kline; 0: any."
    )
    max_spread: float = Field(
        0.0, ge=0, lt=1, description="Most that bid and ask may lie apart, as a share of their middle; 0: any."
    )
    refresh_s: int = Field(
        3600, ge=60, le=7 * 86400, description="Venue seconds after which the most traded are chosen anew."
    )

    @property
    def fixed(self) -> bool:
        """Whether the symbols are given one by one."""
        return bool(self.symbols) and not any("*" in name or "?" in name for name in self.symbols)


class Market(Section):
    """Which klines a cycle keeps."""

    intervals: Names = Field(("5m", "15m", "1h"), description="Three intervals, from fine to coarse.")
    bars: int = Field(200, ge=100, le=1000, description="Closed klines kept for each series.")
    max_filled: int = Field(
        20, ge=0, description="Missing klines filled flat in a window; with more its symbol is skipped."
    )
    closed_only: bool = Field(
        True, description="Only closed klines; false: the open ones too, and prices, as old as their time to live."
    )
    shortest_ttl_s: float = Field(60.0, gt=0, description="Time to live in a restless market, venue seconds.")
    longest_ttl_s: float = Field(300.0, gt=0, description="Time to live in a market at its normal, venue seconds.")

    @model_validator(mode="after")
    def _in_order(self) -> Market:
        if self.shortest_ttl_s > self.longest_ttl_s:
            raise ValueError("shortest_ttl_s is longer than longest_ttl_s")
        return self


class Sim(Section):
    """The simulated exchange, in process or served."""

    seed: int = Field(1, ge=0, description="Every price follows from the seed, the symbol and the time.")
    symbols: int = Field(30, ge=1, le=5000, description="How many symbols it lists.")
    klines: str = Field("", description="A folder of kline files to play back instead of synthetic prices.")
    at: str = Field("", description="The venue's time at its start, e.g. 2018-01-20T00:00:00Z; empty: the machine's.")
    clock: Literal["real", "stepped", "scaled"] = Field(
        "real", description="real; stepped: moved on explicitly; scaled: `speed` venue seconds a second."
    )
    speed: float = Field(60.0, gt=0, le=100_000, description="Venue seconds in a real one, when scaled.")
    latency_ms: float = Field(0.0, ge=0, description="Delay of every reply, real milliseconds.")
    weight_limit: int = Field(6000, ge=1, description="Request weight that it allows in a minute of its time.")
    faults: str = Field("", description="A TOML file of faults that it shall have; see docs/faults.md.")

    @field_validator("at", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """TOML has times of its own."""
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("at")
    @classmethod
    def _is_time(cls, value: str) -> str:
        try:
            if value:
                parse_time(value)
        except UsageError as error:
            raise ValueError(str(error)) from None  # what pydantic collects, so that the message names the key
        return value


class Strategy(Section):
    """What turns features into scores."""

    name: str = Field("trend", description="See `tradebot analyze --list`; or one of your own, as my.py:Name.")
    folder: str = Field("", description="A folder of Python files with strategies of your own.")
    min_score: float = Field(0.15, ge=0, le=1, description="A score of at least this size is a signal.")
    parameters: dict[str, float] = Field({}, description="Parameters of the strategy, by name.")


class Training(Section):
    """How `tradebot train` validates a model."""

    folds: int = Field(5, ge=2, le=50, description="Stretches of time that it is judged on, one after the other.")
    test: float = Field(
        0.2, ge=0, le=0.5, description="Last share of the period, that nothing is chosen on; 0: learn from all of it."
    )
    embargo_s: int = Field(4 * 3600, ge=0, description="Venue seconds left out before each part that it is judged on.")
    shuffles: int = Field(5, ge=0, le=1000, description="Runs over shuffled outcomes, to show what chance looks like.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of all that is random; the same seed gives the same model.")


class Model(Section):
    """What turns signals into probabilities."""

    path: str = Field(
        "", description="An ONNX file; empty: the one trained last that was good enough, else the demo model."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="Least probability of an entry; unset: the one chosen in training."
    )
    max_age_days: float = Field(
        0.0, ge=0, description="Refuse a model whose training data ends longer ago, warn from 80% on; 0: no limit."
    )


class Pool(Section):
    """The worker processes."""

    workers: int = Field(0, ge=0, le=256, description="How many; 0: one for each CPU.")
    use: Literal["auto", "always", "never"] = Field(
        "auto", description="always a worker, never one, or auto: only for work that is worth the way there."
    )


class Keys(Section):
    """The API key, for trading.mode testnet and live. It comes from $TRADEBOT_API_KEY and $TRADEBOT_API_SECRET."""

    file: str = Field(
        "", description="Or from this TOML file of `key` and `secret`, which nobody but its owner may read (chmod 600)."
    )
    kind: Literal["hmac", "ed25519"] = Field(
        "hmac", description="What the secret is: an HMAC secret, or an Ed25519 private key in PEM."
    )


def _rungs(ladder: Sequence[str]) -> tuple[tuple[Decimal, Decimal], ...]:
    """The rungs of a ladder; `ValueError` for what is none."""
    found = []
    for rung in ladder:
        gain, _, share = rung.partition(":")
        try:
            parts = Decimal(gain), Decimal(share)
        except InvalidOperation:
            raise ValueError(f"'{rung}' is no gain:share; write 0.02:0.5") from None
        if not (parts[0].is_finite() and parts[0] > 0 and 0 < parts[1] <= 1):
            raise ValueError(f"'{rung}': the gain must be above 0, the share above 0 and at most 1")
        found.append(parts)
    return tuple(found)


class Trading(Section):
    """Size and end of positions."""

    mode: Literal["paper", "testnet", "live"] = Field(
        "paper", description="paper: fills by the simulated exchange at the venue's prices; testnet: the venue's own "
        "testnet; live: real money, which needs --live on the command line too. Both need an API key."
    )  # fmt: skip
    allow_withdrawal_keys: bool = Field(False, description="Trade with a key that may withdraw; better make another.")
    reconcile_s: int = Field(
        300, ge=10, le=86_400, description="Venue seconds after which the account is compared with the journal again."
    )
    max_positions: int = Field(5, ge=0, description="Positions held at once; 0: no entries.")
    fraction: Decimal = Field(Decimal("0.1"), gt=0, le=1, description="Share of the equity in one position.")
    leverage: int = Field(
        1, ge=1, le=125, description="Futures: a position's margin is its worth divided by this. Sizes stay the same."
    )
    stop_loss: Decimal = Field(
        Decimal("0.02"), gt=0, lt=1, description="Exit when the price is this share below entry."
    )
    take_profit: Decimal = Field(Decimal("0.03"), gt=0, description="Exit when the price is this share above entry.")
    max_hold_s: int = Field(4 * 3600, gt=0, description="Exit after this many venue seconds.")
    protect: Literal["venue", "monitor"] = Field(
        "venue", description="venue: stop and target wait at the exchange; monitor: the bot watches the price itself."
    )
    trail: Decimal = Field(
        Decimal(0), ge=0, lt=1, description="The stop follows the best price at this share below it; 0: it does not."
    )
    trail_after: Decimal = Field(Decimal(0), ge=0, description="It follows once the price was this share above entry.")
    break_even_after: Decimal = Field(
        Decimal(0), ge=0, description="Once the price was this share above entry the stop is at entry; 0: never."
    )
    ladder: Names = Field(
        (), description='Instead of take_profit: parts to sell, as "0.02:0.5" for half of it at 2% above entry.'
    )
    entry: Literal["market", "limit"] = Field("market", description="Enter at the market, or at the last price.")
    entry_seconds: int = Field(120, gt=0, description="Venue seconds after which a limit entry keeps what it has got.")
    reprice: int = Field(2, ge=0, le=100, description="How often a limit entry may follow the price meanwhile.")
    chase: Decimal = Field(
        Decimal("0.003"), ge=0, lt=1, description="And how far from its first price, as a share of it."
    )

    @field_validator("ladder")
    @classmethod
    def _is_ladder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if sum(share for _, share in _rungs(value)) > 1:
            raise ValueError("the shares are more than 1 together")
        return value

    @property
    def rungs(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """The ladder: gains as shares of the entry price, with the share of the position sold at each."""
        return _rungs(self.ladder)


class Risk(Section):
    """What refuses an entry, and how large it may be; see docs/risk.md."""

    size: Literal["fixed", "volatility", "kelly"] = Field(
        "fixed", description="fixed: trading.fraction; volatility: calm coins get more; kelly: by the probability."
    )
    volatility: Decimal = Field(
        Decimal("0.005"), gt=0, le=1, description="Share of the equity that a position of size volatility moves a day."
    )
    kelly: Decimal = Field(Decimal("0.5"), gt=0, le=1, description="Part of Kelly's share that size kelly takes.")
    max_fraction: Decimal = Field(
        Decimal("0.2"), gt=0, le=1, description="Most of the equity in one position of size volatility or kelly."
    )
    max_exposure: Decimal = Field(
        Decimal(1), gt=0, le=100, description="Most that all positions are worth, as a share of the equity."
    )
    max_coin: Decimal = Field(
        Decimal(1), gt=0, le=100, description="Most that is held of one base coin, as a share of the equity."
    )
    max_correlated: int = Field(0, ge=0, description="Positions held at once that move with each other; 0: any.")
    correlation: float = Field(0.8, gt=0, le=1, description="Correlation from which on two coins move with each other.")
    daily_loss: Decimal = Field(
        Decimal("0.05"), ge=0, lt=1, description="Loss since 00:00 UTC, realised or not, as a share of the equity "
        "then, after which there are exits only; 0: any."
    )  # fmt: skip
    drawdown: Decimal = Field(
        Decimal("0.2"), ge=0, lt=1, description="Fall from the highest equity, as a share of it, that stops all "
        "entries until `tradebot stop --release`; 0: any."
    )  # fmt: skip
    cool_down_s: int = Field(900, ge=0, description="Venue seconds that a symbol rests after a loss or a stop.")
    cool_down_all_s: int = Field(0, ge=0, description="Venue seconds that all symbols rest after a loss or a stop.")
    max_losses: int = Field(6, ge=0, description="Losses in a row after which all symbols rest; 0: any number.")
    pause_s: int = Field(3600, ge=0, description="Venue seconds that they rest then.")
    min_edge: Decimal | None = Field(
        None, ge=-1, le=1, description="Least p * target - (1 - p) * stop - fees and spread, as a share of the "
        "position; unset: any."
    )  # fmt: skip
    max_bar_age: float = Field(
        2.0,
        ge=0,
        description="Most age, from its close, of the newest bar that the venue had of a symbol, for an entry on it; "
        "in bars of the finest interval: 0.2 of 5m is a minute. 0: any, until the next one has closed.",
    )


class Paper(Section):
    """The paper account."""

    balance: Decimal = Field(
        Decimal(0), ge=0, description="Starting balance in the quote coin; 0: a usual amount of that coin."
    )
    fee: Decimal = Field(Decimal("0.001"), ge=0, lt=1, description="Share of each fill, taker and maker.")
    spread: Decimal = Field(Decimal("0.0004"), ge=0, lt=1, description="Ask minus bid as a share of the price.")


class Run(Section):
    """The loop."""

    every_s: int = Field(
        60, ge=1, description="Venue seconds from one cycle to the next, aligned to the venue's clock."
    )
    step: bool = Field(False, description="Move a stepped venue behind a network on, instead of waiting for others to.")
    fetch_deadline_s: float = Field(
        20.0, gt=0, description="Real seconds after which a cycle goes on without missing series."
    )
    monitor_every_s: float = Field(
        10.0, ge=0, description="Venue seconds from one look at what is held to the next; 0: once a cycle."
    )
    execute: Literal["batch", "eager"] = Field(
        "batch", description="batch: entries when all symbols have been looked at, the best first; eager: as each "
        "batch of symbols is done, first come, first served, for strategies that look at each symbol by itself."
    )  # fmt: skip
    budget_ms: dict[Stage, PositiveFloat] = Field(
        {}, description="Most real milliseconds for stages (scan, fetch, analyze, predict, execute, monitor) and for "
        "the total of a cycle, as { fetch = 2000, total = 5000 }; one that is not named has no limit."
    )  # fmt: skip
    on_slow: Literal["warn", "skip-entries", "stop"] = Field(
        "warn", description="What a cycle over its budget does, beside managing its exits: warn, enter nothing, or "
        "end the run."
    )  # fmt: skip
