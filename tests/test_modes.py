"""What paper, testnet and live trading need, and which keys they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tradebot.clock import RealClock
from tradebot.config import SECRETS, Settings
from tradebot.errors import ConfigError, UsageError, VenueRejected
from tradebot.identity import account_key, limits_file, venue_key
from tradebot.market.binance import VENUES, BinanceClient
from tradebot.market.signing import Credentials, KeyKind
from tradebot.market.venue import Order, Side
from tradebot.modes import examine, load, permit
from tradebot.session import open_session
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET

from .conftest import MakeSettings, served

KEY, SECRET = "k" * 64, "s" * 64
REMOTE = {"venue__name": "binance", "venue__base_url": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    for name, value in zip(SECRETS, (KEY, SECRET), strict=True):
        monkeypatch.setenv(name, value)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(f'key = "{KEY}"\nsecret = "{SECRET}"\n')
    path.chmod(0o600)
    return path


def test_paper_needs_nothing(make_settings: MakeSettings) -> None:
    assert permit(make_settings(), live=False) is None
    assert permit(make_settings(**REMOTE), live=False) is None


MODE, FLAG, KEYS = 'trading.mode = "live"', "--live", "an API key"


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("has_keys", [False, True])
def test_all_that_live_trading_lacks_is_named_in_one_line(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, mode: str, live: bool, has_keys: bool
) -> None:
    if has_keys:
        for name, value in zip(SECRETS, (KEY, SECRET), strict=True):
            monkeypatch.setenv(name, value)
    settings = make_settings(trading__mode=mode, **REMOTE)
    if mode == "paper" and not live:
        assert permit(settings, live=live) is None, "a key alone is no wish to trade with it"
        return
    lacking = {MODE: mode != "live", FLAG: not live, KEYS: not has_keys}
    if not any(lacking.values()):
        assert permit(settings, live=live) == Credentials(KEY, SECRET)
        return
    with pytest.raises(UsageError) as refused:
        permit(settings, live=live)
    assert {word: word in str(refused.value) for word in lacking} == lacking
    assert "\n" not in str(refused.value)


def test_a_testnet_needs_a_key_and_nothing_else(make_settings: MakeSettings, key_file: Path) -> None:
    settings = make_settings(trading__mode="testnet", **REMOTE)
    with pytest.raises(UsageError, match=r"testnet trading needs an API key \(\$TRADEBOT_API_KEY"):
        permit(settings, live=False)
    settings = make_settings(trading__mode="testnet", keys__file=str(key_file), **REMOTE)
    assert permit(settings, live=False) == Credentials(KEY, SECRET)


@pytest.mark.parametrize("mode", ["testnet", "live"])
@pytest.mark.parametrize("venue", ["sim", "ccxt:kraken"])
@pytest.mark.usefixtures("keys")
def test_what_is_traded_on_paper_only_says_so(make_settings: MakeSettings, mode: str, venue: str) -> None:
    with pytest.raises(UsageError, match=f"{mode} trading.*{venue}"):
        permit(make_settings(trading__mode=mode, venue__name=venue), live=mode == "live")


def test_a_testnet_is_another_venue_with_prices_and_limits_of_its_own(make_settings: MakeSettings) -> None:
    paper = make_settings(venue__name="binance")
    live, testnet = (make_settings(venue__name="binance", trading__mode=mode) for mode in ("live", "testnet"))
    assert venue_key(paper) == venue_key(live) == "binance"
    assert venue_key(testnet) == "binance@testnet.binance.vision"
    assert limits_file(paper) == limits_file(live) != limits_file(testnet)
    assert len({account_key(each) for each in (paper, live, testnet)}) == 3


def test_half_a_key_names_the_other_half(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRETS[1], SECRET)
    with pytest.raises(ConfigError, match=r"\$TRADEBOT_API_SECRET is set, \$TRADEBOT_API_KEY is not") as refused:
        load(make_settings())
    assert SECRET not in str(refused.value)


def test_a_key_that_cannot_be_one_is_not_shown(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRETS[0], "two words")
    monkeypatch.setenv(SECRETS[1], SECRET)
    with pytest.raises(ConfigError, match="copy it anew") as refused:
        load(make_settings())
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused_with_what_mends_it(
    make_settings: MakeSettings, key_file: Path, mode: int
) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match=f"others can read it .mode {mode:04o}.; run: chmod 600 '.*keys.toml'"):
        load(make_settings(keys__file=str(key_file)))
    key_file.chmod(0o400)
    assert load(make_settings(keys__file=str(key_file))) == Credentials(KEY, SECRET)


@pytest.mark.parametrize(
    "content",
    [f'key = "{KEY}"', f'key = "{KEY}\nsecret = {SECRET}', f'key = "{KEY}"\nsecret = 3', f"{KEY}\n{SECRET}", "\xff"],
)
def test_a_key_file_that_is_none_is_refused_without_being_shown(
    make_settings: MakeSettings, key_file: Path, content: str
) -> None:
    key_file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"key file .*keys\.toml") as refused:
        load(make_settings(keys__file=str(key_file)))
    assert not any(each in str(refused.value) for each in (KEY, SECRET))


def test_a_key_file_that_is_not_there_is_named(make_settings: MakeSettings, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(ConfigError, match=f"key file {path}"):
            load(make_settings(keys__file=str(path)))


class Counter(httpx.AsyncBaseTransport):
    """A venue that tells of an account and a key what it is given."""

    def __init__(self, account: Mapping[str, Any], rights: Mapping[str, Any] | None) -> None:
        self.account, self.rights = account, rights

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("apiRestrictions"):
            return httpx.Response(200, content=orjson.dumps(self.account))
        if self.rights is None:
            return httpx.Response(404, content=b"<html>nothing here</html>")
        return httpx.Response(200, content=orjson.dumps(self.rights))


ACCOUNT = {"uid": 1234567, "canTrade": True, "balances": []}
GOOD = {"enableSpotAndMarginTrading": True, "enableWithdrawals": False, "ipRestrict": True}


def client(account: Mapping[str, Any], rights: Mapping[str, Any] | None) -> BinanceClient:
    return BinanceClient(
        VENUES["binance"], clock=RealClock(), transport=Counter(account, rights), credentials=Credentials(KEY, SECRET)
    )


async def test_a_good_key_is_nothing_to_warn_of(make_settings: MakeSettings) -> None:
    examined = await examine(make_settings(), client(ACCOUNT, GOOD))
    assert (examined.holder.uid, examined.warnings) == ("1234567", ())


@pytest.mark.parametrize(
    ("account", "rights"),
    [(ACCOUNT | {"canTrade": False}, GOOD), (ACCOUNT, GOOD | {"enableSpotAndMarginTrading": False})],
    ids=["the account", "the key"],
)
async def test_a_key_that_cannot_trade_is_refused(
    make_settings: MakeSettings, account: dict[str, Any], rights: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="cannot trade"):
        await examine(make_settings(), client(account, rights))


async def test_a_key_that_may_withdraw_is_refused_unless_that_is_allowed_by_name(make_settings: MakeSettings) -> None:
    rights = GOOD | {"enableWithdrawals": True}
    with pytest.raises(ConfigError, match=r"may withdraw.*trading\.allow_withdrawal_keys = true"):
        await examine(make_settings(), client(ACCOUNT, rights))
    allowed = make_settings(trading__allow_withdrawal_keys=True)
    assert (await examine(allowed, client(ACCOUNT, rights))).warnings == (
        "this API key may withdraw (trading.allow_withdrawal_keys)",
    )


@pytest.mark.parametrize(
    ("rights", "word"), [(None, "does not tell"), (GOOD | {"ipRestrict": False}, "from any address")]
)
async def test_what_cannot_be_checked_and_a_key_for_any_address_are_warnings(
    make_settings: MakeSettings, rights: dict[str, Any] | None, word: str
) -> None:
    (warning,) = (await examine(make_settings(), client(ACCOUNT, rights))).warnings
    assert word in warning


async def test_an_ed25519_key_signs_what_a_venue_behind_a_network_accepts(make_settings: MakeSettings) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    key = Credentials(KEY, pem, KeyKind.ED25519)
    async with served(make_settings(), credentials={KEY: public}) as url:
        settings = make_settings(venue__name="binance", venue__base_url=url, trading__mode="testnet")
        async with open_session(settings, trading=True, credentials=key) as session:
            assert session.broker is not None
            for number in range(5):  # signatures with every character of base64
                order = Order("BTCUSDT", Side.BUY, f"n-{number}", quote_quantity=Decimal(100))
                assert (await session.broker.submit(order)).status == "FILLED"
            assert (await examine(settings, session.broker)).holder.tradable
        other = Credentials(KEY, SECRET)
        async with open_session(settings, trading=True, credentials=other) as session:
            assert session.broker is not None
            with pytest.raises(VenueRejected, match="Signature") as refused:
                await session.broker.balances()
            assert SECRET not in str(refused.value)


async def test_with_a_key_orders_go_to_the_venue_itself(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings: Settings = make_settings(venue__name="binance", venue__base_url=url, trading__mode="live")
        key = Credentials(PAPER_KEY, PAPER_SECRET)
        for before in (Decimal(10_000), Decimal(9_000)):
            async with open_session(settings, trading=True, credentials=key) as session:
                assert session.broker is not None
                assert session.paper is None
                assert (await session.broker.balances())["USDT"].free.quantize(Decimal(100)) == before
                await session.broker.submit(Order("BTCUSDT", Side.BUY, "one", quote_quantity=Decimal(1000)))
        assert not (settings.data_path / "paper").exists()
