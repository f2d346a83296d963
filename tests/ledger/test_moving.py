"""A copied ledger is the same ledger: every row, every digit, the tag, and the next row number."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from brokers.ids import Environment
from ledger import moving
from ledger.breaks import SeenBreak, record_breaks
from ledger.controls import set_control
from ledger.engine import Ledger, LedgerError
from ledger.records import insert_cash_events, insert_fills, upsert_orders
from ledger.snapshots import ledger_balances, store_snapshot
from ledger.states import ControlState, SnapshotPurpose


def fill_ledger(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        account, at = samples.account_id, samples.start
        session.add(samples.intent("i1"))
        session.flush()
        session.add(samples.attempt("c1"))
        upsert_orders(session, [samples.order()], at=at)
        small = Decimal("12345678901234567890.123456789012345678")
        insert_fills(session, [samples.fill(f"t{n}", price=small) for n in range(moving.ROWS_AT_ONCE + 3)], at=at)
        insert_cash_events(session, [samples.cash_event(amount=Decimal("-0.000000000000000001"))], at=at)
        for _ in range(3):
            store_snapshot(
                session,
                account,
                purpose=SnapshotPurpose.BASELINE,
                taken_at=at,
                balances=[samples.balance()],
                positions=[samples.position("1")],
            )
        set_control(session, account, ControlState.PAUSE, reason="r", set_by="me", at=at)
        record_breaks(session, account, [SeenBreak(kind="K", severity="low", subject="s")], at=at)


@pytest.fixture
def source(tmp_path: Path, samples: Any) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'source.db'}", environment=Environment.SIMULATED) as ledger:
        fill_ledger(ledger, samples)
        yield ledger


def test_a_copy_is_equal_and_carries_on(source: Ledger, open_ledger: Any, samples: Any) -> None:
    rows = moving.copy_ledger(source, open_ledger(begins_audit=False))
    assert rows["fill"] == moving.ROWS_AT_ONCE + 3 and rows["account_snapshot"] == 3 and rows["inbox"] == 0
    copy = open_ledger()
    assert copy.installation_tag == source.installation_tag
    with copy.write() as session:
        assert ledger_balances(session, samples.account_id) == {"USDT": Decimal("999.999999999999999999")}
        number = store_snapshot(
            session, "a", purpose=SnapshotPurpose.SYNC, taken_at=samples.start, balances=[], positions=[]
        )
        assert number == 4


def test_a_ledger_in_use_is_not_overwritten(source: Ledger, open_ledger: Any, samples: Any) -> None:
    target = open_ledger(begins_audit=False)
    with target.write() as session:
        set_control(session, "a", ControlState.RUN, reason="r", set_by="me", at=samples.start)
    with pytest.raises(LedgerError, match=r"table (audit|control) has rows; copy into a new database"):
        moving.copy_ledger(source, target)


def test_environments_are_not_mixed(source: Ledger, open_ledger: Any) -> None:
    with pytest.raises(LedgerError, match="belongs to simulated, the target to testnet"):
        moving.copy_ledger(source, open_ledger(environment=Environment.TESTNET))


def test_a_difference_is_noticed(source: Ledger, open_ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_table = moving._copy_table

    def lose_one(origin: Any, target: Any, table: Any) -> None:
        copy_table(origin, target, table)
        if table.name == "balance":
            target.execute(text("DELETE FROM balance WHERE snapshot_id = 1"))

    monkeypatch.setattr(moving, "_copy_table", lose_one)
    with pytest.raises(LedgerError, match="the copy of table balance differs"):
        moving.copy_ledger(source, open_ledger(begins_audit=False))


def test_the_command_says_what_it_copied(source: Ledger, ledger_url: str) -> None:
    app = typer.Typer()
    app.command()(moving.main)
    arguments = [f"sqlite:///{Path(source.url.removeprefix('sqlite:///'))}", ledger_url, "simulated"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0 and "control: 1 rows, read back equal" in done.output
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and "LEDGER_ERROR: the target's table" in again.output
