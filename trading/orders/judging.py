"""Judge a ledger in use by every named invariant, with what its rows do not say about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select

from brokers.errors import Unsupported
from brokers.ids import AccountId
from brokers.registry import capabilities
from ledger.invariants import Finding, Rules, check_ledger
from ledger.tables import OrderIntent
from trading.orders.protocol import needs_own_lane


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many orders were judged, and every breach."""

    intents: int
    findings: tuple[Finding, ...]


def judge_ledger(session: Session, *, now: datetime, account_id: AccountId | None = None) -> Judgement:
    """Judge I1 to I17 for one account or for all; `now` (the ledger's time) says what is overdue.

    It changes nothing, and holds what it judges in memory. The keys of alerts are judged only with all accounts.
    """
    counted = select(col(OrderIntent.account_id), func.count()).group_by(col(OrderIntent.account_id))
    counts = {AccountId.parse(name): number for name, number in session.exec(counted)}
    rules = Rules(
        lanes=frozenset(str(account) for account in counts if _keeps_lanes(account)),
        pools={str(account): account.environment.value for account in counts},
        now=now,
    )
    intents = sum(counts.values()) if account_id is None else counts.get(account_id, 0)
    return Judgement(intents, check_ledger(session, account_id, rules=rules))


def _keeps_lanes(account: AccountId) -> bool:
    """Where every product of the venue needs its own lane; a venue that is gone from the product keeps none."""
    try:
        identities = capabilities(account.venue).identity.values()
    except Unsupported:
        return False
    return all(needs_own_lane(identity) for identity in identities)
