"""Which of a cycle's predictions are handed to the desk, and what else the desk must know to judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from tradebot.clock import HOUR, SECOND
from tradebot.cycle import Cycle
from tradebot.errors import TradebotError
from tradebot.look import Look
from tradebot.market.bars import interval_ms
from tradebot.market.scout import RULES_LAST_MS
from tradebot.market.universe import spread
from tradebot.marks import MarkBoard
from tradebot.pipeline import Pipeline
from tradebot.trading.desk import Desk, Prediction
from tradebot.trading.reconcile import Reconciliation
from tradebot.trading.risk import Outlook, needs_spreads


class Admission:
    """Enters predictions. Exits never come here, so that nothing here can keep them."""

    def __init__(self, pipeline: Pipeline, desk: Desk, marks: MarkBoard, reconciliation: Reconciliation) -> None:
        self._pipeline, self._desk, self._marks, self._reconciliation = pipeline, desk, marks, reconciliation
        self.clock_doubt = ""
        """Why the venue's clock cannot be relied on; entries wait while there is a reason."""
        self._session = pipeline.session
        self._step = interval_ms(pipeline.intervals[0])

    async def enter(self, cycle: Cycle, look: Look, predictions: Sequence[Prediction]) -> None:
        """Enter what may be entered of these, by what `look` saw.

        The orders go to the cycle's, the reasons of all others to its `skipped`.
        """
        refused = {each.symbol: why for each in predictions if (why := self._refusal(cycle, each))}
        cycle.skipped |= refused
        left = [each for each in predictions if each.symbol not in refused]
        if not left:
            return
        threshold, outlook = look.threshold, Outlook(look.outlook_panels, clock_doubt=self.clock_doubt)
        old, wide = self._marks.asked < cycle.started, needs_spreads(self._pipeline.settings.risk)
        if (old or wide) and self._desk.hopeful(left, cycle.marks, threshold, outlook):
            cycle.marks = await self._marks.ask() if old else cycle.marks
            outlook = replace(outlook, spreads=await self._spreads(cycle)) if wide else outlook
        outcomes, skipped = await self._desk.enter(left, cycle.marks, threshold, outlook)
        cycle.outcomes += outcomes
        cycle.skipped |= skipped

    def _refusal(self, cycle: Cycle, prediction: Prediction) -> str | None:
        """Why it is not even offered to the rules: what they would be asked with is too old, or in doubt."""
        age = self._session.scout.rules_age
        if age > RULES_LAST_MS:
            return f"the trading rules are {age / HOUR:.0f} h old and cannot be read anew"
        since = cycle.started - (prediction.bar_time + self._step)
        if since >= self._step:
            return f"its bar closed {since / SECOND:.0f} s ago, and another one since"
        return self._reconciliation.refusal(prediction.symbol)

    async def _spreads(self, cycle: Cycle) -> dict[str, Decimal]:
        """How far ask and bid of each symbol lie apart now; empty if the venue does not answer."""
        try:
            tickers = await self._session.feed.tickers()
        except TradebotError as error:
            cycle.warnings.append(f"spreads not known: {error}")
            return {}
        return {symbol: Decimal(str(spread(ticker))) for symbol, ticker in tickers.items()}
