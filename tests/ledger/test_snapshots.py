"""What the ledger expects an account to hold: the baseline plus everything since, to the last digit."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.ids import InstrumentId
from brokers.types import OrderSide, PositionMode
from ledger.engine import Ledger, NoBaseline
from ledger.records import insert_cash_events, insert_fills
from ledger.snapshots import (
    baseline,
    holds_position,
    latest_snapshot,
    ledger_balances,
    ledger_positions,
    load_snapshot,
    store_snapshot,
)
from ledger.states import SnapshotPurpose

PERPETUAL = "BTC/USDT:USDT"


def store(ledger: Ledger, samples: Any, **fields: Any) -> int:
    values: dict[str, Any] = {
        "purpose": SnapshotPurpose.BASELINE,
        "taken_at": samples.start,
        "balances": [samples.balance()],
        "positions": [samples.position("2")],
    }
    with ledger.write() as session:
        return store_snapshot(session, samples.account_id, **(values | fields))


def test_a_snapshot_comes_back(ledger: Ledger, samples: Any) -> None:
    legs = [
        samples.position("1.5", mode=PositionMode.HEDGE),
        samples.position("-0.5", mode=PositionMode.HEDGE),
        samples.position("0", instrument_id=InstrumentId("ETH/USDT:USDT")),
    ]
    number = store(ledger, samples, positions=legs, reference="run-1", purpose=SnapshotPurpose.AFTER_PLAN)
    with ledger.read() as session:
        snapshot = load_snapshot(session, number)
    assert (snapshot.purpose, snapshot.reference, snapshot.taken_at) == (
        SnapshotPurpose.AFTER_PLAN,
        "run-1",
        samples.start,
    )
    assert [(row.position_side, row.quantity) for row in snapshot.positions] == [
        ("long", Decimal("1.5")),
        ("short", Decimal("-0.5")),
    ]
    assert snapshot.positions[0].average_price == Decimal("33.333333333333333333")
    assert snapshot.net_positions == {PERPETUAL: Decimal(1)}
    assert snapshot.totals == {"USDT": Decimal(1000)}


def test_there_is_no_snapshot_of_that_number(ledger: Ledger) -> None:
    with ledger.read() as session, pytest.raises(LookupError, match="no snapshot 7"):
        load_snapshot(session, 7)


def test_the_newest_counts(ledger: Ledger, samples: Any) -> None:
    first = store(ledger, samples)
    second = store(ledger, samples, purpose=SnapshotPurpose.SYNC)
    with ledger.read() as session:
        newest = latest_snapshot(session, samples.account_id)
        assert newest is not None and newest.snapshot_id == second
        assert baseline(session, samples.account_id).snapshot_id == first
        assert latest_snapshot(session, samples.account_id, purpose=SnapshotPurpose.BEFORE_PLAN) is None


def test_without_a_baseline_nothing_is_claimed(ledger: Ledger, samples: Any) -> None:
    with ledger.read() as session:
        for figures in (ledger_positions, ledger_balances):
            with pytest.raises(NoBaseline, match="main has no baseline"):
                figures(session, samples.account_id)


def test_evidence_counts_from_the_baseline_on(ledger: Ledger, samples: Any) -> None:
    store(ledger, samples)
    moments = [samples.start + timedelta(seconds=s) for s in (-1, 0, 1, 2)]
    with ledger.write() as session:
        fills = [samples.fill(f"t{n}", time=at, quantity=Decimal(n + 1)) for n, at in enumerate(moments)]
        fills.append(samples.fill("t9", time=moments[3], side=OrderSide.SELL, quantity=Decimal("0.25")))
        insert_fills(session, fills, at=samples.start)
        insert_cash_events(
            session, [samples.cash_event(f"e{n}", time=at) for n, at in enumerate(moments)], at=samples.start
        )
    with ledger.read() as session:
        account = samples.account_id
        assert ledger_positions(session, account) == {PERPETUAL: Decimal("8.75")}  # 2 + 3 + 4 - 0.25
        assert ledger_positions(session, account, until=moments[2]) == {PERPETUAL: Decimal(5)}
        assert ledger_balances(session, account) == {"USDT": Decimal("999.9")}
        assert ledger_balances(session, account, until=moments[2]) == {"USDT": Decimal("999.95")}


def test_a_closed_position_disappears_and_new_ones_appear(ledger: Ledger, samples: Any) -> None:
    store(ledger, samples)
    with ledger.write() as session:
        closing = samples.fill("t1", side=OrderSide.SELL, quantity=Decimal(2))
        share = samples.fill("t2", instrument_id=InstrumentId("AAPL"))
        insert_fills(session, [closing, share], at=samples.start)
    with ledger.read() as session:
        assert ledger_positions(session, samples.account_id) == {"AAPL": Decimal("0.5")}


def test_spot_trades_move_balances_not_positions(ledger: Ledger, samples: Any) -> None:
    store(ledger, samples)
    with ledger.write() as session:
        insert_fills(session, [samples.fill("t1", instrument_id=InstrumentId("BTC/USDT"))], at=samples.start)
        events = [
            samples.cash_event("e1", currency="BTC", amount=Decimal("0.5")),
            samples.cash_event("e2", amount=Decimal(-50)),
        ]
        insert_cash_events(session, events, at=samples.start)
    with ledger.read() as session:
        assert ledger_positions(session, samples.account_id) == {PERPETUAL: Decimal(2)}
        assert ledger_balances(session, samples.account_id) == {"BTC": Decimal("0.5"), "USDT": Decimal(950)}


@pytest.mark.parametrize(
    ("instrument_id", "expected"),
    [("BTC/USDT", False), ("BTC/USDT:USDT", True), ("AAPL", True), ("MESZ6", True)],
)
def test_which_instruments_are_held_as_positions(instrument_id: str, expected: bool) -> None:
    assert holds_position(instrument_id) is expected


def test_sums_are_exact_beyond_the_default_precision(ledger: Ledger, samples: Any) -> None:
    large, small = Decimal("12345678901234567890"), Decimal("0.000000000000000001")
    store(ledger, samples, balances=[samples.balance(total=str(large))])
    with ledger.write() as session:
        events = [samples.cash_event(f"e{n}", amount=small) for n in range(10)]
        insert_cash_events(session, events, at=samples.start)
    with ledger.read() as session:
        balances = ledger_balances(session, samples.account_id)
        assert balances == {"USDT": Decimal("12345678901234567890.00000000000000001")}
