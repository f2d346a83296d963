"""Pre-trade risk: a policy per environment and a pure check that fails closed and names every refusal."""

from trading.risk.checks import assess
from trading.risk.policy import InstrumentLimits, RiskPolicy, policy_sha256
from trading.risk.values import Exposure, Refusal, RiskReason

__all__ = ["Exposure", "InstrumentLimits", "Refusal", "RiskPolicy", "RiskReason", "assess", "policy_sha256"]
