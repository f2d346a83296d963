"""Prove the audit: every chain link by link, every link against the row it speaks of, every such row against a link.

Findings name the chain and the link. What is found: a link or a recorded row that was altered, taken out, put in, moved
or cut off the end, and, through the anchors of former proofs, a chain that was written anew as a whole. What is not:
the ends of chain and rows taken off together since the last anchor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Connection, Row, String, Table, and_, cast, exists, func, literal, or_, select
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session

from brokers.reasons import Reason
from ledger import audit
from ledger.alert_tables import AlertConfigRow, AlertTokenRow, InboxEvent
from ledger.audit import (
    ALERTS_CHAIN,
    AUDITED_STEPS,
    LEDGER_CHAIN,
    PAYLOAD,
    PERSON,
    RUNS_CHAIN,
    AuditKind,
    canonical_json,
    link_sha256,
    sha256,
)
from ledger.break_tables import Adjustment, BreakEvent
from ledger.run_tables import RunEventRow
from ledger.states import BreakStep, IntentState
from ledger.tables import ArmingRow, AuditRow, Control, OrderAttempt, OrderSend, ReconciliationBreak, Transition

CHUNK = 500
FINDINGS_MAX = 50
Anchors = Mapping[tuple[str, int], str]  # (chain, ordinal) -> hash, as former proofs saw it
_links: Table = AuditRow.__table__  # type: ignore[attr-defined]
_attempts: Table = OrderAttempt.__table__  # type: ignore[attr-defined]
_breaks: Table = ReconciliationBreak.__table__  # type: ignore[attr-defined]


class AuditFault(Reason):
    """What is wrong with the audit."""

    AUDIT_LINK_BROKEN = (
        "AUDIT_LINK_BROKEN",
        "A chain does not hold: a link was altered, taken out, put in or moved.",
        "Stop trading, keep a copy of the database, and compare it with a backup.",
    )
    AUDIT_ROW_CHANGED = (
        "AUDIT_ROW_CHANGED",
        "A recorded row is no longer what its link says.",
        "Stop trading, keep a copy of the database, and compare it with a backup.",
    )
    AUDIT_ROW_GONE = (
        "AUDIT_ROW_GONE",
        "A link speaks of a row that is no longer there.",
        "Stop trading, keep a copy of the database, and compare it with a backup.",
    )
    AUDIT_ROW_UNRECORDED = (
        "AUDIT_ROW_UNRECORDED",
        "A send, control, arming step, decision, lock, correcting entry, token or configuration has no link: put in "
        "past the program, or its link was cut off.",
        "Stop trading, keep a copy of the database, and find out where the row comes from.",
    )
    AUDIT_ROW_TWICE = (
        "AUDIT_ROW_TWICE",
        "Two links speak of the same row.",
        "Keep a copy of the database and find out who wrote the second.",
    )
    AUDIT_START_WRONG = (
        "AUDIT_START_WRONG",
        "The first link of all, or what it says of the rows before the audit, does not hold.",
        "Keep a copy of the database and compare it with a backup from before the upgrade.",
    )
    AUDIT_ANCHOR_DIFFERS = (
        "AUDIT_ANCHOR_DIFFERS",
        "A chain is not what a former proof saw: it was cut, or written anew, or a backup was restored.",
        "If a backup was restored on purpose, move the anchors file away and keep it; otherwise stop trading.",
    )
    AUDIT_ANCHORS_UNREADABLE = (
        "AUDIT_ANCHORS_UNREADABLE",
        "The file of anchors is not what was written.",
        "Restore it from the copy that you keep on another machine.",
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `ordinal` is the link's number in its chain; 0 where no link is meant."""

    fault: AuditFault
    chain: str
    ordinal: int
    detail: str

    def __str__(self) -> str:
        place = f"chain {self.chain}, link {self.ordinal}" if self.ordinal else f"chain {self.chain or '(none)'}"
        return f"{self.fault.value}: {place}: {self.detail}"


