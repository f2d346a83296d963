"""What the ledger holds of some accounts' orders, read once and sorted for the checks of `ledger.invariants`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Table, bindparam, select
from sqlmodel import Session

from brokers.ids import AccountId
from ledger.alert_invariants import AlertEvidence, read_alert_evidence
from ledger.balance_invariants import BalanceEvidence, read_balance_evidence
from ledger.break_invariants import BreakEvidence, read_break_evidence
from ledger.reading import read_columns, read_rows, table_of
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
    breaks: BreakEvidence
    balances: BalanceEvidence

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(intent.account_id for intent in self.intents.values())


class _Queries(NamedTuple):
    """The statements that read the evidence of one account, or of all; built once."""

    intents: Any
    attempts: Any
    sends: Any
    observations: Any
    transitions: Any
    orders: Any
    fills: Any


@lru_cache(maxsize=2)
def _queries(*, of_one: bool) -> _Queries:
    intents, attempts, sends, seen, moves, orders, fills = (
        table_of(model) for model in (OrderIntent, OrderAttempt, OrderSend, Observation, Transition, OrderRow, FillRow)
    )
    account_id: Any = bindparam("account_id")

    def of(query: Any, table: Table) -> Any:
        return query.where(table.c.account_id == account_id) if of_one else query

    def mine(query: Any, table: Table) -> Any:
        return query.where(table.c.intent_id.in_(of(select(intents.c.intent_id), intents))) if of_one else query

    return _Queries(
        intents=of(select(intents), intents),
        attempts=mine(select(attempts), attempts).order_by(attempts.c.attempt_number),
        sends=of(select(sends), sends).order_by(sends.c.client_order_id, sends.c.ordinal),
        observations=of(select(*(seen.c[name] for name in _SEEN)), seen).order_by(seen.c.observation_id),
        transitions=mine(select(moves), moves).order_by(moves.c.transition_id),
        orders=of(select(orders), orders).order_by(orders.c.venue_order_id),
        fills=of(select(fills), fills).order_by(fills.c.time, fills.c.trade_id),
    )


_SEEN = tuple(field.name for field in fields(Seen))
_CONTROLS = select(table_of(Control)).order_by(table_of(Control).c.control_id)


def read_evidence(session: Session, account_id: AccountId | str | None = None) -> Evidence:
    """Read everything of one account, or of all. It is held in memory: audit accounts one by one where that matters."""
    queries = _queries(of_one=account_id is not None)
    given = {} if account_id is None else {"account_id": str(account_id)}
    attempts = read_rows(session, OrderAttempt, queries.attempts, **given)
    owner = {attempt.client_order_id: attempt.intent_id for attempt in attempts}
    transitions = read_rows(session, Transition, queries.transitions, **given)
    orders = read_rows(session, OrderRow, queries.orders, **given)
    by_order = {(row.account_id, row.venue_order_id): row.intent_id for row in orders}
    seen = [Seen(*row) for row in read_columns(session, queries.observations, **given)]

    def filled_intent(fill: FillRow) -> str:
        by_id = owner.get(fill.client_order_id or "")
        return by_id or by_order.get((fill.account_id, fill.venue_order_id)) or ""

    return Evidence(
        intents={row.intent_id: row for row in read_rows(session, OrderIntent, queries.intents, **given)},
        attempts=_grouped(attempts, lambda row: row.intent_id),
        sends=_grouped(
            read_rows(session, OrderSend, queries.sends, **given), lambda row: owner.get(row.client_order_id, "")
        ),
        observations=_grouped(seen, lambda row: row.intent_id or ""),
        transitions=tuple(transitions),
        moves=_grouped(transitions, lambda row: row.intent_id),
        orders=_grouped(orders, lambda row: row.intent_id or ""),
        fills=_grouped(read_rows(session, FillRow, queries.fills, **given), filled_intent),
        controls=tuple(read_rows(session, Control, _CONTROLS)),
        inbox=read_alert_evidence(session, None if account_id is None else str(account_id)),
        breaks=read_break_evidence(session, None if account_id is None else str(account_id)),
        balances=read_balance_evidence(session, None if account_id is None else str(account_id)),
    )


def _grouped(rows: Iterable[Item], key: Callable[[Item], str]) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found
