"""May this prediction become an entry, and of what size: rules that refuse with a reason, and sizes.

`view` is what they look at, `outlook` what the cycle's bars say, `record` what the past brought; `rules`
judge the prediction, the venue and the money, `limits` exposure and losses; `sizes` say how much. All of
it is pure: the desk gathers what they look at once a cycle.
"""

from tradebot.trading.risk.limits import fallen
from tradebot.trading.risk.outlook import NOTHING, Outlook
from tradebot.trading.risk.record import Record
from tradebot.trading.risk.rules import ABOUT_MONEY, RULES, refused
from tradebot.trading.risk.sizes import SIZES, budget, needs_spreads, sized
from tradebot.trading.risk.view import Account, Candidate, Costs, Prediction

__all__ = [
    "ABOUT_MONEY", "NOTHING", "RULES", "SIZES", "Account", "Candidate", "Costs", "Outlook", "Prediction", "Record",
    "budget", "fallen", "needs_spreads", "refused", "sized",
]  # fmt: skip