@dataclass
class AuditReport:
    """What a proof saw. `heads` are the last links: ordinal and hash."""

    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    links: int = 0
    before: int = 0  # rows from before the audit began
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.findings

    def add(self, fault: AuditFault, chain: str, ordinal: int, detail: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(fault, chain, ordinal, detail))


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A table whose rows have one link each."""

    prefix: str
    table: Table
    key: str
    where: ColumnElement[bool] | None = None

    @property
    def subject(self) -> ColumnElement[str]:
        return literal(f"{self.prefix}:").concat(cast(self.table.c[self.key], String))


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


_moves = _table(Transition)
_alert_moves = _table(InboxEvent)
_run_events = _table(RunEventRow)
_break_steps = _table(BreakEvent)
_RECORDED = (
    _Recorded("send", _table(OrderSend), "send_id"),
    _Recorded("control", _table(Control), "control_id"),
    _Recorded("arming", _table(ArmingRow), "arming_id"),
    _Recorded(
        "transition",
        _moves,
        "transition_id",
        or_(_moves.c.who.startswith(PERSON, autoescape=True), _moves.c.to_state == IntentState.ADOPTED_LATE.value),
    ),
    _Recorded("inbox_event", _alert_moves, "event_id", _alert_moves.c.worker.startswith(PERSON, autoescape=True)),
    _Recorded(
        "rebalance_run_event", _run_events, "run_event_id", _run_events.c.who.startswith(PERSON, autoescape=True)
    ),
    _Recorded("break_event", _break_steps, "event_id", _break_steps.c.step.in_(sorted(AUDITED_STEPS))),
    _Recorded("adjustment", _table(Adjustment), "adjustment_id"),
    _Recorded("alert_token", _table(AlertTokenRow), "token_id"),
    _Recorded("alert_config", _table(AlertConfigRow), "version"),
)
_BY_PREFIX = {recorded.prefix: recorded for recorded in _RECORDED}
_PREFIX_OF: Mapping[str, str] = {
    AuditKind.SEND.value: "send",
    AuditKind.CONTROL.value: "control",
    AuditKind.ARMING.value: "arming",
    AuditKind.DECISION.value: "transition",
    AuditKind.ADOPTION.value: "transition",
    AuditKind.BREAK_STEP.value: "break_event",
    AuditKind.ADJUSTMENT.value: "adjustment",
    AuditKind.ALERT_DECISION.value: "inbox_event",
    AuditKind.ALERT_TOKEN.value: "alert_token",
    AuditKind.ALERT_CONFIG.value: "alert_config",
    AuditKind.RUN_DECISION.value: "rebalance_run_event",
}


# -- where the audit begins -------------------------------------------------------------------------------------
def begin_audit(connection: Connection) -> None:
    """Say in the first link what there was before the audit; nothing where it has begun."""
    if audit.has_begun(connection):
        return
    before: dict[str, Any] = {}
    for recorded in _RECORDED:
        columns = sorted(column.name for column in recorded.table.columns)
        count, digest = _digest(connection, recorded, columns)
        before[recorded.table.name] = {"rows": count, "sum_sha256": digest, "columns": columns}
    before["decided_breaks"] = {row.break_id: _break_sha256(row) for row in _decided_breaks(connection)}
    audit.begin(connection, datetime.now(UTC), before)


def _digest(connection: Connection, recorded: _Recorded, columns: list[str]) -> tuple[int, str]:
    """How many rows have no link, and a sum of their hashes that no order of reading changes."""
    count = total = 0
    for row in _unlinked(connection, recorded):
        count += 1
        content = canonical_json({name: row[name] for name in columns})
        total += int.from_bytes(hashlib.sha256(content.encode()).digest())
    return count, f"{total % (1 << 256):064x}"


def _unlinked(connection: Connection, recorded: _Recorded) -> Iterator[Mapping[str, Any]]:
    has_link = exists(select(_links.c.audit_id).where(_links.c.subject == recorded.subject))
    query = select(recorded.table).where(~has_link)
    if recorded.where is not None:
        query = query.where(recorded.where)
    for row in connection.execute(query.execution_options(yield_per=CHUNK)).mappings():
        yield dict(row)


# -- the proof --------------------------------------------------------------------------------------------------
def verify_audit(session: Session, anchors: Anchors | None = None) -> AuditReport:
    """Read every chain and every recorded row once; `anchors` are what former proofs saw."""
    report, connection = AuditReport(), session.connection()
    waiting = dict(anchors or {})
    decided: dict[str, _Decision] = {}
    query = select(_links).order_by(_links.c.chain, _links.c.ordinal)
    links = connection.execute(query.execution_options(yield_per=CHUNK))
    for batch in _batched(_walked(links, report, waiting)):
        _compare(connection, batch, report)
        decided |= {row.break_id: row for row in map(_decision_of, batch) if row is not None}
    for (chain, ordinal), _ in sorted(waiting.items()):
        report.add(AuditFault.AUDIT_ANCHOR_DIFFERS, chain, ordinal, "a former proof saw this link, and it is gone")
    _find_twice(connection, report)
    before = _start_of(connection, report)
    _compare_unlinked(connection, before, report)
    _compare_breaks(connection, before, decided, report)
    return report


def _batched(rows: Iterator[Row[Any]]) -> Iterator[tuple[Row[Any], ...]]:
    while batch := tuple(islice(rows, CHUNK)):
        yield batch


def _walked(links: Any, report: AuditReport, waiting: dict[tuple[str, int], str]) -> Iterator[Row[Any]]:
    """Every link in turn, after its place in its chain and its hash were checked."""
    for chain, group in groupby(links, key=lambda row: row.chain):
        ordinal, previous = 0, ""
        for row in group:
            report.links += 1
            _check_link(row, ordinal, previous, report)
            anchored = waiting.pop((chain, row.ordinal), None)
            if anchored is not None and anchored != row.sha256:
                what = f"its hash was {anchored[:12]} in a former proof, is {row.sha256[:12]}"
                report.add(AuditFault.AUDIT_ANCHOR_DIFFERS, chain, row.ordinal, what)
            ordinal, previous = row.ordinal, row.sha256
            report.heads[chain] = (ordinal, previous)
            yield row


def _check_link(row: Row[Any], ordinal: int, previous: str, report: AuditReport) -> None:
    fault = AuditFault.AUDIT_LINK_BROKEN
    if row.ordinal != ordinal + 1:
        report.add(fault, row.chain, row.ordinal, f"it follows link {ordinal}: what stood between them is gone")
    elif row.previous_sha256 != previous:
        report.add(fault, row.chain, row.ordinal, "it does not name the hash of the link before it")
    if row.sha256 != link_sha256(dict(row._mapping)):
        report.add(fault, row.chain, row.ordinal, f"its content ({row.kind} of {row.subject}) does not have its hash")


def _compare(connection: Connection, batch: tuple[Row[Any], ...], report: AuditReport) -> None:
    """The rows that a batch of links speaks of, as they are now."""
    for prefix, recorded in _BY_PREFIX.items():
        links = [row for row in batch if _PREFIX_OF.get(row.kind) == prefix]
        found = _rows(connection, recorded, [row.subject.partition(":")[2] for row in links])
        payloads = _payloads(connection, found.values()) if prefix == "send" else {}
        for link in links:
            row = found.get(link.subject)
            if row is None:
                report.add(AuditFault.AUDIT_ROW_GONE, link.chain, link.ordinal, f"there is no {link.subject}")
                continue
            said = json.loads(link.detail)
            now = {name: row.get(name) for name in said}
            if PAYLOAD in said:
                now[PAYLOAD] = payloads.get(row["client_order_id"])
            differing = _differing(said, json.loads(canonical_json(now)))
            if differing:
                what = f"{link.subject} differs in {', '.join(differing)}"
                report.add(AuditFault.AUDIT_ROW_CHANGED, link.chain, link.ordinal, what)


def _differing(said: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in said if said[name] != now[name]]


def _rows(connection: Connection, recorded: _Recorded, keys: list[str]) -> dict[str, Mapping[str, Any]]:
    column = recorded.table.c[recorded.key]
    wanted: list[Any] = list(keys) if recorded.prefix == "send" else [int(key) for key in keys if key.isdecimal()]
    query = select(recorded.table).where(column.in_(wanted))
    rows = connection.execute(query).mappings() if wanted else ()
    return {f"{recorded.prefix}:{row[recorded.key]}": dict(row) for row in rows}


def _payloads(connection: Connection, sends: Any) -> dict[str, str]:
    """The hash of each attempt's payload; the payload itself must have it."""
    ids = [row["client_order_id"] for row in sends]
    query = select(_attempts.c.client_order_id, _attempts.c.payload, _attempts.c.payload_sha256)
    rows = connection.execute(query.where(_attempts.c.client_order_id.in_(ids))) if ids else ()
    return {identity: _payload_sha256(payload, kept) for identity, payload, kept in rows}


