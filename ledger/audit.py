"""The audit: hash chains over everything that a person or a machine decided, and over every send.

One chain for each account (sends, decisions), for each pool (arming) and for the controls of each scope. A link's hash
covers its own content and the hash before it, so that no link can be altered, taken out, put in or moved without
breaking every later one.

The links of sends, controls, arming steps, persons' decisions, late adoptions, locks of breaks, correcting entries,
tokens and configurations of alert sources, and of what people decided about rebalancing runs are written by the mapper
when such a row is inserted: in the same transaction, and whoever inserts it. `ledger.auditing` proves the chains.

A chain's lock is its own and is taken last, when the link is written. Controls have chains of their own: who sets one
holds every sender off, and must not wait for one in turn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table, bindparam, event, insert, select
from sqlmodel import Session, SQLModel

from ledger.alert_tables import AlertConfigRow, AlertTokenRow, InboxEvent
from ledger.break_tables import Adjustment, BreakEvent
from ledger.columns import canonical
from ledger.controls import pool_scope
from ledger.records import hold
from ledger.run_tables import RunEventRow
from ledger.states import BreakStep, IntentState
from ledger.tables import ArmingRow, AuditRow, Control, OrderAttempt, OrderIntent, OrderSend, Transition

LEDGER_CHAIN = "ledger"  # says where the audit began
RUNS_CHAIN = "runs"  # what people decided about rebalancing runs
ALERTS_CHAIN = "alerts"  # tokens, configuration and persons' decisions of the alert queue
PERSON = "person:"  # how the mover of a transition reads when a person decided it
AUDITED_STEPS = frozenset(
    step.value for step in BreakStep if step.is_decision or step in (BreakStep.LOCKED, BreakStep.UNLOCKED)
)
PAYLOAD = "payload_sha256"  # what a send's link says beyond the row: which bytes were sent

_links: Table = AuditRow.__table__  # type: ignore[attr-defined]
_attempts: Table = OrderAttempt.__table__  # type: ignore[attr-defined]
_intents: Table = OrderIntent.__table__  # type: ignore[attr-defined]
_HEAD = (
    select(_links.c.ordinal, _links.c.sha256)
    .where(_links.c.chain == bindparam("chain"))
    .order_by(_links.c.ordinal.desc())
    .limit(1)
)
_ADD_LINK = insert(_links)
_PAYLOAD_OF = select(_attempts.c.payload_sha256).where(_attempts.c.client_order_id == bindparam("id"))
_ACCOUNT_OF = select(_intents.c.account_id).where(_intents.c.intent_id == bindparam("id"))


class AuditKind(StrEnum):
    """What a link speaks of."""

    BEGAN = "began"
    SEND = "send"
    CONTROL = "control"
    ARMING = "arming"
    DECISION = "decision"
    ADOPTION = "adoption"
    BREAK_DECISION = "break_decision"
    BREAK_STEP = "break_step"
    ADJUSTMENT = "adjustment"
    ALERT_DECISION = "alert_decision"
    ALERT_TOKEN = "alert_token"  # noqa: S105 - a kind of link
    ALERT_CONFIG = "alert_config"
    RUN_DECISION = "run_decision"


def control_chain(scope: str) -> str:
    """The chain of the controls of a scope."""
    return f"{scope}/control"


# -- one content, one text --------------------------------------------------------------------------------------
def canonical_json(value: Mapping[str, Any]) -> str:
    """The one way to write a content: keys sorted, exact amounts as plain text, times as UTC to the microsecond."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(canonical(value), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"an audit detail holds text, numbers, amounts and times, was {type(value).__name__}")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def link_sha256(link: Mapping[str, Any]) -> str:
    """The hash of a link: every field of it but its row number and the hash itself."""
    return sha256(canonical_json({name: link[name] for name in _HASHED}))


_HASHED = ("chain", "ordinal", "kind", "subject", "who", "detail", "previous_sha256", "recorded_at")


# -- appending --------------------------------------------------------------------------------------------------
def append(
    session: Session, *, chain: str, kind: AuditKind, subject: str, who: str, detail: Mapping[str, Any], at: datetime
) -> None:
    """Add one link to a chain, in the transaction of what it records."""
    session.flush()
    _append(session.connection(), chain=chain, kind=kind, subject=subject, who=who, detail=detail, at=at)


def _append(
    connection: Connection,
    *,
    chain: str,
    kind: AuditKind,
    subject: str,
    who: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> None:
    hold(connection, f"audit {chain}")
    head = connection.execute(_HEAD, {"chain": chain}).first()
    link = {
        "chain": chain,
        "ordinal": 1 if head is None else head.ordinal + 1,
        "kind": kind.value,
        "subject": subject,
        "who": who,
        "detail": canonical_json(detail),
        "previous_sha256": "" if head is None else head.sha256,
        "recorded_at": at,
    }
    connection.execute(_ADD_LINK, {**link, "sha256": link_sha256(link)})


def begin(connection: Connection, at: datetime, before: Mapping[str, Any]) -> None:
    """Write the first link of all, which says what there was before the audit; once in the life of a ledger."""
    _append(
        connection,
        chain=LEDGER_CHAIN,
        kind=AuditKind.BEGAN,
        subject=LEDGER_CHAIN,
        who="migration",
        detail=before,
        at=at,
    )


def has_begun(connection: Connection) -> bool:
    return connection.execute(_HEAD, {"chain": LEDGER_CHAIN}).first() is not None


# -- what writes its own link -----------------------------------------------------------------------------------
def _content(row: SQLModel) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}  # type: ignore[attr-defined]


