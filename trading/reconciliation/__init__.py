"""Reconciliation decisions, pure: the ledger's view and the venue's view in, typed breaks out."""

from trading.reconciliation.compare import reconcile
from trading.reconciliation.kinds import BreakKind, Severity
from trading.reconciliation.model import Break, Findings, LedgerView, Tolerances, UnresolvedOrder, VenueView

__all__ = [
    "Break",
    "BreakKind",
    "Findings",
    "LedgerView",
    "Severity",
    "Tolerances",
    "UnresolvedOrder",
    "VenueView",
    "reconcile",
]
