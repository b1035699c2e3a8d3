"""Rules about what is held and what was lost, each able to refuse an entry with a reason.

A limit of 0 is none. What is not known (a coin without bars, an equity that was never read) limits
nothing, except where a rule says otherwise.
"""

from __future__ import annotations

from tradebot.clock import SECOND
from tradebot.config import Risk
from tradebot.market.bars import interval_ms
from tradebot.market.venue import ZERO
from tradebot.trading.orders import figure
from tradebot.trading.risk.record import Record
from tradebot.trading.risk.rules import RULES
from tradebot.trading.risk.sizes import budget
from tradebot.trading.risk.view import Account, Candidate


@RULES.register("stale-data")
def _stale_data(candidate: Candidate, account: Account) -> str | None:
    """The newest bar that the venue really had must be no older than `risk.max_bar_age` bars, from its close."""
    panels, closed = account.outlook.panels, account.outlook.closed(candidate.symbol)
    if closed is None or not account.risk.max_bar_age:
        return None
    age = account.now - closed
    if age <= account.risk.max_bar_age * interval_ms(panels[0].interval):
        return None
    return f"its newest {panels[0].interval} bar closed {age // SECOND} s ago"


@RULES.register("cool-down")
def _cool_down(candidate: Candidate, account: Account) -> str | None:
    """After a loss or a stop its symbol rests, `risk.cool_down_s`, and so do all, `risk.cool_down_all_s`."""
    record, risk = account.record, account.risk
    for last, rest, whose in (
        (record.bad.get(candidate.symbol, 0), risk.cool_down_s, "its"),
        (record.last_bad, risk.cool_down_all_s, "the"),
    ):
        left = last + rest * SECOND - account.now
        if last and rest and left > 0:
            return f"{left // SECOND} s to wait after {whose} last loss"
    return None


@RULES.register("losing-streak")
def _losing_streak(_candidate: Candidate, account: Account) -> str | None:
    """After `risk.max_losses` losses in a row all rest for `risk.pause_s`, and again after each one more."""
    record, risk = account.record, account.risk
    left = record.last_loss + risk.pause_s * SECOND - account.now
    if not risk.max_losses or record.losses < risk.max_losses or left <= 0:
        return None
    return f"{record.losses} losses in a row: {left // SECOND} s to wait"


@RULES.register("daily-loss")
def _daily_loss(_candidate: Candidate, account: Account) -> str | None:
    """Once the day (UTC) has lost `risk.daily_loss` of the equity at its start, there are exits only until it ends."""
    lost, most = account.record.daily_loss, account.risk.daily_loss
    return f"{lost:.2%} lost today, the limit is {most:.2%}" if most and lost >= most else None


@RULES.register("drawdown")
def _drawdown(_candidate: Candidate, account: Account) -> str | None:
    """A fall of `risk.drawdown` from the highest equity stops the trading, until that is released by hand."""
    return fallen(account.record, account.risk)


def fallen(record: Record, risk: Risk) -> str | None:
    """That the drawdown has reached its limit, in words."""
    fall, most = record.drawdown, risk.drawdown
    return f"{fall:.2%} below the highest equity, the limit is {most:.2%}" if most and fall >= most else None


@RULES.register("correlated")
def _correlated(candidate: Candidate, account: Account) -> str | None:
    """At most `risk.max_correlated` positions that move with it: correlated by `risk.correlation` or more."""
    risk = account.risk
    if not risk.max_correlated:
        return None
    found = {each: account.outlook.correlation(candidate.symbol, each) for each in sorted(account.held)}
    near = [f"{each} {value:.2f}" for each, value in found.items() if value is not None and value >= risk.correlation]
    return f"moves with what is held: {', '.join(near)}" if len(near) >= risk.max_correlated else None


@RULES.register("edge")
def _edge(candidate: Candidate, account: Account) -> str | None:
    """To expect, p × target − (1 − p) × stop − costs (shares of the position), must be `risk.min_edge` or more."""
    if account.risk.min_edge is None:
        return None
    least, limits = float(account.risk.min_edge), account.limits
    probability = candidate.prediction.probability
    gain, loss = float(limits.take_profit), float(limits.stop_loss)
    edge = probability * gain - (1 - probability) * loss - float(account.cost(candidate.symbol))
    return None if edge >= least else f"{edge:.3%} to expect after costs, below {least:.3%}"


@RULES.register("exposure")
def _exposure(candidate: Candidate, account: Account) -> str | None:
    """All positions together are worth at most `risk.max_exposure` of the equity: the rest stays in quote coin."""
    held, more = account.exposure, budget(candidate, account)
    most = account.risk.max_exposure * account.equity
    if held + more <= most:
        return None
    return f"{figure(held)} {account.quote} held, {figure(more)} more would be above {figure(most)}"


@RULES.register("coin")
def _coin(candidate: Candidate, account: Account) -> str | None:
    """What is held of its base coin is worth at most `risk.max_coin` of the equity, whatever symbols it is in."""
    base = candidate.rules.base
    held, more = account.worth.get(base, ZERO), budget(candidate, account)
    most = account.risk.max_coin * account.equity
    if held + more <= most:
        return None
    return f"{figure(held)} {account.quote} of {base} held, {figure(more)} more would be above {figure(most)}"