def _payload_sha256(payload: str, kept: str) -> str:
    return kept if not kept or kept == sha256(payload) else f"another payload than {kept[:12]}"


def _find_twice(connection: Connection, report: AuditReport) -> None:
    query = select(_links.c.subject, func.min(_links.c.chain), func.max(_links.c.ordinal))
    query = (
        query.where(_links.c.kind.in_(list(_PREFIX_OF)))
        .group_by(_links.c.subject)
        .having(func.count() > 1)
        .limit(CHUNK)
    )
    for subject, chain, ordinal in connection.execute(query):
        report.add(AuditFault.AUDIT_ROW_TWICE, chain, ordinal, f"{subject} has more than one link")


# -- what was there before, and what has no link ----------------------------------------------------------------
def _start_of(connection: Connection, report: AuditReport) -> dict[str, Any]:
    query = select(_links.c.kind, _links.c.detail).where(and_(_links.c.chain == LEDGER_CHAIN, _links.c.ordinal == 1))
    row = connection.execute(query).first()
    if row is None or row.kind != AuditKind.BEGAN.value:
        report.add(AuditFault.AUDIT_START_WRONG, LEDGER_CHAIN, 1, "the link that says where the audit began is gone")
        return {}
    detail: dict[str, Any] = json.loads(row.detail)
    return detail


