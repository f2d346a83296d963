"""Reconciliation breaks as durable objects, and the runs that found them.

A break is one row for ever: seen again it counts up, not seen it is cleared, seen after that it is open again. A kind
that may be timing is suspected until a second run sees it too. Every step is a row of `break_event`; decisions are
steps of their own, and none of them edits another. A critical break that is open locks what it names (`ledger.locks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlmodel import Session, col, func, or_, select

from brokers.ids import AccountId
from ledger.acceptances import Acceptance, standing_acceptance, unbounded_acceptance
from ledger.audit import PERSON, canonical_json
from ledger.break_tables import BreakEvent
from ledger.locks import count_clean_runs, hold_lock
from ledger.records import lock_account
from ledger.states import BreakState, BreakStep, ReconciliationOutcome
from ledger.tables import ReconciliationBreak, ReconciliationRun

RUN = "run"  # who writes the steps that no person decided
_OPEN_OR_NOT = frozenset(
    step.value for step in (BreakStep.SUSPECTED, BreakStep.OPENED, BreakStep.CLEARED, BreakStep.UNCLAIMED)
)


@dataclass(frozen=True, slots=True)
class SeenBreak:
    """One difference as a reconciliation saw it. `difference` is venue minus ledger where both are amounts.

    `may_be_timing`: only a second run makes it sure. `locks`: the instrument that it locks once it is sure, or
    `ledger.locks.EVERYTHING`; "" for none.
    """

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
    may_be_timing: bool = False
    locks: str = ""
    lets_reductions_out: bool = True


@dataclass(frozen=True, slots=True)
class BreakChanges:
    """Ids of breaks by what a run did to them.

    `accepted` are all that are open and as a person accepted them, `acceptance_ended` those that no longer are.

    `suspected` are those of the opened and reopened that wait for a second run, `confirmed` those of the seen again
    that had waited. `locked` and `unlocked` name what they lock: account and instrument.
    """

    opened: tuple[str, ...] = ()
    seen_again: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    suspected: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    acceptance_ended: tuple[str, ...] = ()


def break_id(account_id: AccountId | str, kind: str, subject: str) -> str:
    """The same difference has the same id for ever."""
    return hashlib.sha256("\x1f".join((str(account_id), kind, subject)).encode()).hexdigest()[:32]


# -- what a run saw ---------------------------------------------------------------------------------------------
def record_breaks(
    session: Session,
    account_id: AccountId | str,
    seen: Sequence[SeenBreak],
    *,
    at: datetime,
    compared_kinds: Collection[str] | None = None,
    is_unjudged: Callable[[str, str], bool] | None = None,
    is_as_accepted: Callable[[SeenBreak, Acceptance], bool] = lambda seen, accepted: False,
) -> BreakChanges:
    """Store what was seen, clear open breaks that were not, lock and unlock. Store its run in the same transaction.

    `compared_kinds`: the kinds that this run really compared; breaks of other kinds stay as they are. None means all.
    `is_unjudged`: whether this run could not judge a kind and subject; such a break stays as it is too.
    `is_as_accepted`: whether what was seen is what a person accepted; where it is not, the acceptance is over. One of a
    break that this run could not judge stands until its time is over.
    """
    by_id = {break_id(account_id, item.kind, item.subject): item for item in seen}
    if len(by_id) != len(seen):
        raise ValueError("two breaks of one run have the same kind and subject; make the subject tell them apart")
    lock_account(session, account_id)
    book = _Book(session, str(account_id), at)

    def judged(kind: str, subject: str) -> bool:
        is_compared = compared_kinds is None or kind in compared_kinds
        return is_compared and not (is_unjudged is not None and is_unjudged(kind, subject))

    for identity, item in by_id.items():
        book.see(identity, item)
    session.flush()
    for row in open_breaks(session, account_id):
        if row.break_id not in by_id and judged(row.kind, row.subject):
            book.clear(row)
    session.flush()
    book.count_clean_runs(judged)
    book.judge_acceptances(by_id, is_as_accepted)
    session.flush()
    return book.changes()


class _Book:
    """One run's work on the rows of an account."""

    def __init__(self, session: Session, account_id: str, at: datetime) -> None:
        self.session, self.account_id, self.at = session, account_id, at
        self._runs_before = newest_run_id(session, account_id)
        names = ("opened", "seen_again", "reopened", "cleared", "suspected", "confirmed", "locked", "unlocked")
        self._changed: dict[str, list[str]] = {name: [] for name in (*names, "accepted", "acceptance_ended")}

    def changes(self) -> BreakChanges:
        return BreakChanges(**{name: tuple(found) for name, found in self._changed.items()})

    def see(self, identity: str, item: SeenBreak) -> None:
        row = self.session.get(ReconciliationBreak, identity)
        if row is None:
            row = _new_row(identity, self.account_id, item, self.at)
            self.session.add(row)
            self._begin(row, item, "opened")
        elif row.cleared_at is not None:  # a decision was about the former occurrence
            row.cleared_at, row.decision, row.decided_by, row.owner = None, "", "", None
            _see_again(row, item, self.at)
            self._begin(row, item, "reopened")
        else:
            _see_again(row, item, self.at)
            self._changed["seen_again"].append(identity)
            self._confirm(row)
        if row.state == BreakState.OPEN.value and item.locks:
            self._lock(row, item)

    def _begin(self, row: ReconciliationBreak, item: SeenBreak, change: str) -> None:
        self._changed[change].append(row.break_id)
        row.state = BreakState.SUSPECTED.value if item.may_be_timing else BreakState.OPEN.value
        if item.may_be_timing:
            self._changed["suspected"].append(row.break_id)
        self._note(row, BreakStep.SUSPECTED if item.may_be_timing else BreakStep.OPENED, **_seen_detail(item))

    def _confirm(self, row: ReconciliationBreak) -> None:
        if row.state == BreakState.SUSPECTED.value:
            row.state = BreakState.OPEN.value
            self._changed["confirmed"].append(row.break_id)
            self._note(row, BreakStep.CONFIRMED, times_seen=row.times_seen)

    def _lock(self, row: ReconciliationBreak, item: SeenBreak) -> None:
        lock = hold_lock(
            self.session,
            row,
            instrument_id=item.locks,
            lets_reductions_out=item.lets_reductions_out,
            at=self.at,
        )
        if lock is not None:
            self._changed["locked"].append(f"{self.account_id} {item.locks}")
            self._note(row, BreakStep.LOCKED, instrument_id=item.locks, lock_id=lock.lock_id)

    def clear(self, row: ReconciliationBreak) -> None:
        row.cleared_at, row.state = self.at, BreakState.CLEARED.value
        self._changed["cleared"].append(row.break_id)
        self._note(row, BreakStep.CLEARED, times_seen=row.times_seen, last_seen_at=row.last_seen_at)

    def count_clean_runs(self, judged: Callable[[str, str], bool]) -> None:
        for row, lock in count_clean_runs(self.session, self.account_id, judged=judged, at=self.at):
            self._changed["unlocked"].append(f"{self.account_id} {lock.instrument_id}")
            self._note(row, BreakStep.UNLOCKED, lock_id=lock.lock_id, clean_runs=lock.clean_runs)

    def judge_acceptances(
        self, seen: Mapping[str, SeenBreak], is_as_accepted: Callable[[SeenBreak, Acceptance], bool]
    ) -> None:
        """Which open breaks a person still accepts; the others go on without that decision."""
        for row in open_breaks(self.session, self.account_id):
            accepted = accepted_now(self.session, row)
            if accepted is None:
                continue
            item = seen.get(row.break_id)
            if accepted.expires_at <= self.at:
                self._end_acceptance(row, accepted, "its time was over")
            elif item is not None and not is_as_accepted(item, accepted):
                self._end_acceptance(row, accepted, "the difference is another one")
            else:
                self._changed["accepted"].append(row.break_id)

    def _end_acceptance(self, row: ReconciliationBreak, accepted: Acceptance, why: str) -> None:
        self._changed["acceptance_ended"].append(row.break_id)
        amounts = {"ledger_amount": row.ledger_amount, "venue_amount": row.venue_amount, "evidence": row.evidence}
        self._note(row, BreakStep.ACCEPTANCE_ENDED, why=why, accepted=accepted.detail(), **amounts)
        if (row.decision, row.decided_by) == (accepted.reason, accepted.accepted_by):
            row.decision, row.decided_by = "", ""

    def _note(self, row: ReconciliationBreak, step: BreakStep, **detail: object) -> None:
        add_event(self.session, row, step, who=RUN, at=self.at, detail=detail, runs_before=self._runs_before)


