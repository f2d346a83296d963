"""Rebuild where each intent stands from the append-only evidence, and compare it with the current-state table.

What cannot follow from evidence is left out: leases, times of the next look, and the counts that only pace look-ups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal

from ledger.evidence import Evidence
from ledger.states import IntentState
from ledger.tables import OrderIntent

S = IntentState
_HAS_AN_ATTEMPT = frozenset(
    {S.SENDING, S.UNKNOWN, S.NOT_PLACED, S.ACKED, S.WORKING, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.VENUE_EXPIRED}
)
_PASSES_OBSTACLES = frozenset({S.READY, S.RECEIVED})  # why it still waits is noted without a move


@dataclass(frozen=True, slots=True)
class Standing:
    """What evidence says of one intent. `reason` and `attempt` are empty where no evidence decides them."""

    intent_id: str
    state: str
    reason: str
    attempts: int
    attempt: str
    filled: str
    is_released: bool


def replayed(evidence: Evidence) -> tuple[Standing, ...]:
    """Where every intent stands by transitions, attempts and fills alone."""
    return tuple(_from_evidence(evidence, intent_id) for intent_id in sorted(evidence.intents))


def recorded(evidence: Evidence) -> tuple[Standing, ...]:
    """Where every intent stands by the current-state table."""
    return tuple(_from_row(evidence, evidence.intents[intent_id]) for intent_id in sorted(evidence.intents))


def state_hash(standings: Iterable[Standing]) -> str:
    """One hash of many standings; equal hashes mean equal states."""
    return hashlib.sha256("\n".join(map(repr, standings)).encode()).hexdigest()


def differences(evidence: Evidence) -> Iterator[str]:
    """Where table and evidence disagree; nothing when their hashes are equal."""
    by_evidence, by_table = replayed(evidence), recorded(evidence)
    if state_hash(by_evidence) == state_hash(by_table):
        return
    for wanted, found in zip(by_evidence, by_table, strict=True):
        for field in fields(Standing):
            proved, stored = getattr(wanted, field.name), getattr(found, field.name)
            if proved != stored:
                yield f"intent {wanted.intent_id}: {field.name} is {stored!r}, the evidence gives {proved!r}"


def _from_evidence(evidence: Evidence, intent_id: str) -> Standing:
    moves = evidence.moves.get(intent_id, [])
    state = S(moves[-1].to_state) if moves else S.RECEIVED
    attempts = evidence.attempts.get(intent_id, [])
    return Standing(
        intent_id=intent_id,
        state=state.value,
        reason="" if not moves or state in _PASSES_OBSTACLES else moves[-1].reason,
        attempts=max((attempt.attempt_number for attempt in attempts), default=0),
        attempt=_current_attempt(evidence, intent_id) if state in _HAS_AN_ATTEMPT else "",
        filled=_filled(evidence, intent_id, state),
        is_released=state.is_terminal,
    )


def _from_row(evidence: Evidence, row: OrderIntent) -> Standing:
    state = S(row.state)
    return Standing(
        intent_id=row.intent_id,
        state=row.state,
        reason="" if not evidence.moves.get(row.intent_id) or state in _PASSES_OBSTACLES else row.state_reason,
        attempts=row.attempt_count,
        attempt=(row.client_order_id or "") if state in _HAS_AN_ATTEMPT else "",
        filled=_text(row.filled_quantity) if _fills_decide(state) else "",
        is_released=state.is_terminal and row.reserved_notional == 0,
    )


def _current_attempt(evidence: Evidence, intent_id: str) -> str:
    """The latest attempt, unless an order of an earlier one turned up and was adopted."""
    attempts = evidence.attempts.get(intent_id, [])
    current = attempts[-1].client_order_id if attempts else ""
    seen = {row.observation_id: row for row in evidence.observations.get(intent_id, ())}
    for move in evidence.moves.get(intent_id, ()):
        if move.to_state == S.ADOPTED_LATE.value and move.observation_id in seen:
            current = seen[move.observation_id].client_order_id or current
    return current


def _fills_decide(state: IntentState) -> bool:
    """While an order lives the venue's report may run ahead of the fills that were read one by one."""
    return state in (S.FILLED, S.CANCELLED, S.VENUE_EXPIRED)


def _filled(evidence: Evidence, intent_id: str, state: IntentState) -> str:
    if not _fills_decide(state):
        return ""
    return _text(sum((fill.quantity for fill in evidence.fills.get(intent_id, ())), Decimal(0)))


def _text(quantity: Decimal) -> str:
    return format(quantity.normalize(), "f")