def _compare_unlinked(connection: Connection, before: Mapping[str, Any], report: AuditReport) -> None:
    for recorded in _RECORDED:
        known = before.get(recorded.table.name, {"rows": 0})
        report.before += known["rows"]
        if not known["rows"]:
            for row in _unlinked(connection, recorded):
                subject = f"{recorded.prefix}:{row[recorded.key]}"
                report.add(AuditFault.AUDIT_ROW_UNRECORDED, _chain_of(row), 0, f"{subject} has no link")
            continue
        count, digest = _digest(connection, recorded, known["columns"])
        if (count, digest) != (known["rows"], known["sum_sha256"]):
            what = f"{recorded.table.name} had {known['rows']} rows before the audit began; without a link are {count}"
            report.add(
                AuditFault.AUDIT_START_WRONG, LEDGER_CHAIN, 1, what + (", altered" if count == known["rows"] else "")
            )


def _chain_of(row: Mapping[str, Any]) -> str:
    pool = f"pool:{row['pool']}" if "pool" in row else ""
    alerts = ALERTS_CHAIN if {"event_id", "token_id", "version"} & set(row) else ""
    runs = RUNS_CHAIN if "run_event_id" in row else ""
    return str(row.get("account_id") or row.get("scope") or pool or row.get("intent_id") or alerts or runs)


def _decided_breaks(connection: Connection) -> list[Row[Any]]:
    query = select(_breaks.c.break_id, _breaks.c.account_id, _breaks.c.decision, _breaks.c.decided_by)
    return list(connection.execute(query.where(_breaks.c.decision != "")))


def _break_sha256(row: Row[Any]) -> str:
    return sha256(canonical_json({"decision": row.decision, "decided_by": row.decided_by}))


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a link says that a person decided about a break."""

    break_id: str
    decision: str
    decided_by: str
    chain: str
    ordinal: int


def _decision_of(link: Row[Any]) -> _Decision | None:
    """The decision on a break that a link records; links from before steps were kept say it in words of their own."""
    if link.kind not in (AuditKind.BREAK_DECISION.value, AuditKind.BREAK_STEP.value):
        return None
    said = json.loads(link.detail)
    if link.kind == AuditKind.BREAK_DECISION.value:
        return _Decision(said["break_id"], said["decision"], said["decided_by"], link.chain, link.ordinal)
    if not BreakStep(said["step"]).is_decision:
        return None
    decided_by = said["who"].removeprefix(PERSON)
    return _Decision(said["break_id"], said["reason"], decided_by, link.chain, link.ordinal)


def _compare_breaks(
    connection: Connection, before: Mapping[str, Any], decided: Mapping[str, _Decision], report: AuditReport
) -> None:
    """A break's decision is what its last link says; one without a link is from before the audit."""
    for row in _decided_breaks(connection):
        said = decided.get(row.break_id)
        if said is None:
            if before.get("decided_breaks", {}).get(row.break_id) != _break_sha256(row):
                what = f"the decision on break {row.break_id} has no link"
                report.add(AuditFault.AUDIT_ROW_UNRECORDED, row.account_id, 0, what)
            continue
        if (said.decision, said.decided_by) != (row.decision, row.decided_by):
            what = f"the decision on break {row.break_id} is not the one recorded"
            report.add(AuditFault.AUDIT_ROW_CHANGED, said.chain, said.ordinal, what)
