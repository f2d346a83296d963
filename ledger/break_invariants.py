"""What must hold of breaks and locks in every ledger: judged by the rows alone, for `ledger.invariants`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from ledger.break_tables import BreakEvent, InstrumentLock
from ledger.locks import EVERYTHING
from ledger.states import KILL_SOURCE, BreakState, BreakStep
from ledger.tables import OrderIntent, OrderSend, ReconciliationBreak, ReconciliationRun

CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class BreakEvidence:
    """Breaks, their steps and locks, and the numbers of the runs, by account."""

    breaks: Mapping[str, ReconciliationBreak]
    steps: Mapping[str, list[BreakEvent]]  # by break
    locks: tuple[InstrumentLock, ...]
    runs: Mapping[str, list[int]]


def read_break_evidence(session: Session, account_id: str | None) -> BreakEvidence:
    """Everything of one account, or of all."""
    steps: dict[str, list[BreakEvent]] = defaultdict(list)
    runs: dict[str, list[int]] = defaultdict(list)
    for event in session.exec(_of(select(BreakEvent), BreakEvent, account_id).order_by(col(BreakEvent.event_id))):
        steps[event.break_id].append(event)
    numbers = _of(select(ReconciliationRun.account_id, ReconciliationRun.run_id), ReconciliationRun, account_id)
    for account, number in session.exec(numbers.order_by(col(ReconciliationRun.run_id))):
        runs[account].append(number)
    breaks = session.exec(_of(select(ReconciliationBreak), ReconciliationBreak, account_id))
    locks = session.exec(_of(select(InstrumentLock), InstrumentLock, account_id).order_by(col(InstrumentLock.lock_id)))
    return BreakEvidence({row.break_id: row for row in breaks}, steps, tuple(locks), runs)


def _of(query: Any, model: Any, account_id: str | None) -> Any:
    return query if account_id is None else query.where(model.account_id == account_id)


# -- no send while a lock stands --------------------------------------------------------------------------------
def lock_findings(
    evidence: BreakEvidence, intents: Mapping[str, OrderIntent], sends: Mapping[str, Iterable[OrderSend]]
) -> Iterator[str]:
    """Sends that a lock should have kept here, and critical breaks that are sure and lock nothing."""
    for lock in evidence.locks:
        for intent in intents.values():
            if intent.account_id != lock.account_id or lock.instrument_id not in (EVERYTHING, intent.instrument_id):
                continue
            passes = intent.reduce_only and (lock.lets_reductions_out or intent.source == KILL_SOURCE)
            for send in () if passes else sends.get(intent.intent_id, ()):
                if _stood(lock, send) and not _overridden(evidence, lock, send):
                    yield (
                        f"send {send.send_id} was committed at {send.committed_at}, break {lock.break_id} locked "
                        f"{lock.instrument_id} then"
                    )
    locked = {lock.break_id for lock in evidence.locks if lock.unlocked_at is None}
    for identity, row in evidence.breaks.items():
        is_known = any(event.step in _BEGINNINGS for event in evidence.steps.get(identity, ()))
        is_sure = row.severity == CRITICAL and row.state == BreakState.OPEN.value
        if is_known and is_sure and identity not in locked:
            yield f"break {identity} ({row.kind}) is critical and open, and locks nothing"


_BEGINNINGS = frozenset({BreakStep.SUSPECTED.value, BreakStep.OPENED.value})  # breaks from before have none


def _stood(lock: InstrumentLock, send: OrderSend) -> bool:
    """One of the very same moment may be either side of it."""
    is_after = lock.unlocked_at is not None and lock.unlocked_at <= send.committed_at
    return lock.locked_at < send.committed_at and not is_after


def _overridden(evidence: BreakEvidence, lock: InstrumentLock, send: OrderSend) -> bool:
    return any(
        event.step == BreakStep.OVERRIDDEN.value
        and event.at <= send.committed_at
        and event.expires_at is not None
        and send.committed_at <= event.expires_at
        for event in evidence.steps.get(lock.break_id, ())
    )


# -- cleared by a run -------------------------------------------------------------------------------------------
def clearing_findings(evidence: BreakEvidence) -> Iterator[str]:
    """Breaks that are over without a run that judged them, and rows that do not stand where their steps ended."""
    for identity in evidence.steps.keys() - evidence.breaks.keys():
        yield f"steps of break {identity} belong to no break"
    for identity, row in evidence.breaks.items():
        steps = evidence.steps.get(identity, ())
        runs = evidence.runs.get(row.account_id, [])
        for event in steps:
            if event.step == BreakStep.CLEARED.value and bisect_right(runs, event.runs_before) == len(runs):
                yield f"break {identity} was cleared at {event.at}, and no run of {row.account_id} is on record after"
        stands = [_STATES[event.step] for event in steps if event.step in _STATES]
        if stands and stands[-1] != row.state:
            yield f"break {identity} is {row.state}, its steps end {stands[-1]}"


_STATES = {
    BreakStep.SUSPECTED.value: BreakState.SUSPECTED.value,
    BreakStep.OPENED.value: BreakState.OPEN.value,
    BreakStep.CONFIRMED.value: BreakState.OPEN.value,
    BreakStep.CLEARED.value: BreakState.CLEARED.value,
    BreakStep.UNCLAIMED.value: BreakState.OPEN.value,
}