def _new_row(identity: str, account_id: str, item: SeenBreak, at: datetime) -> ReconciliationBreak:
    return ReconciliationBreak(
        break_id=identity,
        account_id=account_id,
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
    row.severity = item.severity
    row.ledger_amount, row.venue_amount, row.difference = item.ledger_amount, item.venue_amount, item.difference
    row.tolerance, row.evidence = item.tolerance, item.evidence
    row.last_seen_at = at
    row.times_seen += 1


def _seen_detail(item: SeenBreak) -> dict[str, object]:
    amounts = {"ledger_amount": item.ledger_amount, "venue_amount": item.venue_amount, "tolerance": item.tolerance}
    return {"severity": item.severity, "evidence": item.evidence, **amounts}


# -- steps ------------------------------------------------------------------------------------------------------
def add_event(
    session: Session,
    row: ReconciliationBreak,
    step: BreakStep,
    *,
    who: str,
    at: datetime,
    reason: str = "",
    approved_by: str = "",
    detail: dict[str, object] | None = None,
    runs_before: int | None = None,
    expires_at: datetime | None = None,
) -> BreakEvent:
    """Append one step of a break; decisions, locks and unlocks get their link in the audit (ledger.audit)."""
    event = BreakEvent(
        break_id=row.break_id,
        account_id=row.account_id,
        subject=row.subject,
        step=step.value,
        who=who,
        approved_by=approved_by,
        reason=reason,
        detail=canonical_json(detail or {}),
        runs_before=newest_run_id(session, row.account_id) if runs_before is None else runs_before,
        expires_at=expires_at,
        at=at,
    )
    session.add(event)
    return event


def events_of(session: Session, identity: str) -> tuple[BreakEvent, ...]:
    """Every step of one break, oldest first."""
    query = select(BreakEvent).where(BreakEvent.break_id == identity)
    return tuple(session.exec(query.order_by(col(BreakEvent.event_id))))


def accepted_now(session: Session, row: ReconciliationBreak) -> Acceptance | None:
    """What a person accepted of an open break, until a run ends it."""
    if not row.decision or row.cleared_at is not None:
        return None
    return standing_acceptance(events_of(session, row.break_id))


def is_accepted_unbounded(session: Session, row: ReconciliationBreak) -> bool:
    """Whether an open break was accepted before acceptances had a bound and an end, so that it counts all the same."""
    if not row.decision or row.cleared_at is not None:
        return False
    return unbounded_acceptance(events_of(session, row.break_id)) is not None


def accepted_at(session: Session, row: ReconciliationBreak, at: datetime) -> Acceptance | None:
    """What a person had accepted of a break at a moment, and what had not ended by then."""
    found = standing_acceptance(event for event in events_of(session, row.break_id) if event.at <= at)
    return found if found is not None and found.expires_at > at else None


def claimed_subjects(session: Session, account_id: AccountId | str) -> frozenset[str]:
    """The external orders and trades of an account that have an owner."""
    steps = (BreakStep.CLAIMED.value, BreakStep.UNCLAIMED.value)
    query = select(BreakEvent.subject, BreakEvent.step).where(
        BreakEvent.account_id == str(account_id), col(BreakEvent.step).in_(steps)
    )
    newest = dict(session.exec(query.order_by(col(BreakEvent.event_id))).all())
    return frozenset(subject for subject, step in newest.items() if step == BreakStep.CLAIMED.value)


# -- looking ----------------------------------------------------------------------------------------------------
def open_breaks(session: Session, account_id: AccountId | str | None = None) -> tuple[ReconciliationBreak, ...]:
    """Breaks that were not cleared, suspected ones too, oldest first."""
    return find_breaks(session, account_id=account_id)


def open_breaks_at(session: Session, account_id: AccountId | str, at: datetime) -> tuple[ReconciliationBreak, ...]:
    """Breaks that were open at a moment, oldest first, by their steps. The rows' amounts are those of now."""
    query = select(ReconciliationBreak).where(
        ReconciliationBreak.account_id == str(account_id),
        col(ReconciliationBreak.first_seen_at) <= at,
        or_(col(ReconciliationBreak.cleared_at).is_(None), col(ReconciliationBreak.cleared_at) > at),
    )
    rows = session.exec(query.order_by(col(ReconciliationBreak.first_seen_at), col(ReconciliationBreak.break_id)))
    return tuple(row for row in rows.all() if _was_open(session, row, at))


def _was_open(session: Session, row: ReconciliationBreak, at: datetime) -> bool:
    """A break from before steps were on record has been open since it was first seen."""
    steps = [event.step for event in events_of(session, row.break_id) if event.at <= at and event.step in _OPEN_OR_NOT]
    return not steps or steps[-1] != BreakStep.CLEARED.value


def find_breaks(
    session: Session,
    *,
    account_id: AccountId | str | None = None,
    kind: str = "",
    owner: str = "",
    cleared: bool = False,
    limit: int | None = None,
) -> tuple[ReconciliationBreak, ...]:
    """Breaks by account, kind and owner, oldest first; with `cleared` also those that are over, newest of all last."""
    query = select(ReconciliationBreak)
    if not cleared:
        query = query.where(col(ReconciliationBreak.cleared_at).is_(None))
    if account_id is not None:
        query = query.where(ReconciliationBreak.account_id == str(account_id))
    if kind:
        query = query.where(ReconciliationBreak.kind == kind)
    if owner:
        query = query.where(ReconciliationBreak.owner == owner)
    query = query.order_by(col(ReconciliationBreak.first_seen_at).desc(), col(ReconciliationBreak.break_id).desc())
    found = session.exec(query if limit is None else query.limit(limit))
    return tuple(reversed(found.all()))


def find_break(session: Session, identity: str) -> ReconciliationBreak:
    """The break by its id or the unique beginning of it; LookupError."""
    query = select(ReconciliationBreak).where(col(ReconciliationBreak.break_id).startswith(identity, autoescape=True))
    found = session.exec(query.limit(2)).all() if identity else []
    if len(found) != 1:
        what = "no break" if not found else "more than one break"
        raise LookupError(f"there is {what} whose id begins with {identity!r}")
    return found[0]


def decide_break(session: Session, identity: str, *, decision: str, decided_by: str, at: datetime) -> None:
    """Note what a person decided about an open break; it stays open until it is no longer seen."""
    row = session.get(ReconciliationBreak, identity)
    if row is None or row.cleared_at is not None:
        raise LookupError(f"there is no open break {identity}")
    note_decision(session, row, BreakStep.EXPLAINED, decision=decision, decided_by=decided_by, at=at)


def note_decision(
    session: Session,
    row: ReconciliationBreak,
    step: BreakStep,
    *,
    decision: str,
    decided_by: str,
    at: datetime,
    approved_by: str = "",
    detail: dict[str, object] | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Append a person's decision and show it on the row; ValueError without its text or who made it."""
    if not decision.strip() or not decided_by.strip():
        raise ValueError("a decision needs its text and who made it")
    add_event(
        session,
        row,
        step,
        who=PERSON + decided_by,
        at=at,
        reason=decision,
        approved_by=approved_by,
        detail=detail,
        expires_at=expires_at,
    )
    row.decision, row.decided_by = decision, decided_by


# -- runs -------------------------------------------------------------------------------------------------------
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


def newest_run_id(session: Session, account_id: AccountId | str) -> int:
    """The number of the account's newest run; 0 before the first."""
    query = select(func.max(ReconciliationRun.run_id)).where(ReconciliationRun.account_id == str(account_id))
    return session.exec(query).one() or 0
