"""Paper, testnet or live: what each needs before an order may go out, and what its key is checked for."""

from __future__ import annotations

import os
import secrets
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tradebot.config import SECRETS, Settings, environment_secrets
from tradebot.errors import ConfigError, JournalError, UsageError
from tradebot.identity import SIM
from tradebot.market.account import Holder, masked
from tradebot.market.binance import BinanceClient
from tradebot.market.profiles import VENUES
from tradebot.market.signing import Credentials, KeyKind
from tradebot.session import Session
from tradebot.trading.facts import Identified
from tradebot.trading.journal import Journal
from tradebot.trading.orders import figure

LARGEST_FILE = 65_536
COINS = 8  # shown of an account
FROM = f"an API key (${SECRETS[0]} and ${SECRETS[1]}, or keys.file)"


@dataclass(frozen=True)
class Examined:
    """An account that may be traded, and what its owner should know about the key."""

    holder: Holder
    warnings: tuple[str, ...]


def permit(settings: Settings, *, live: bool) -> Credentials | None:
    """The key to trade with in the mode of the settings; None on paper.

    `live` is whether the command line says --live. `UsageError` names all that the mode lacks, in one line.
    """
    configured = settings.trading.mode
    mode = "live" if live else configured
    if mode == "paper":
        return None
    _has_an_exchange(settings, mode)
    credentials = load(settings)
    needs = {
        'trading.mode = "live" in the configuration': mode == configured,
        FROM: credentials is not None,
        "--live on the command line": live or mode != "live",
    }
    missing = [need for need, met in needs.items() if not met]
    if missing:
        raise UsageError(f"{mode} trading needs {' and '.join(missing)}")
    return credentials


def _has_an_exchange(settings: Settings, mode: str) -> None:
    name = settings.venue.name
    if name == SIM:
        raise UsageError(f"{mode} trading needs an exchange; '{name}' is the built-in one: add --venue binance")
    if name not in VENUES or not VENUES[name].trades:
        raise UsageError(f"{mode} trading on {name} is not built; it can be traded on paper")
    if mode == "testnet" and not settings.venue.base_url and not VENUES[name].testnet_url:
        raise UsageError(f"{name} has no testnet that is known; name its address with --base-url")


def load(settings: Settings) -> Credentials | None:
    """The API key of the environment, else of `keys.file`; None if there is none.

    `ConfigError` for half a key, a file that others can read, and a secret of another kind than `keys.kind`.
    """
    key, secret = environment_secrets()
    if bool(key) != bool(secret):
        given, lacking = SECRETS if key else SECRETS[::-1]
        raise ConfigError(f"${given} is set, ${lacking} is not; an API key needs both")
    if not key and settings.keys.file:
        key, secret = read_file(Path(settings.keys.file).expanduser())
    if not key:
        return None
    key = key.strip()
    if not key.isascii() or not key.isalnum():
        raise ConfigError("the API key has characters that no key has; copy it anew")
    # A PEM in an environment variable often has its line ends written out.
    return Credentials(key, secret.replace("\\n", "\n").strip(), KeyKind(settings.keys.kind))


def read_file(path: Path) -> tuple[str, str]:
    """Key and secret of a file that only its owner may read; `ConfigError` otherwise, with what mends it."""
    try:
        with path.open("rb") as file:
            _is_private(path, os.fstat(file.fileno()))
            found = tomllib.loads(file.read(LARGEST_FILE).decode())
    except OSError as error:
        raise ConfigError(f"key file {path}: {error.strerror}; see keys.file") from None
    except ValueError:  # whose text might hold a part of the secret
        raise ConfigError(f'key file {path}: write it as key = "…" and secret = "…", each in a line') from None
    pair = found.get("key"), found.get("secret")
    if not all(isinstance(each, str) and each for each in pair) or len(found) > len(pair):
        raise ConfigError(f"key file {path}: it must hold `key` and `secret`, as text, and nothing else")
    return str(pair[0]), str(pair[1])


def _is_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"key file {path}: not a file")
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"key file {path}: it belongs to somebody else, who can read it; use one of your own")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(f"key file {path}: others can read it (mode {mode:04o}); run: chmod 600 '{path}'")


def recognise(journal: Journal, account: str, uid: str, now: int) -> None:
    """Note whose account is traded as `account`; `JournalError` if it was another one before."""
    known = journal.identity(account)
    if known is None:
        # Two data folders on one account come to the same decisions: their orders must not have the same names.
        journal.record(account, now, Identified(uid, secrets.token_hex(4)))
    elif known != uid:
        raise JournalError(
            f"{journal.path}: '{account}' is the account {masked(known)}, but this API key belongs to {masked(uid)}; "
            "use that account's key, or another --data-dir for this one"
        )


def briefing(settings: Settings, session: Session, examined: Examined) -> list[str]:
    """What is about to be traded, a line each: account, universe, limits."""
    trading, held = settings.trading, examined.holder.balances
    coins = [f"{figure(balance.total)} {coin}" for coin, balance in sorted(held.items())]
    more = f" and {len(coins) - COINS} more" if len(coins) > COINS else ""
    limits = (f"{name} = {value}" for name, value in trading.model_dump(mode="json", exclude={"mode"}).items())
    symbols = ", ".join(settings.universe.symbols) or f"the {settings.universe.top} most traded"
    excluded = ", ".join(settings.universe.exclude)
    account = f"{trading.mode} trading on {session.venue}, account {examined.holder.masked}"
    return [
        f"{account}: {', '.join(coins[:COINS]) or 'nothing'}{more}",
        f"universe: {symbols}{excluded and f' without {excluded}'}",
        f"limits: {', '.join(limits)}",
        *(f"warning: {warning}" for warning in examined.warnings),
    ]


async def examine(settings: Settings, client: BinanceClient) -> Examined:
    """Whose account it is and whether the key is one to trade with.

    `ConfigError` for a key that cannot trade, or that may withdraw where that is not allowed by name.
    """
    holder, rights = await client.holder(), await client.key_rights()
    if not holder.tradable or (rights and not rights.trades):
        raise ConfigError(f"{client.where}: this API key cannot trade; enable spot trading for it, or use another")
    if rights is None:
        return Examined(holder, ("the venue does not tell whether this API key may withdraw; see to it yourself",))
    if rights.withdraws and not settings.trading.allow_withdrawal_keys:
        raise ConfigError(
            f"{client.where}: this API key may withdraw, which trading does not need; take that right from it, or set "
            "trading.allow_withdrawal_keys = true"
        )
    warnings = ["this API key may withdraw (trading.allow_withdrawal_keys)"] if rights.withdraws else []
    if not rights.bound:
        warnings.append("this API key can be used from any address; bind it to yours at the venue")
    return Examined(holder, tuple(warnings))
