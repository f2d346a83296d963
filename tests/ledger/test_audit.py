"""Whatever is done to the audit or to what it records past the program is found, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from ledger import audit
from ledger.alert_tables import InboxEvent
from ledger.anchors import AnchorsUnreadable, add_anchor, anchors_of, read_anchors
from ledger.auditing import AuditFault, AuditReport, begin_audit, verify_audit
from ledger.break_tables import Adjustment
from ledger.breaks import SeenBreak, break_id, decide_break, record_breaks
from ledger.controls import pool_scope, set_control
from ledger.engine import Ledger
from ledger.inbox_config import AlertConfigs
from ledger.inbox_tokens import AlertTokens
from ledger.run_tables import RunEventRow
from ledger.states import ControlState, IntentState
from ledger.tables import ArmingRow, AuditRow, OrderSend, Transition

BREAK = SeenBreak(kind="POSITION", severity="high", subject="BTC")
ACCOUNT = "bybit.simulated.main"
EVIDENCE = ("audit", "order_send", "control", "alert_token", "alert_config", "break_event", "adjustment")
OTHER = "bybit.simulated.other"


@pytest.fixture
def recorded(ledger: Ledger, samples: Any) -> Ledger:
    """A ledger with links of every kind: five sends, two controls, an arming step, three decisions, three of alerts."""
    with ledger.write() as session:
        session.add(samples.intent("i1"))
        session.flush()
        session.add(samples.attempt("c1"))
        session.flush()
    for ordinal in range(1, 6):
        with ledger.write() as session:
            session.add(_send(samples, ordinal))
    with ledger.write() as session:
        set_control(session, ACCOUNT, ControlState.PAUSE, reason="lunch", set_by="ann", at=samples.start)
        set_control(session, pool_scope("p"), ControlState.HALT, reason="storm", set_by="bob", at=samples.start)
        session.add(ArmingRow(pool="p", state="disarmed", reason="start", recorded_at=samples.start))
        session.flush()
        for who, to_state in (("person:w1", "acked"), ("resolver:w1", "adopted_late"), ("worker:w1", "sending")):
            session.add(_transition(samples, who, to_state))
        record_breaks(session, ACCOUNT, [BREAK], at=samples.start)
        identity = break_id(ACCOUNT, BREAK.kind, BREAK.subject)
        decide_break(session, identity, decision="a manual trade", decided_by="ann", at=samples.start)
        session.add(_adjustment(samples))
    AlertTokens(ledger).add_token("tv", by="ann")
    AlertConfigs(ledger).apply_config("sources: {}", by="ann")
    with ledger.write() as session:
        for worker in ("person:ann", "drain-1"):
            session.add(_alert_move(samples, worker))
            session.add(_run_event(samples, worker))
    return ledger


def _adjustment(samples: Any) -> Adjustment:
    return Adjustment(
        account_id=OTHER,
        break_id="b",
        subject="balance USDT",
        currency="USDT",
        amount=Decimal("-5"),
        reason="a fee that the feed does not show",
        set_by="ann",
        counts_from=samples.start,
        recorded_at=samples.start,
    )


def _alert_move(samples: Any, worker: str) -> InboxEvent:
    return InboxEvent(
        alert_id=1, at=samples.start, worker=worker, from_state="dead", to_state="queued", epoch=1, reason="R"
    )


def _run_event(samples: Any, who: str) -> RunEventRow:
    return RunEventRow(run_id="r1", kind="approved", run_hash="h1", who=who, at=samples.start)


def _send(samples: Any, ordinal: int) -> OrderSend:
    return OrderSend(
        send_id=f"c1-{ordinal}",
        client_order_id="c1",
        account_id=ACCOUNT,
        ordinal=ordinal,
        epoch=1,
        worker="w1",
        not_after=samples.start,
        committed_at=samples.start + timedelta(seconds=ordinal),
    )


def _transition(samples: Any, who: str, to_state: str) -> Transition:
    return Transition(intent_id="i1", from_state="x", to_state=to_state, epoch=1, who=who, reason="R", at=samples.start)


def verified(ledger: Ledger, anchors: dict[tuple[str, int], str] | None = None) -> AuditReport:
    with ledger.read() as session:
        return verify_audit(session, anchors)


def tamper(ledger: Ledger, *statements: str, tables: tuple[str, ...] = EVIDENCE) -> None:
    """What someone with the database's own tools can do: take the triggers away, then anything."""
    is_sqlite = ledger.url.startswith("sqlite")
    with ledger.write() as session:
        connection = session.connection()
        for table in tables:
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER {table}_no_{verb}" + ("" if is_sqlite else f" ON {table}")))
        for statement in statements:
            assert connection.execute(text(statement)).rowcount, f"changed nothing: {statement}"


