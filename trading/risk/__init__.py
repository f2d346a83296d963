"""Pre-trade risk: a policy per environment and a pure check that fails closed and names every refusal."""

from trading.risk.checks import assess
from trading.risk.policy import InstrumentLimits, RiskPolicy, policy_sha256
from trading.risk.sessions import TradingSession
from trading.risk.values import Conduct, Exposure, GoodQuote, Refusal, Resting, RiskReason

__all__ = [
    "Conduct",
    "Exposure",
    "GoodQuote",
    "InstrumentLimits",
    "Refusal",
    "Resting",
    "RiskPolicy",
    "RiskReason",
    "TradingSession",
    "assess",
    "policy_sha256",
]
