"""Prove that the current-state tables follow from the append-only evidence.

Each check returns readable findings; an empty result is the proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.states import IntentState
from ledger.tables import OrderIntent, OrderSend, Transition

_FIRST_STATES = ("", IntentState.RECEIVED.value)


def check_intents(session: Session, account_id: AccountId | str | None = None) -> tuple[str, ...]:
    """Replay the transitions: they form one chain without falling epochs, and end where each intent stands."""
    query = select(OrderIntent)
    moves = select(Transition).order_by(col(Transition.intent_id), col(Transition.transition_id))
    if account_id is not None:
        query = query.where(OrderIntent.account_id == str(account_id))
        moves = moves.join(OrderIntent, col(OrderIntent.intent_id) == col(Transition.intent_id)).where(
            OrderIntent.account_id == str(account_id)
        )
    intents = {row.intent_id: row for row in session.exec(query)}
    findings: list[str] = []
    for intent_id, chain in groupby(session.exec(moves), key=lambda row: row.intent_id):
        findings.extend(_check_chain(intents.pop(intent_id, None), list(chain)))
    findings.extend(
        f"intent {row.intent_id} is {row.state} without any transition"
        for row in intents.values()
        if row.state != IntentState.RECEIVED.value
    )
    return tuple(findings)


def _check_chain(intent: OrderIntent | None, chain: list[Transition]) -> Iterator[str]:
    first, last = chain[0], chain[-1]
    if intent is None:
        yield f"transitions of {first.intent_id} belong to no intent"
        return
    if first.from_state not in _FIRST_STATES:
        yield f"intent {intent.intent_id}: the first transition starts at {first.from_state}"
    for before, after in pairwise(chain):
        if after.from_state != before.to_state:
            yield (
                f"intent {intent.intent_id}: transition {after.transition_id} starts at {after.from_state}, "
                f"the one before ended at {before.to_state}"
            )
        if after.epoch < before.epoch:
            yield f"intent {intent.intent_id}: epoch fell from {before.epoch} to {after.epoch}"
    if intent.state != last.to_state:
        yield f"intent {intent.intent_id} is {intent.state}, its last transition led to {last.to_state}"
    if intent.epoch < last.epoch:
        yield f"intent {intent.intent_id} has epoch {intent.epoch}, its last transition {last.epoch}"


def check_sends(session: Session) -> tuple[str, ...]:
    """Sends of each client order id are numbered without a gap: none was taken back."""
    query = select(OrderSend.client_order_id, OrderSend.ordinal)
    rows = session.exec(query.order_by(OrderSend.client_order_id, col(OrderSend.ordinal)))
    return tuple(_ordinal_findings(rows))


def _ordinal_findings(rows: Iterable[tuple[str, int]]) -> Iterator[str]:
    for client_order_id, group in groupby(rows, key=lambda row: row[0]):
        ordinals = [ordinal for _, ordinal in group]
        if ordinals != list(range(ordinals[0], ordinals[0] + len(ordinals))) or ordinals[0] not in (0, 1):
            yield f"sends of {client_order_id} are numbered {ordinals}"
