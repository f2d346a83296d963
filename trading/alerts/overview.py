"""What became of the newest alerts, with the orders that they made: for reports and for the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from ledger.inbox import AlertStore, Backlog, InboxState, StoredAlert, StoredEvent
from ledger.tables import OrderAttempt, OrderIntent, OrderSend
from trading.alerts.model import Alert
from trading.orders import IntentView
from trading.orders.intents import view_of

KEY_PREFIX = "alert:"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One alert, its typed form where it could be read, and its orders. `sent_at`: when the first order left."""

    stored: StoredAlert
    alert: Alert | None
    orders: tuple[IntentView, ...] = ()
    sent_at: datetime | None = None

    @property
    def latency(self) -> timedelta | None:
        """From its receipt to the commit right before its first order left."""
        return None if self.sent_at is None else self.sent_at - self.stored.received_at

    @property
    def what(self) -> str:
        """Action and instrument, in a few words."""
        if self.alert is None:
            return "not read yet" if self.stored.state is InboxState.NEW else "unreadable"
        return f"{self.alert.action.value} {self.stored.instrument_id or self.alert.symbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The newest alerts of a ledger, newest first, and what waits or asks for a person."""

    environment: str
    lines: tuple[AlertLine, ...]
    backlog: Backlog

    @property
    def counts(self) -> Mapping[InboxState, int]:
        """How the alerts shown stand, in the order of a life."""
        found = Counter(line.stored.state for line in self.lines)
        return {state: found[state] for state in InboxState if found[state]}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStory:
    """One alert with everything that happened to it."""

    line: AlertLine
    events: tuple[StoredEvent, ...]


def read_overview(
    store: AlertStore, *, states: Collection[InboxState] | None = None, source: str = "", limit: int = 100
) -> Overview:
    """The newest alerts, of these states and this source where they are named."""
    alerts = store.list(states=states, source=source, limit=limit)
    with store.ledger.read() as session:
        lines = _lines(session, alerts)
    return Overview(environment=store.ledger.environment.value, lines=lines, backlog=store.backlog())


def read_story(store: AlertStore, alert_id: int) -> AlertStory:
    """One alert; LookupError when there is none."""
    stored = store.show(alert_id)
    with store.ledger.read() as session:
        (line,) = _lines(session, [stored])
    return AlertStory(line=line, events=store.events(alert_id))


def _lines(session: Session, alerts: Sequence[StoredAlert]) -> tuple[AlertLine, ...]:
    orders = _orders(session, alerts)
    sent = _first_sends(session, [row.intent_id for rows in orders.values() for row in rows])
    return tuple(
        AlertLine(
            stored=stored,
            alert=_typed(stored),
            orders=tuple(view_of(row) for row in orders.get(stored.alert_id, ())),
            sent_at=min(
                (sent[row.intent_id] for row in orders.get(stored.alert_id, ()) if row.intent_id in sent), default=None
            ),
        )
        for stored in alerts
    )


def _typed(stored: StoredAlert) -> Alert | None:
    try:
        return Alert.from_json(stored.parsed)
    except ValueError:
        return None


def _orders(session: Session, alerts: Sequence[StoredAlert]) -> dict[int, list[OrderIntent]]:
    """The intents by alert, by their business keys `alert:ID:…`."""
    wanted = {alert.alert_id for alert in alerts}
    accounts = sorted({alert.account_id for alert in alerts if alert.account_id})
    if not accounts:
        return {}
    query = select(OrderIntent).where(
        col(OrderIntent.account_id).in_(accounts),
        col(OrderIntent.business_key).startswith(KEY_PREFIX),
        OrderIntent.created_at >= min(alert.received_at for alert in alerts),
    )
    found: dict[int, list[OrderIntent]] = {}
    for row in session.exec(query.order_by(col(OrderIntent.created_at), col(OrderIntent.leg_number))):
        number = row.business_key.split(":")[1]
        if number.isdigit() and int(number) in wanted:
            found.setdefault(int(number), []).append(row)
    return found


def _first_sends(session: Session, intent_ids: Sequence[str]) -> dict[str, datetime]:
    if not intent_ids:
        return {}
    query = (
        select(OrderAttempt.intent_id, OrderSend.committed_at)
        .join(OrderSend, col(OrderSend.client_order_id) == col(OrderAttempt.client_order_id))
        .where(col(OrderAttempt.intent_id).in_(list(intent_ids)))
    )
    found: dict[str, datetime] = {}
    for intent_id, at in session.exec(query):
        found[intent_id] = min(at, found.get(intent_id, at))
    return found