def test_an_honest_ledger_is_whole(recorded: Ledger) -> None:
    report = verified(recorded)
    assert (report.findings, report.before) == ([], 0)
    assert {chain: head[0] for chain, head in report.heads.items()} == {
        "ledger": 1,
        ACCOUNT: 8,  # 5 sends, 2 moves, 1 break
        f"{ACCOUNT}/control": 1,
        OTHER: 1,
        "pool:p": 1,
        "pool:p/control": 1,
        "alerts": 3,
        "runs": 1,
    }
    assert report.links == 17
    with recorded.read() as session:
        kinds = [row.kind for row in session.exec(select(AuditRow))]
    # A decision on a break was a link of its own kind before every step of a break was kept.
    assert set(kinds) | {audit.AuditKind.BREAK_DECISION.value} == {kind.value for kind in audit.AuditKind}


FIELDS = "kind, subject, who, detail, previous_sha256, sha256, recorded_at"
SEND3 = "subject = 'send:c1-3'"
TAMPERINGS: dict[str, tuple[tuple[str, ...], AuditFault, str, int]] = {
    "a link is edited": ((f"UPDATE audit SET who = 'x' WHERE {SEND3}",), AuditFault.AUDIT_LINK_BROKEN, ACCOUNT, 3),
    "the middle link is deleted": ((f"DELETE FROM audit WHERE {SEND3}",), AuditFault.AUDIT_LINK_BROKEN, ACCOUNT, 4),
    "the last link is deleted": (
        (f"DELETE FROM audit WHERE chain = '{ACCOUNT}' AND ordinal = 8",),
        AuditFault.AUDIT_ROW_UNRECORDED,
        ACCOUNT,
        0,
    ),
    "two links are swapped": (
        (
            f"UPDATE audit SET ordinal = 99 WHERE {SEND3}",
            "UPDATE audit SET ordinal = 3 WHERE subject = 'send:c1-4'",
            f"UPDATE audit SET ordinal = 4 WHERE {SEND3}",
        ),
        AuditFault.AUDIT_LINK_BROKEN,
        ACCOUNT,
        3,
    ),
    "a link is put in": (
        (f"INSERT INTO audit (chain, ordinal, {FIELDS}) SELECT chain, 9, {FIELDS} FROM audit WHERE {SEND3}",),
        AuditFault.AUDIT_LINK_BROKEN,
        ACCOUNT,
        9,
    ),
    "a send is edited": (
        ("UPDATE order_send SET worker = 'x' WHERE send_id = 'c1-3'",),
        AuditFault.AUDIT_ROW_CHANGED,
        ACCOUNT,
        3,
    ),
    "a send is deleted": (("DELETE FROM order_send WHERE send_id = 'c1-3'",), AuditFault.AUDIT_ROW_GONE, ACCOUNT, 3),
    "a payload is exchanged": (
        ("UPDATE order_attempt SET payload_sha256 = 'x'",),
        AuditFault.AUDIT_ROW_CHANGED,
        ACCOUNT,
        1,
    ),
    "a control is lifted in place": (
        ("UPDATE control SET state = 'run' WHERE scope = 'pool:p'",),
        AuditFault.AUDIT_ROW_CHANGED,
        "pool:p/control",
        1,
    ),
    "a control is put in": (
        (
            "INSERT INTO control (scope, state, reason, set_by, set_at) "
            "SELECT scope, 'run', 'x', 'x', set_at FROM control WHERE scope = 'pool:p'",
        ),
        AuditFault.AUDIT_ROW_UNRECORDED,
        "pool:p",
        0,
    ),
    "a decision on a break is edited": (
        ("UPDATE reconciliation_break SET decision = 'fine'",),
        AuditFault.AUDIT_ROW_CHANGED,
        ACCOUNT,
        8,
    ),
    "a person's name on a decision is edited": (
        ("UPDATE break_event SET approved_by = 'bob' WHERE step = 'explained'",),
        AuditFault.AUDIT_ROW_CHANGED,
        ACCOUNT,
        8,
    ),
    "a correcting entry is edited": (
        ("UPDATE adjustment SET amount = '-500'",),
        AuditFault.AUDIT_ROW_CHANGED,
        OTHER,
        1,
    ),
    "a correcting entry is deleted": (("DELETE FROM adjustment",), AuditFault.AUDIT_ROW_GONE, OTHER, 1),
    "a retired token is brought back": (
        ("UPDATE alert_token SET token_sha256 = 'x'",),
        AuditFault.AUDIT_ROW_CHANGED,
        "alerts",
        1,
    ),
    "routes are exchanged": (("UPDATE alert_config SET body = 'x'",), AuditFault.AUDIT_ROW_CHANGED, "alerts", 2),
    "a token is put in": (
        (
            "INSERT INTO alert_token (source, token_sha256, state, set_by, reason, set_at) "
            "SELECT source, 'y', 'active', 'x', 'x', set_at FROM alert_token",
        ),
        AuditFault.AUDIT_ROW_UNRECORDED,
        "alerts",
        0,
    ),
    "the first link is deleted": (
        ("DELETE FROM audit WHERE chain = 'ledger'",),
        AuditFault.AUDIT_START_WRONG,
        "ledger",
        1,
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_and_named(recorded: Ledger, name: str) -> None:
    statements, fault, chain, ordinal = TAMPERINGS[name]
    tamper(recorded, *statements)
    first = verified(recorded).findings[0]
    assert (first.fault, first.chain, first.ordinal) == (fault, chain, ordinal), str(first)


def rewrite(ledger: Ledger, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the account's whole chain anew, every hash right, with `change` made to each link."""
    tamper(ledger, tables=("audit",))
    with ledger.write() as session:
        previous = ""
        for row in session.exec(select(AuditRow).where(AuditRow.chain == ACCOUNT).order_by(AuditRow.ordinal)):  # type: ignore[arg-type]
            content = row.model_dump()
            change(content)
            content["previous_sha256"] = previous
            content["sha256"] = previous = audit.link_sha256(content)
            for field, value in content.items():
                setattr(row, field, value)


def test_a_chain_written_anew_is_found_by_the_anchors(recorded: Ledger, samples: Any, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    assert add_anchor(file, verified(recorded).heads, at=samples.start)
    with recorded.write() as session:
        session.add(_send(samples, 6))
    rewrite(recorded, lambda content: content.update(who="someone else"))
    assert verified(recorded).is_whole  # consistent in itself
    first = verified(recorded, read_anchors(file)).findings[0]
    assert (first.fault, first.chain, first.ordinal) == (AuditFault.AUDIT_ANCHOR_DIFFERS, ACCOUNT, 8)


def test_an_end_cut_off_with_its_rows_is_found_by_the_anchors(recorded: Ledger, samples: Any, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    with recorded.write() as session:
        session.add(_send(samples, 6))
    add_anchor(file, verified(recorded).heads, at=samples.start)
    tamper(
        recorded,
        "DELETE FROM audit WHERE subject = 'send:c1-6'",
        "DELETE FROM order_send WHERE send_id = 'c1-6'",
    )
    assert verified(recorded).is_whole
    first = verified(recorded, read_anchors(file)).findings[0]
    assert (first.fault, first.chain, first.ordinal) == (AuditFault.AUDIT_ANCHOR_DIFFERS, ACCOUNT, 9)


def test_a_second_link_for_the_same_row_is_found(recorded: Ledger, samples: Any) -> None:
    with recorded.write() as session:
        row = session.get(OrderSend, "c1-3")
        assert row is not None
        audit._sent(None, session.connection(), row)
    assert [finding.fault for finding in verified(recorded).findings] == [AuditFault.AUDIT_ROW_TWICE]


def test_what_is_rolled_back_leaves_no_link(recorded: Ledger, samples: Any) -> None:
    with pytest.raises(RuntimeError), recorded.write() as session:
        session.add(_send(samples, 6))
        session.flush()
        raise RuntimeError
    assert verified(recorded).heads[ACCOUNT][0] == 8


def _as_before(ledger: Ledger) -> None:
    """Make the ledger look as the upgrade finds it: rows, and no audit."""
    tamper(ledger, "DELETE FROM audit")
    with ledger.write() as session:
        begin_audit(session.connection())


def test_rows_from_before_the_audit_are_no_tampering(recorded: Ledger, samples: Any) -> None:
    _as_before(recorded)
    with recorded.write() as session:
        session.add(_send(samples, 6))
        set_control(session, ACCOUNT, ControlState.RUN, reason="back", set_by="ann", at=samples.start)
    report = verified(recorded)
    assert (report.findings, report.before) == ([], 16)
    assert (report.heads[ACCOUNT][0], report.heads[f"{ACCOUNT}/control"][0]) == (1, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_send SET worker = 'x' WHERE send_id = 'c1-3'",
        "DELETE FROM control WHERE scope = 'pool:p'",
        "INSERT INTO control (scope, state, reason, set_by, set_at) SELECT scope, 'run', 'x', 'x', set_at FROM control",
        "UPDATE reconciliation_break SET decision = 'fine'",
    ],
)
def test_rows_from_before_the_audit_stay_as_they_were(recorded: Ledger, statement: str) -> None:
    _as_before(recorded)
    with recorded.write() as session:
        session.connection().execute(text(statement))
    assert verified(recorded).findings[0].fault in (AuditFault.AUDIT_START_WRONG, AuditFault.AUDIT_ROW_UNRECORDED)


# -- anchors ----------------------------------------------------------------------------------------------------
def test_anchors_are_private_grow_only_when_something_is_new_and_lie_beside_the_ledger(
    tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = anchors_of(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert file == tmp_path / "ledger.db.audit-anchors.jsonl"
    assert add_anchor(file, {"a": (1, "x")}, at=samples.start)
    assert not add_anchor(file, {"a": (1, "x")}, at=samples.start)
    assert add_anchor(file, {"a": (2, "y")}, at=samples.start)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_anchors(file) == {("a", 1): "x", ("a", 2): "y"}
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert anchors_of("postgresql+psycopg://ledger@127.0.0.1/x").is_relative_to(tmp_path)
    monkeypatch.setenv("ALGOTRENDY_AUDIT_ANCHORS", str(tmp_path / "elsewhere"))
    assert anchors_of("postgresql+psycopg://ledger@127.0.0.1/x") == tmp_path / "elsewhere"


@pytest.mark.parametrize("line", ["{", "[]", '{"heads": {"a": [1]}}', json.dumps({"heads": {"a": [1, "other"]}})])
def test_a_damaged_anchor_is_refused(tmp_path: Path, samples: Any, line: str) -> None:
    file = tmp_path / "anchors.jsonl"
    add_anchor(file, {"a": (1, "x")}, at=samples.start)
    with file.open("a") as sink:
        sink.write(line + "\n")
    with pytest.raises(AnchorsUnreadable, match="line 2"):
        read_anchors(file)


def test_a_detail_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="amounts and times, was set"):
        audit.canonical_json({"x": {1}})
    assert IntentState.ADOPTED_LATE.value == "adopted_late"
