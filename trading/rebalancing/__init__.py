"""Rebalancing decisions, pure: portfolio and snapshot in, plan out; what to release; what was reached."""

from trading.rebalancing.model import LineAction, Plan, PlanLeg, PlanLine
from trading.rebalancing.planner import plan
from trading.rebalancing.portfolio import BandRule, DriftRule, OrderStyle, Portfolio, Scope, Unmanaged
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.view import AccountView, Holding, PlanImpossible, account_view

__all__ = [
    "AccountView",
    "BandRule",
    "DriftRule",
    "Holding",
    "LineAction",
    "LineReason",
    "OrderStyle",
    "Plan",
    "PlanImpossible",
    "PlanLeg",
    "PlanLine",
    "Portfolio",
    "Scope",
    "Unmanaged",
    "account_view",
    "plan",
]
