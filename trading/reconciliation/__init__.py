"""Reconciliation decisions, pure: the ledger's view and the venue's view in, typed breaks out."""

from trading.reconciliation.compare import reconcile
from trading.reconciliation.kinds import BreakKind, Lock, Severity
from trading.reconciliation.model import Break, Findings, LedgerView, Ownership, Tolerances, UnresolvedOrder, VenueView

__all__ = [
    "Break",
    "BreakKind",
    "Findings",
    "LedgerView",
    "Lock",
    "Ownership",
    "Severity",
    "Tolerances",
    "UnresolvedOrder",
    "VenueView",
    "reconcile",
]