@event.listens_for(OrderSend, "after_insert")
def _sent(mapper: object, connection: Connection, row: OrderSend) -> None:
    payload_sha256 = connection.execute(_PAYLOAD_OF, {"id": row.client_order_id}).scalar()
    _append(
        connection,
        chain=row.account_id,
        kind=AuditKind.SEND,
        subject=f"send:{row.send_id}",
        who=row.worker,
        detail={**_content(row), PAYLOAD: payload_sha256},
        at=row.committed_at,
    )


@event.listens_for(Control, "after_insert")
def _controlled(mapper: object, connection: Connection, row: Control) -> None:
    _append(
        connection,
        chain=control_chain(row.scope),
        kind=AuditKind.CONTROL,
        subject=f"control:{row.control_id}",
        who=row.set_by,
        detail=_content(row),
        at=row.set_at,
    )


@event.listens_for(ArmingRow, "after_insert")
def _armed(mapper: object, connection: Connection, row: ArmingRow) -> None:
    _append(
        connection,
        chain=pool_scope(row.pool),
        kind=AuditKind.ARMING,
        subject=f"arming:{row.arming_id}",
        who=row.approved_by or row.requested_by,
        detail=_content(row),
        at=row.recorded_at,
    )


def has_link(*, who: str, to_state: str) -> bool:
    """Whether a move is audited: those that a person decided, and orders that were adopted late."""
    return who.startswith(PERSON) or to_state == IntentState.ADOPTED_LATE.value


@event.listens_for(Transition, "after_insert")
def _moved(mapper: object, connection: Connection, row: Transition) -> None:
    if not has_link(who=row.who, to_state=row.to_state):
        return
    is_decision = row.who.startswith(PERSON)
    _append(
        connection,
        chain=connection.execute(_ACCOUNT_OF, {"id": row.intent_id}).scalar() or row.intent_id,
        kind=AuditKind.DECISION if is_decision else AuditKind.ADOPTION,
        subject=f"transition:{row.transition_id}",
        who=row.who,
        detail=_content(row),
        at=row.at,
    )


@event.listens_for(BreakEvent, "after_insert")
def _break_stepped(mapper: object, connection: Connection, row: BreakEvent) -> None:
    """Of a break's steps the decisions, and what locks and unlocks; what runs saw stands in the row alone."""
    if row.step in AUDITED_STEPS:
        subject = f"break_event:{row.event_id}"
        _append_of_break(connection, AuditKind.BREAK_STEP, subject, row, row.who, row.at)


@event.listens_for(Adjustment, "after_insert")
def _adjusted(mapper: object, connection: Connection, row: Adjustment) -> None:
    subject = f"adjustment:{row.adjustment_id}"
    _append_of_break(connection, AuditKind.ADJUSTMENT, subject, row, row.set_by, row.recorded_at)


def _append_of_break(
    connection: Connection, kind: AuditKind, subject: str, row: BreakEvent | Adjustment, who: str, at: datetime
) -> None:
    _append(connection, chain=row.account_id, kind=kind, subject=subject, who=who, detail=_content(row), at=at)


@event.listens_for(InboxEvent, "after_insert")
def _alert_moved(mapper: object, connection: Connection, row: InboxEvent) -> None:
    """Of the moves only those that a person decided; machines write theirs with plain statements."""
    if row.worker.startswith(PERSON):
        _append_of_alerts(connection, AuditKind.ALERT_DECISION, f"inbox_event:{row.event_id}", row, row.worker, row.at)


@event.listens_for(AlertTokenRow, "after_insert")
def _token_set(mapper: object, connection: Connection, row: AlertTokenRow) -> None:
    _append_of_alerts(connection, AuditKind.ALERT_TOKEN, f"alert_token:{row.token_id}", row, row.set_by, row.set_at)


@event.listens_for(AlertConfigRow, "after_insert")
def _config_applied(mapper: object, connection: Connection, row: AlertConfigRow) -> None:
    subject = f"alert_config:{row.version}"
    _append_of_alerts(connection, AuditKind.ALERT_CONFIG, subject, row, row.applied_by, row.applied_at)


@event.listens_for(RunEventRow, "after_insert")
def _run_decided(mapper: object, connection: Connection, row: RunEventRow) -> None:
    """Of what happens to a run only what a person decided."""
    if row.who.startswith(PERSON):
        _append(
            connection,
            chain=RUNS_CHAIN,
            kind=AuditKind.RUN_DECISION,
            subject=f"rebalance_run_event:{row.run_event_id}",
            who=row.who,
            detail=_content(row),
            at=row.at,
        )


def _append_of_alerts(
    connection: Connection, kind: AuditKind, subject: str, row: SQLModel, who: str, at: datetime
) -> None:
    _append(connection, chain=ALERTS_CHAIN, kind=kind, subject=subject, who=who, detail=_content(row), at=at)
