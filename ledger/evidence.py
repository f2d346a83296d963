"""What the ledger holds of some accounts' orders, read once and sorted for the checks of `ledger.invariants`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.alert_invariants import AlertEvidence, read_alert_evidence
from ledger.tables import Control, FillRow, Observation, OrderAttempt, OrderIntent, OrderRow, OrderSend, Transition

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of an observation that checks need: its raw text may be long."""

    observation_id: int
    intent_id: str | None
    client_order_id: str | None
    send_id: str | None
    source: str
    outcome: str
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """One consistent state of the ledger; rows of one intent stand in the order in which they were written."""

    intents: Mapping[str, OrderIntent]
    attempts: Mapping[str, list[OrderAttempt]]  # by intent
    sends: Mapping[str, list[OrderSend]]  # by intent
    observations: Mapping[str, list[Seen]]  # by intent
    transitions: tuple[Transition, ...]
    moves: Mapping[str, list[Transition]]  # by intent
    orders: Mapping[str, list[OrderRow]]  # by intent
    fills: Mapping[str, list[FillRow]]  # by intent
    controls: tuple[Control, ...]
    inbox: AlertEvidence

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(intent.account_id for intent in self.intents.values())


def read_evidence(session: Session, account_id: AccountId | str | None = None) -> Evidence:
    """Read everything of one account, or of all. It is held in memory: audit accounts one by one where that matters."""
    intents = {row.intent_id: row for row in session.exec(_of(select(OrderIntent), OrderIntent, account_id))}
    owned = select(OrderIntent.intent_id)
    owned = owned if account_id is None else owned.where(OrderIntent.account_id == str(account_id))
    attempts = session.exec(
        _mine(select(OrderAttempt), OrderAttempt, owned, account_id).order_by(col(OrderAttempt.attempt_number))
    ).all()
    owner = {attempt.client_order_id: attempt.intent_id for attempt in attempts}
    sends = session.exec(
        _of(select(OrderSend), OrderSend, account_id).order_by(OrderSend.client_order_id, col(OrderSend.ordinal))
    )
    transitions = session.exec(
        _mine(select(Transition), Transition, owned, account_id).order_by(col(Transition.transition_id))
    ).all()
    orders = session.exec(_of(select(OrderRow), OrderRow, account_id).order_by(OrderRow.venue_order_id)).all()
    by_order = {(row.account_id, row.venue_order_id): row.intent_id for row in orders}

    def filled_intent(fill: FillRow) -> str:
        by_id = owner.get(fill.client_order_id or "")
        return by_id or by_order.get((fill.account_id, fill.venue_order_id)) or ""

    fills = session.exec(_of(select(FillRow), FillRow, account_id).order_by(col(FillRow.time), FillRow.trade_id))
    return Evidence(
        intents=intents,
        attempts=_grouped(attempts, lambda row: row.intent_id),
        sends=_grouped(sends, lambda row: owner.get(row.client_order_id, "")),
        observations=_grouped(_seen(session, account_id), lambda row: row.intent_id or ""),
        transitions=tuple(transitions),
        moves=_grouped(transitions, lambda row: row.intent_id),
        orders=_grouped(orders, lambda row: row.intent_id or ""),
        fills=_grouped(fills, filled_intent),
        controls=tuple(session.exec(select(Control).order_by(col(Control.control_id)))),
        inbox=read_alert_evidence(session, None if account_id is None else str(account_id)),
    )


def _seen(session: Session, account_id: AccountId | str | None) -> Iterable[Seen]:
    query: Any = select(  # type: ignore[call-overload]
        Observation.observation_id,
        Observation.intent_id,
        Observation.client_order_id,
        Observation.send_id,
        Observation.source,
        Observation.outcome,
        Observation.observed_at,
    )
    for row in session.exec(_of(query, Observation, account_id).order_by(col(Observation.observation_id))):
        yield Seen(*row)


def _of(query: Any, model: Any, account_id: AccountId | str | None) -> Any:
    return query if account_id is None else query.where(model.account_id == str(account_id))


def _mine(query: Any, model: Any, owned: Any, account_id: AccountId | str | None) -> Any:
    return query if account_id is None else query.where(col(model.intent_id).in_(owned))


def _grouped(rows: Iterable[Item], key: Callable[[Item], str]) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found
