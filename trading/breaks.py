"""What people do about breaks: look, accept, assign, explain, correct, claim, override; and take back what they said.

No venue is asked. An acceptance is of the difference as it is, within a bound and until a time; it lifts no lock.

Every decision is a step of the break and a link of the audit, in one transaction; none edits another. What lets orders
out that a lock keeps here, now or once the break is gone (override, correct), needs two people in production, as
lowering a control does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session

from brokers.reasons import Reason
from brokers.strictjson import encode
from brokers.types import ZERO, OrderStatus
from ledger.acceptances import Acceptance, standing_acceptance
from ledger.adjustments import adjustments_of
from ledger.break_tables import Adjustment, BreakEvent, InstrumentLock
from ledger.breaks import (
    accepted_now,
    claimed_subjects,
    events_of,
    find_break,
    find_breaks,
    is_accepted_unbounded,
    note_decision,
)
from ledger.controlling import require_two_people
from ledger.engine import Ledger
from ledger.locks import lock_of_break, locks_of
from ledger.records import lock_account
from ledger.states import BreakState, BreakStep
from ledger.tables import OrderRow, ReconciliationBreak
from trading.reconciliation.accepting import accepted_amount, accepted_content, is_sum
from trading.reconciliation.correcting import Found, NotCorrectable, entry_for
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import text_of

OVERRIDE_HOURS_MAX = 24
ACCEPT_DAYS, ACCEPT_DAYS_MAX = 30, 365
CLAIMABLE = frozenset({BreakKind.ORDER_EXTERNAL, BreakKind.FILL_EXTERNAL})


class BreakReason(Reason):
    """Why a decision on a break was not taken."""

    BREAK_UNKNOWN = (
        "BREAK_UNKNOWN",
        "The ledger has no such break, or several whose id begins like that.",
        "See `algotrendy breaks list --all`, and give more of the id.",
    )
    BREAK_OVER = (
        "BREAK_OVER",
        "The break is gone already: there is nothing to decide.",
        "None needed. A break that comes back is open again, without its former decision.",
    )
    BREAK_UNSURE = (
        "BREAK_UNSURE",
        "The break was seen once and may be timing, so it is not corrected yet.",
        "Reconcile again: a second run confirms it or clears it.",
    )
    BREAK_DECISION_INCOMPLETE = (
        "BREAK_DECISION_INCOMPLETE",
        "A decision needs its reason, who takes it and what it is about.",
        "Give what the message names.",
    )
    BREAK_NOT_CORRECTABLE = (
        "BREAK_NOT_CORRECTABLE",
        "No single entry in the books puts this break right.",
        "Follow the remedy of its kind; accept or explain it meanwhile.",
    )
    BREAK_CORRECTED_ALREADY = (
        "BREAK_CORRECTED_ALREADY",
        "An entry was written since the break was seen last; a second one would count twice.",
        "Reconcile the account: the break clears, or it is seen again with what is left.",
    )
    BREAK_ENTRY_UNKNOWN = (
        "BREAK_ENTRY_UNKNOWN",
        "The ledger has no such correcting entry, or it was taken back already, or takes back another.",
        "See `algotrendy breaks show` for the entries of a break.",
    )
    BREAK_NOT_CLAIMABLE = (
        "BREAK_NOT_CLAIMABLE",
        "Only orders and trades of other hands are claimed.",
        "Assign, explain or accept this break instead.",
    )
    BREAK_NOT_CLAIMED = (
        "BREAK_NOT_CLAIMED",
        "Nobody's claim of this order or trade stands, so there is none to take back.",
        "See `algotrendy breaks show` for what was decided about it.",
    )
    BREAK_NOT_ACCEPTED = (
        "BREAK_NOT_ACCEPTED",
        "No acceptance of this break stands, so there is none to take back.",
        "See `algotrendy breaks show`: it ends with its time, with another difference, or with the break.",
    )
    BREAK_NOT_BOUNDED = (
        "BREAK_NOT_BOUNDED",
        "Only a position or a balance is accepted within a bound; any other break is accepted as it is.",
        "Give no bound.",
    )
    BREAK_NOT_LOCKED = (
        "BREAK_NOT_LOCKED",
        "The break locks nothing, so there is nothing to override.",
        "None needed: orders leave as far as this break is concerned.",
    )


class BreakRefused(Exception):
    """The decision was not taken; nothing was written."""

    def __init__(self, reason: BreakReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = reason.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decides about one break. `break_id` may be the beginning of the id.

    `owner`: to whom it is assigned, or whose an external order is. `amount`: of a correction, where it is not the whole
    difference. `reverses`: the entry that a correction takes back. `hours`: how long an override lasts. `days`: how
    long an acceptance stands, and `within`: how far the sum that it is about may move meanwhile.
    """

    break_id: str
    step: BreakStep
    reason: str
    set_by: str
    approved_by: str = ""
    owner: str = ""
    amount: Decimal | None = None
    reverses: int | None = None
    hours: int = 0
    days: int = ACCEPT_DAYS
    within: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakLine:
    """A break as lists show it."""

    row: ReconciliationBreak
    lock: InstrumentLock | None
    now: datetime
    accepted: Acceptance | None = None  # what stands; a run ends it once its time is over
    is_unbounded: bool = False  # accepted before acceptances had a bound and an end: it counts until accepted again

    @property
    def age(self) -> timedelta:
        """From when it was first seen until it was gone, or until now."""
        return (self.row.cleared_at or self.now) - self.row.first_seen_at

    @property
    def kind(self) -> BreakKind | None:
        """None for a kind of another version of the program."""
        return BreakKind.__members__.get(self.row.kind)

    @property
    def is_overridden(self) -> bool:
        until = None if self.lock is None else self.lock.overridden_until
        return until is not None and until > self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakStory:
    """One break with everything that happened to it and every entry that was written for it."""

    line: BreakLine
    events: tuple[BreakEvent, ...]
    adjustments: tuple[Adjustment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakBook:
    """Breaks of a ledger, oldest first, and every lock that stands."""

    environment: str
    now: datetime
    lines: tuple[BreakLine, ...]
    locks: tuple[InstrumentLock, ...]


# -- looking ----------------------------------------------------------------------------------------------------
def read_breaks(
    ledger: Ledger,
    *,
    account_id: str = "",
    kind: str = "",
    owner: str = "",
    cleared: bool = False,
    limit: int = 200,
) -> BreakBook:
    """Breaks by what is asked for, the newest `limit` of them."""
    with ledger.read() as session:
        now, chosen = ledger.now(session), account_id or None
        rows = find_breaks(session, account_id=chosen, kind=kind, owner=owner, cleared=cleared, limit=limit)
        locks = locks_of(session, chosen)
        by_break = {lock.break_id: lock for lock in locks}
        lines = tuple(_line(session, row, by_break.get(row.break_id), now) for row in rows)
        return BreakBook(environment=ledger.environment.value, now=now, lines=lines, locks=locks)


def read_break(ledger: Ledger, break_id: str) -> BreakStory:
    """Everything about one break; BreakRefused when it is not known."""
    with ledger.read() as session:
        return _story(session, _known(session, break_id), ledger.now(session))


def _line(session: Session, row: ReconciliationBreak, lock: InstrumentLock | None, now: datetime) -> BreakLine:
    accepted, is_unbounded = accepted_now(session, row), is_accepted_unbounded(session, row)
    return BreakLine(row=row, lock=lock, now=now, accepted=accepted, is_unbounded=is_unbounded)


def _story(session: Session, row: ReconciliationBreak, now: datetime) -> BreakStory:
    entries = adjustments_of(session, row.account_id)
    return BreakStory(
        line=_line(session, row, lock_of_break(session, row.break_id), now),
        events=events_of(session, row.break_id),
        adjustments=tuple(entry for entry in entries if entry.break_id == row.break_id),
    )


# -- deciding ---------------------------------------------------------------------------------------------------
def decide(ledger: Ledger, decision: Decision) -> BreakStory:
    """Take a person's decision and return the break as it is then. BreakRefused, NeedsTwoPeople: nothing is written."""
    _require_words(decision)
    if decision.step in (BreakStep.CORRECTED, BreakStep.OVERRIDDEN):
        what = f"decision {decision.step} on a break"
        require_two_people(ledger.environment, decision.set_by, decision.approved_by, what=what)
    with ledger.write() as session:
        row = _known(session, decision.break_id)
        lock_account(session, row.account_id)  # the sender holds it while it reads locks
        session.refresh(row)
        now = ledger.now(session)
        if row.cleared_at is not None and not _may_follow_the_break(session, row, decision):
            raise BreakRefused(BreakReason.BREAK_OVER, f"break {row.break_id} was cleared at {row.cleared_at}")
        detail, expires_at = _DECIDE[decision.step](session, row, decision, now)
        note_decision(
            session,
            row,
            decision.step,
            decision=decision.reason,
            decided_by=decision.set_by,
            approved_by=decision.approved_by,
            at=now,
            detail=detail,
            expires_at=expires_at,
        )
        session.flush()
        return _story(session, row, now)


def _known(session: Session, break_id: str) -> ReconciliationBreak:
    try:
        return find_break(session, break_id)
    except LookupError as error:
        raise BreakRefused(BreakReason.BREAK_UNKNOWN, str(error)) from error


def _may_follow_the_break(session: Session, row: ReconciliationBreak, decision: Decision) -> bool:
    """An entry or a claim is taken back, and a lock overridden, also when the break itself is gone already."""
    if decision.step is BreakStep.OVERRIDDEN:
        return lock_of_break(session, row.break_id) is not None
    if decision.step is BreakStep.UNCLAIMED:
        return True
    return decision.step is BreakStep.CORRECTED and decision.reverses is not None


def _require_words(decision: Decision) -> None:
    needed = {"reason": decision.reason, "set_by": decision.set_by}
    if decision.step in (BreakStep.ASSIGNED, BreakStep.CLAIMED):
        needed["owner"] = decision.owner
    for name, value in needed.items():
        if not value.strip():
            raise BreakRefused(BreakReason.BREAK_DECISION_INCOMPLETE, f"{name} must be given, was {value!r}")
    limited = {
        BreakStep.OVERRIDDEN: ("hours", decision.hours, OVERRIDE_HOURS_MAX),
        BreakStep.ACCEPTED: ("days", decision.days, ACCEPT_DAYS_MAX),
    }
    if decision.step in limited:
        name, given, most = limited[decision.step]
        if not 1 <= given <= most:
            raise BreakRefused(BreakReason.BREAK_DECISION_INCOMPLETE, f"{name} must be 1 to {most}, was {given}")


_Outcome = tuple[dict[str, object], datetime | None]


def _assign(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    row.owner = decision.owner
    return {"owner": decision.owner}, None


def _note(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    return {}, None


def _accept(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    if decision.within < 0:
        message = f"a bound must be 0 or more, was {decision.within}"
        raise BreakRefused(BreakReason.BREAK_DECISION_INCOMPLETE, message)
    if decision.within and not is_sum(row.kind):
        raise BreakRefused(BreakReason.BREAK_NOT_BOUNDED, f"break {row.break_id} is {row.kind}")
    found = (row.kind, row.ledger_amount, row.venue_amount, json.loads(row.evidence or "{}"))
    accepted = Acceptance(
        amount=accepted_amount(*found),
        content=accepted_content(*found),
        within=decision.within,
        reason=decision.reason,
        accepted_by=decision.set_by,
        accepted_at=now,
        expires_at=now + timedelta(days=decision.days),
    )
    return accepted.detail(), accepted.expires_at


def _unaccept(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    if standing_acceptance(events_of(session, row.break_id)) is None:
        raise BreakRefused(BreakReason.BREAK_NOT_ACCEPTED, f"break {row.break_id} ({row.kind}) is not accepted")
    return {}, None


def _unclaim(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    """Open it again, so that the next run judges it, however long ago it was: the run reaches back to its time."""
    if row.kind not in CLAIMABLE or row.subject not in claimed_subjects(session, row.account_id):
        raise BreakRefused(BreakReason.BREAK_NOT_CLAIMED, f"{row.subject} of break {row.break_id} is not claimed")
    former, row.owner = row.owner, None
    row.cleared_at, row.state = None, BreakState.OPEN.value
    evidence = json.loads(row.evidence or "{}")
    order = session.get(OrderRow, (row.account_id, row.subject.removeprefix("order ")))
    if order is not None and not OrderStatus(order.status).is_open:  # while it is open it is shown, however old
        evidence["time"] = text_of(min(order.created_at, order.updated_at))
        row.evidence = encode(evidence)
    return {"owner": former or ""}, None


def _claim(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    if row.kind not in CLAIMABLE:
        raise BreakRefused(BreakReason.BREAK_NOT_CLAIMABLE, f"break {row.break_id} is {row.kind}")
    row.owner = decision.owner
    return {"owner": decision.owner}, None


def _override(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    lock = lock_of_break(session, row.break_id)
    if lock is None:
        raise BreakRefused(BreakReason.BREAK_NOT_LOCKED, f"break {row.break_id} ({row.kind}) locks nothing")
    lock.overridden_until = now + timedelta(hours=decision.hours)
    detail: dict[str, object] = {"instrument_id": lock.instrument_id, "lock_id": lock.lock_id, "hours": decision.hours}
    return detail, lock.overridden_until


def _correct(session: Session, row: ReconciliationBreak, decision: Decision, now: datetime) -> _Outcome:
    entries = [entry for entry in adjustments_of(session, row.account_id) if entry.break_id == row.break_id]
    entry = (
        _entry(row, decision, entries, now)
        if decision.reverses is None
        else _reversal(row, decision, entries, decision.reverses, now)
    )
    session.add(entry)
    session.flush()
    where = entry.instrument_id or entry.currency or entry.subject
    detail = {"adjustment_id": entry.adjustment_id, "amount": entry.amount, "of": where, "reverses": entry.reverses}
    return {name: value for name, value in detail.items() if value is not None}, None


def _entry(row: ReconciliationBreak, decision: Decision, entries: list[Adjustment], now: datetime) -> Adjustment:
    if row.state == BreakState.SUSPECTED.value:
        raise BreakRefused(BreakReason.BREAK_UNSURE, f"break {row.break_id} was seen once")
    taken_back = {entry.reverses for entry in entries}
    for entry in entries:
        stands = entry.reverses is None and entry.adjustment_id not in taken_back
        if stands and entry.recorded_at >= row.last_seen_at:
            message = f"entry {entry.adjustment_id} was written at {entry.recorded_at}"
            raise BreakRefused(BreakReason.BREAK_CORRECTED_ALREADY, message)
    kind = BreakKind.__members__.get(row.kind)
    if kind is None:
        raise BreakRefused(BreakReason.BREAK_NOT_CORRECTABLE, f"{row.kind} is of another version of the program")
    try:
        found = Found(
            kind=kind,
            instrument_id=row.instrument_id,
            currency=row.currency,
            ledger_amount=row.ledger_amount,
            venue_amount=row.venue_amount,
            evidence=json.loads(row.evidence or "{}"),
            last_seen_at=row.last_seen_at,
        )
        wanted = entry_for(found, decision.amount)
    except NotCorrectable as error:
        raise BreakRefused(BreakReason.BREAK_NOT_CORRECTABLE, str(error)) from error
    return Adjustment(
        account_id=row.account_id,
        break_id=row.break_id,
        subject=row.subject,
        instrument_id=wanted.instrument_id,
        currency=wanted.currency,
        amount=wanted.amount,
        content=wanted.content,
        reason=decision.reason,
        set_by=decision.set_by,
        approved_by=decision.approved_by,
        counts_from=wanted.counts_from,
        recorded_at=now,
    )


def _reversal(
    row: ReconciliationBreak, decision: Decision, entries: list[Adjustment], reverses: int, now: datetime
) -> Adjustment:
    taken_back = {entry.reverses for entry in entries}
    first = next((entry for entry in entries if entry.adjustment_id == reverses), None)
    if first is None or first.reverses is not None or reverses in taken_back:
        raise BreakRefused(BreakReason.BREAK_ENTRY_UNKNOWN, f"break {row.break_id} has no entry {reverses} that stands")
    return Adjustment(
        account_id=row.account_id,
        break_id=row.break_id,
        subject=first.subject,
        instrument_id=first.instrument_id,
        currency=first.currency,
        amount=-first.amount,
        reverses=reverses,
        reason=decision.reason,
        set_by=decision.set_by,
        approved_by=decision.approved_by,
        counts_from=first.counts_from,
        recorded_at=now,
    )


_DECIDE: Mapping[BreakStep, Callable[[Session, ReconciliationBreak, Decision, datetime], _Outcome]] = {
    BreakStep.ACCEPTED: _accept,
    BreakStep.UNACCEPTED: _unaccept,
    BreakStep.EXPLAINED: _note,
    BreakStep.ASSIGNED: _assign,
    BreakStep.CLAIMED: _claim,
    BreakStep.UNCLAIMED: _unclaim,
    BreakStep.CORRECTED: _correct,
    BreakStep.OVERRIDDEN: _override,
}
