"""Statements that go to the driver as they were compiled: values, errors and transaction are those of SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, func, insert, text
from sqlalchemy import select as select_columns
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import select

from brokers.ids import Environment
from ledger.engine import Ledger, LedgerUnavailable, WriteAborted
from ledger.reading import connection_of, read_columns, read_rows, table_of
from ledger.tables import ArmingRow, Control, Transition

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
_armings, _controls, _moves = table_of(ArmingRow), table_of(Control), table_of(Transition)
_INSERT = insert(_armings).returning(_armings.c.arming_id)
_ALL = select_columns(_armings).order_by(_armings.c.arming_id)
_SCOPES = select_columns(_controls.c.scope).where(
    _controls.c.scope.in_(bindparam("scopes", expanding=True)),
    _controls.c.state.in_(["run", "halt"]),
    _controls.c.set_at <= bindparam("at"),
)
_MOVE = insert(_moves)
_MOVES = select_columns(func.count()).select_from(_moves)


def control(scope: str, state: str = "run") -> Control:
    return Control(scope=scope, state=state, reason="start", set_by="test", set_at=AT)


def arming(notional: Decimal | None, expires_at: datetime | None) -> dict[str, Any]:
    texts = dict.fromkeys(("policy_sha256", "code_sha256", "record_sha256", "signature", "approved_by"), "")
    return {
        **texts,
        "pool": "it's \N{GREEK SMALL LETTER MU}",
        "state": "armed",
        "accounts": "[]",
        "requested_by": "ann",
        "reason": "100 % sure :x ?",
        "notional_max": notional,
        "expires_at": expires_at,
        "recorded_at": AT,
    }


def move(**changes: Any) -> dict[str, Any]:
    values = {"intent_id": "i", "from_state": "", "to_state": "received", "epoch": 0, "who": "intake", "reason": ""}
    return {**values, "detail": "", "observation_id": None, "at": AT, **changes}


def test_values_come_back_as_the_mapper_gives_them(ledger: Ledger) -> None:
    with ledger.write() as session:
        ((first,),) = read_columns(session, _INSERT, **arming(Decimal("12345678.123456789012345678"), AT))
        ((second,),) = read_columns(session, _INSERT, **arming(None, None))
    assert second == first + 1
    with ledger.read() as session:
        rows = [row.model_dump() for row in read_rows(session, ArmingRow, _ALL)]
        assert rows == [row.model_dump() for row in session.exec(select(ArmingRow).order_by("arming_id"))]
    assert [(row["notional_max"], row["expires_at"]) for row in rows] == [
        (Decimal("12345678.123456789012345678"), AT),
        (None, None),
    ]


def test_lists_of_any_length_beside_fixed_ones(ledger: Ledger) -> None:
    with ledger.write() as session:
        session.add_all([control("a"), control("b", "halt"), control("c", "pause")])  # not written yet
        for scopes, found in ((["a"], ["a"]), (["a", "b", "c"], ["a", "b"]), (["c", "b"], ["b"]), (["d"], [])):
            assert sorted(scope for (scope,) in read_columns(session, _SCOPES, scopes=scopes, at=AT)) == found


def test_a_refused_row_is_an_integrity_error_and_stores_nothing(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError), ledger.write() as session:
        read_columns(session, _MOVE, **move())
        read_columns(session, _MOVE, **move(to_state=None))
    with ledger.read() as session:
        assert read_columns(session, _MOVES) == [(0,)]


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    with pytest.raises((DBAPIError, LedgerUnavailable), match=r"read-?only"), ledger.read() as session:
        read_columns(session, _MOVE, **move())


def test_a_flush_that_failed_and_was_passed_over_is_not_called_a_success(ledger: Ledger) -> None:
    with pytest.raises(WriteAborted, match="nothing was stored"), ledger.write() as session:
        read_columns(session, _MOVE, **move())
        session.add(Transition(**move(to_state=None)))
        with pytest.raises(IntegrityError):
            session.flush()
    with ledger.read() as session:
        assert read_columns(session, _MOVES) == [(0,)]


@pytest.mark.postgres
def test_a_connection_that_is_lost_leaves_the_pool(postgres_cluster: Any, postgres_url: str) -> None:
    with Ledger.open(postgres_url, environment=Environment.SIMULATED) as ledger:
        with pytest.raises(LedgerUnavailable, match="nothing was stored"), ledger.write() as session:
            pid = connection_of(session).execute(text("SELECT pg_backend_pid()")).scalar_one()
            postgres_cluster.execute(f"SELECT pg_terminate_backend({pid}, 20000)")
            read_columns(session, _MOVE, **move())
        with ledger.read() as session:
            assert read_columns(session, _MOVES) == [(0,)]
