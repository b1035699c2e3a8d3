"""Under which names a venue's klines, its account and its limits are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tradebot import sim
from tradebot.config import Settings
from tradebot.errors import TradingError, UnknownName, suggestion
from tradebot.market.profiles import PREFIX, VENUES

SIM = "sim"


def address(settings: Settings) -> str:
    """Where the venue is, empty for its usual address: prices and orders of a testnet are those of the testnet."""
    venue = settings.venue
    testnet = VENUES[venue.name].testnet_url if venue.name in VENUES else ""
    return venue.base_url or (testnet if settings.trading.mode == "testnet" else "")


def venue_key(settings: Settings) -> str:
    """Name under which a venue's klines and state are kept: another address is another venue.

    `UnknownName` for a venue that is not registered.
    """
    name, host = settings.venue.name, urlsplit(address(settings)).netloc
    if name not in {SIM, *VENUES} and not name.startswith(PREFIX):
        with settings.blaming("venue.name"):
            raise UnknownName(f"unknown venue '{name}'{suggestion(name, [SIM, *VENUES])}; or ccxt:NAME for others")
    if name == SIM:
        return sim.identity(settings)
    return f"{name}@{host}" if host else name


def account_key(settings: Settings) -> str:
    """Name under which the orders and positions of a venue's account are kept."""
    name = sim.account(settings) if settings.venue.name == SIM else venue_key(settings)
    return f"{name}-{settings.trading.mode}"


def limits_file(settings: Settings) -> Path:
    """Where all processes of a data folder count what they use of a venue's limits.

    Limits are by address: a venue's own hosts share one.
    """
    name, host = settings.venue.name, urlsplit(address(settings)).hostname or ""
    own = urlsplit(VENUES[name].base_url).hostname or ""
    domain = own[own.index(".") :]
    return settings.data_path / "limits" / (name if host.endswith(domain) else venue_key(settings))


def exchange_file(settings: Settings, folder: Literal["paper", "venue"], name: str) -> Path:
    """Where an exchange of our own keeps its accounts: paper ones, or those that a served one has as a venue.

    `TradingError` if the folder cannot be made.
    """
    place = settings.data_path / folder
    try:
        place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TradingError(f"accounts in {place}: {error.strerror}; mend it or use another --data-dir") from None
    return place / f"{name}.db"
