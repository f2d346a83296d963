"""Reconciliation breaks as durable objects, and the runs that found them.

A break is one row for ever: seen again it counts up, not seen it is cleared, seen after that it is open again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger import audit
from ledger.records import lock_account
from ledger.states import ReconciliationOutcome
from ledger.tables import ReconciliationBreak, ReconciliationRun


@dataclass(frozen=True, slots=True)
class SeenBreak:
    """One difference as a reconciliation saw it. `difference` is venue minus ledger where both are amounts."""

    kind: str
    severity: str
    subject: str
    instrument_id: str | None = None
    currency: str | None = None
    ledger_amount: Decimal | None = None
    venue_amount: Decimal | None = None
    difference: Decimal | None = None
    tolerance: Decimal = Decimal(0)
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class BreakChanges:
    """Ids of breaks by what a run did to them."""

    opened: tuple[str, ...] = ()
    seen_again: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()


def break_id(account_id: AccountId | str, kind: str, subject: str) -> str:
    """The same difference has the same id for ever."""
    return hashlib.sha256("\x1f".join((str(account_id), kind, subject)).encode()).hexdigest()[:32]


def record_breaks(
    session: Session,
    account_id: AccountId | str,
    seen: Sequence[SeenBreak],
    *,
    at: datetime,
    compared_kinds: Collection[str] | None = None,
    is_unjudged: Callable[[str, str], bool] | None = None,
) -> BreakChanges:
    """Store what was seen and clear open breaks that were not.

    `compared_kinds`: the kinds that this run really compared; breaks of other kinds stay as they are. None means all.
    `is_unjudged`: whether this run could not judge a kind and subject; such a break stays as it is too.
    """
    by_id = {break_id(account_id, item.kind, item.subject): item for item in seen}
    if len(by_id) != len(seen):
        raise ValueError("two breaks of one run have the same kind and subject; make the subject tell them apart")
    lock_account(session, account_id)
    opened: list[str] = []
    again: list[str] = []
    reopened: list[str] = []
    for identity, item in by_id.items():
        row = session.get(ReconciliationBreak, identity)
        if row is None:
            session.add(_new_row(identity, account_id, item, at))
            opened.append(identity)
            continue
        (again if row.cleared_at is None else reopened).append(identity)
        _see_again(row, item, at)
    session.flush()
    unseen = [row for row in open_breaks(session, account_id) if row.break_id not in by_id]
    gone = [
        row
        for row in unseen
        if (compared_kinds is None or row.kind in compared_kinds)
        and not (is_unjudged is not None and is_unjudged(row.kind, row.subject))
    ]
    for row in gone:
        row.cleared_at = at
    session.flush()
    cleared = tuple(row.break_id for row in gone)
    return BreakChanges(tuple(opened), tuple(again), tuple(reopened), cleared)


def _new_row(identity: str, account_id: AccountId | str, item: SeenBreak, at: datetime) -> ReconciliationBreak:
    return ReconciliationBreak(
        break_id=identity,
        account_id=str(account_id),
        kind=item.kind,
        severity=item.severity,
        subject=item.subject,
        instrument_id=item.instrument_id,
        currency=item.currency,
        ledger_amount=item.ledger_amount,
        venue_amount=item.venue_amount,
        difference=item.difference,
        tolerance=item.tolerance,
        evidence=item.evidence,
        first_seen_at=at,
        last_seen_at=at,
    )


def _see_again(row: ReconciliationBreak, item: SeenBreak, at: datetime) -> None:
    if row.cleared_at is not None:  # a decision was about the former occurrence
        row.cleared_at, row.decision, row.decided_by = None, "", ""
    row.severity = item.severity
    row.ledger_amount, row.venue_amount, row.difference = item.ledger_amount, item.venue_amount, item.difference
    row.tolerance, row.evidence = item.tolerance, item.evidence
    row.last_seen_at = at
    row.times_seen += 1


def open_breaks(session: Session, account_id: AccountId | str | None = None) -> tuple[ReconciliationBreak, ...]:
    """Breaks that were not cleared, oldest first."""
    query = select(ReconciliationBreak).where(col(ReconciliationBreak.cleared_at).is_(None))
    if account_id is not None:
        query = query.where(ReconciliationBreak.account_id == str(account_id))
    return tuple(session.exec(query.order_by(col(ReconciliationBreak.first_seen_at), ReconciliationBreak.break_id)))


def decide_break(session: Session, identity: str, *, decision: str, decided_by: str, at: datetime) -> None:
    """Note what a person decided about an open break; it stays open until it is no longer seen."""
    row = session.get(ReconciliationBreak, identity)
    if row is None or row.cleared_at is not None:
        raise LookupError(f"there is no open break {identity}")
    if not decision.strip() or not decided_by.strip():
        raise ValueError("a decision needs its text and who made it")
    row.decision, row.decided_by = decision, decided_by
    audit.append(
        session,
        chain=row.account_id,
        kind=audit.AuditKind.BREAK_DECISION,
        subject=f"break:{identity}",
        who=decided_by,
        detail={"break_id": identity, "decision": decision, "decided_by": decided_by},
        at=at,
    )


def record_run(
    session: Session,
    account_id: AccountId | str,
    *,
    outcome: ReconciliationOutcome,
    summary: str,
    started_at: datetime,
    ended_at: datetime,
) -> int:
    """Store one reconciliation and return its number. `summary` is JSON: what was compared and how many."""
    row = ReconciliationRun(
        account_id=str(account_id), outcome=outcome.value, summary=summary, started_at=started_at, ended_at=ended_at
    )
    session.add(row)
    session.flush()
    assert row.run_id is not None
    return row.run_id


def latest_run(session: Session, account_id: AccountId | str) -> ReconciliationRun | None:
    query = select(ReconciliationRun).where(ReconciliationRun.account_id == str(account_id))
    return session.exec(query.order_by(col(ReconciliationRun.run_id).desc()).limit(1)).first()
