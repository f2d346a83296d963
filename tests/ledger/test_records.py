"""Evidence is stored once, by the venue's ids; the same id with other content is a conflict, not an update."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import AccountProof, CashEventKind, ClockReading, Fill, MarginMode, OrderSide, OrderStatus
from ledger.engine import ConflictingEvidence, Ledger
from ledger.records import (
    CHUNK,
    Feed,
    Imported,
    advance_cursor,
    cash_events_of,
    cursor,
    fills_of,
    fills_of_intent,
    fills_of_plan,
    insert_cash_events,
    insert_fills,
    orders_of,
    orders_with_status,
    record_account,
    upsert_orders,
)
from ledger.tables import AccountRow, OrderRow

LATER = timedelta(minutes=1)


def store_fills(ledger: Ledger, samples: Any, *fills: Fill) -> Imported:
    with ledger.write() as session:
        return insert_fills(session, fills, at=samples.start)


# -- fills and cash events --------------------------------------------------------------------------------------
def test_a_fill_is_stored_once(ledger: Ledger, samples: Any) -> None:
    fills = [samples.fill("t1"), samples.fill("t2", time=samples.start)]
    with ledger.write() as session:
        assert insert_fills(session, fills, at=samples.start) == Imported(new=2)
        assert insert_fills(session, fills, at=samples.start + LATER) == Imported(known=2)
    with ledger.read() as session:
        rows = fills_of(session, samples.account_id)
        assert [(row.trade_id, row.recorded_at) for row in rows] == [("t2", samples.start), ("t1", samples.start)]
        assert (rows[1].quantity, rows[1].fee, rows[1].side) == (Decimal("0.5"), Decimal("0.05"), "buy")


def test_one_batch_may_show_a_row_twice(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        assert insert_fills(session, [samples.fill(), samples.fill()], at=samples.start) == Imported(new=1)
    with pytest.raises(ConflictingEvidence), ledger.write() as session:
        doubled = [samples.fill("t9"), samples.fill("t9", price=Decimal(7))]
        insert_fills(session, doubled, at=samples.start)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": Decimal("100.01")}, "price is 100, was received as 100.01"),
        ({"quantity": Decimal(1)}, "quantity is 0.5, was received as 1"),
        ({"side": OrderSide.SELL}, "side is buy, was received as sell"),
        ({"fee": Decimal(0)}, "fee is 0.05, was received as 0"),
        ({"venue_order_id": VenueOrderId("o9")}, "venue_order_id is o1, was received as o9"),
        ({"instrument_id": InstrumentId("ETH/USDT:USDT")}, "instrument_id is BTC/USDT:USDT, was received as ETH"),
        ({"kind": "busttrade"}, "kind is trade, was received as busttrade"),
    ],
)
def test_another_content_of_a_fill_is_a_conflict(
    ledger: Ledger, samples: Any, change: dict[str, Any], message: str
) -> None:
    with ledger.write() as session:
        insert_fills(session, [samples.fill()], at=samples.start)
    with pytest.raises(ConflictingEvidence, match=f"fill t1 of bybit.simulated.main is stored .*{message}") as caught:
        store_fills(ledger, samples, samples.fill("t0"), samples.fill(**change))
    assert list(caught.value.stored) == list(change)
    with ledger.read() as session:
        (row,) = fills_of(session, samples.account_id)
        assert (row.price, row.quantity) == (Decimal(100), Decimal("0.5"))


def test_equal_amounts_in_other_writing_are_equal(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        insert_fills(session, [samples.fill()], at=samples.start)
        same = samples.fill(price=Decimal("1.0E+2"), quantity=Decimal("0.500"))
        assert insert_fills(session, [same], at=samples.start).known == 1


def test_our_id_may_be_missing_in_one_of_two_reports(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        insert_fills(session, [samples.fill(client_order_id=ClientOrderId("c1"))], at=samples.start)
        assert insert_fills(session, [samples.fill()], at=samples.start).known == 1
    with pytest.raises(ConflictingEvidence, match="client_order_id is c1, was received as c2"):
        store_fills(ledger, samples, samples.fill(client_order_id=ClientOrderId("c2")))


def test_a_cash_event_is_stored_once(ledger: Ledger, samples: Any) -> None:
    event = samples.cash_event(venue_kind="TRADE", balance_after=Decimal("999.95"))
    with ledger.write() as session:
        assert insert_cash_events(session, [event], at=samples.start).new == 1
        assert insert_cash_events(session, [event], at=samples.start).known == 1
    message = "kind is fee, was received as unmapped"
    with pytest.raises(ConflictingEvidence, match=message), ledger.write() as session:
        insert_cash_events(session, [replace(event, kind=CashEventKind.UNMAPPED)], at=samples.start)
    with ledger.read() as session:
        (row,) = cash_events_of(session, samples.account_id)
        assert (row.amount, row.venue_kind, row.balance_after) == (Decimal("-0.05"), "TRADE", Decimal("999.95"))


def test_windows_leave_out_the_start_and_keep_the_end(ledger: Ledger, samples: Any) -> None:
    times = [samples.start + timedelta(microseconds=n) for n in range(4)]
    with ledger.write() as session:
        insert_fills(session, [samples.fill(f"t{n}", time=time) for n, time in enumerate(times)], at=samples.start)
    with ledger.read() as session:
        found = fills_of(session, samples.account_id, after=times[0], until=times[2])
        assert [row.trade_id for row in found] == ["t1", "t2"]
        assert fills_of(session, "bybit.simulated.other") == ()


def test_large_batches_go_in_pieces(ledger: Ledger, samples: Any) -> None:
    number = 2 * CHUNK + 1
    fills = [samples.fill(f"t{n}") for n in range(number)]
    with ledger.write() as session:
        assert insert_fills(session, fills[: CHUNK + 7], at=samples.start).new == CHUNK + 7
        assert insert_fills(session, iter(fills), at=samples.start) == Imported(new=CHUNK - 6, known=CHUNK + 7)


def test_two_writers_store_a_fill_once(ledger: Ledger, samples: Any) -> None:
    """On PostgreSQL both see the row missing; one inserts, the other waits and finds it."""
    fills = [samples.fill(f"t{n}") for n in range(50)]
    barrier, results = threading.Barrier(4), []

    def write() -> None:
        barrier.wait(timeout=60)
        with ledger.write() as session:
            results.append(insert_fills(session, fills, at=samples.start))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.new for result in results) == 50
    assert sum(result.known for result in results) == 150


# -- orders -----------------------------------------------------------------------------------------------------
def stored_order(ledger: Ledger, samples: Any) -> OrderRow:
    with ledger.read() as session:
        (row,) = orders_of(session, samples.account_id)
        return row


def test_an_order_follows_the_newest_report(ledger: Ledger, samples: Any) -> None:
    filled = samples.order(
        status=OrderStatus.FILLED,
        filled_quantity=Decimal(1),
        average_price=Decimal(100) / 3,
        updated_at=samples.start + LATER,
    )
    with ledger.write() as session:
        assert upsert_orders(session, [samples.order()], at=samples.start) == Imported(new=1)
        assert upsert_orders(session, [samples.order()], at=samples.start + LATER) == Imported(known=1)
        assert upsert_orders(session, [filled], at=samples.start + LATER) == Imported(changed=1)
    row = stored_order(ledger, samples)
    assert (row.status, row.filled_quantity) == ("filled", Decimal(1))
    assert row.average_price == Decimal("33.333333333333333333")
    assert (row.first_seen_at, row.last_seen_at) == (samples.start, samples.start + LATER)


@pytest.mark.parametrize(
    "stale",
    [
        {"updated_at_offset": -1},
        {"updated_at_offset": 0, "filled_quantity": Decimal("0.2")},
        {"updated_at_offset": 0, "filled_quantity": Decimal("0.4"), "status": OrderStatus.PARTIALLY_FILLED},
    ],
)
def test_a_stale_report_changes_nothing(ledger: Ledger, samples: Any, stale: dict[str, Any]) -> None:
    at = samples.start + LATER
    latest = samples.order(status=OrderStatus.CANCELLED, filled_quantity=Decimal("0.4"), updated_at=at)
    offset = timedelta(seconds=stale["updated_at_offset"])
    fields = {name: value for name, value in stale.items() if name != "updated_at_offset"}
    with ledger.write() as session:
        upsert_orders(session, [latest], at=at)
        assert upsert_orders(session, [samples.order(updated_at=at + offset, **fields)], at=at + LATER).known == 1
    row = stored_order(ledger, samples)
    assert (row.status, row.filled_quantity, row.last_seen_at) == ("cancelled", Decimal("0.4"), at + LATER)


@pytest.mark.parametrize("change", [{"side": OrderSide.SELL}, {"instrument_id": InstrumentId("ETH/USDT:USDT")}])
def test_another_order_under_the_same_id_is_a_conflict(ledger: Ledger, samples: Any, change: dict[str, Any]) -> None:
    with ledger.write() as session:
        upsert_orders(session, [samples.order()], at=samples.start)
    with pytest.raises(ConflictingEvidence, match="order o1 of bybit"), ledger.write() as session:
        upsert_orders(session, [samples.order(**change)], at=samples.start)


def test_another_client_order_id_is_a_conflict(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        upsert_orders(session, [samples.order()], at=samples.start)
        upsert_orders(session, [samples.order(client_order_id=ClientOrderId("c1"))], at=samples.start)
    assert stored_order(ledger, samples).client_order_id == "c1"
    message = "client_order_id is c1, was received as c2"
    with pytest.raises(ConflictingEvidence, match=message), ledger.write() as session:
        upsert_orders(session, [samples.order(client_order_id=ClientOrderId("c2"))], at=samples.start)


def test_orders_and_fills_are_linked_to_their_intent(ledger: Ledger, samples: Any) -> None:
    ours = samples.order("o1", client_order_id=ClientOrderId("c1"), status=OrderStatus.FILLED)
    foreign = samples.order("o2", client_order_id=ClientOrderId("web-1"))
    with ledger.write() as session:
        session.add_all([samples.intent("i1", plan_id="p1"), samples.intent("i2", plan_id="p1")])
        session.flush()
        session.add_all([samples.attempt("c1"), samples.attempt("c2", attempt_number=2)])
        session.flush()
        upsert_orders(session, [ours, foreign], at=samples.start)
        by_id = samples.fill("t1", client_order_id=ClientOrderId("c2"), venue_order_id=VenueOrderId("o3"))
        insert_fills(
            session,
            [by_id, samples.fill("t2"), samples.fill("t3", venue_order_id=VenueOrderId("o2"))],
            at=samples.start,
        )
    with ledger.read() as session:
        assert [row.venue_order_id for row in orders_of(session, samples.account_id, ours=True)] == ["o1"]
        assert [row.venue_order_id for row in orders_of(session, samples.account_id, ours=False)] == ["o2"]
        assert [row.trade_id for row in fills_of_intent(session, "i1")] == ["t1", "t2"]
        assert [row.client_order_id for row in fills_of(session, samples.account_id)] == ["c2", "c1", "web-1"]
        assert fills_of_intent(session, "absent") == ()
        assert fills_of_plan(session, "p1") == {"i1": fills_of_intent(session, "i1")}
        assert fills_of_plan(session, "absent") == {}
        assert [r.venue_order_id for r in orders_with_status(session, samples.account_id, ["working"])] == ["o2"]
        assert orders_of(session, samples.account_id, since=samples.start + LATER) == ()


def test_two_writers_store_an_order_once(ledger: Ledger, samples: Any) -> None:
    orders = [samples.order(f"o{n}") for n in range(20)]
    barrier, results = threading.Barrier(4), []

    def write() -> None:
        barrier.wait(timeout=60)
        with ledger.write() as session:
            results.append(upsert_orders(session, orders, at=samples.start))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.new for result in results) == [0, 0, 0, 20]


# -- accounts and cursors ---------------------------------------------------------------------------------------
def proof(samples: Any, venue_account: str = "uid-1") -> AccountProof:
    return AccountProof(
        account_id=samples.account_id,
        venue_account=venue_account,
        host="127.0.0.1",
        key_fingerprint="0123456789abcdef",
        can_trade=True,
        can_withdraw=False,
        permissions=("orders",),
        margin_mode=MarginMode.CROSS,
        clock=ClockReading(samples.start, timedelta(0), timedelta(0)),
    )


def test_an_account_keeps_its_venue_account(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        record_account(session, samples.account_id, at=samples.start)
        record_account(session, samples.account_id, at=samples.start + LATER, proof=proof(samples))
        record_account(session, samples.account_id, at=samples.start + 2 * LATER)
    with ledger.read() as session:
        row = session.get(AccountRow, str(samples.account_id))
        assert row is not None
        assert (row.venue, row.environment, row.name) == ("bybit", "simulated", "main")
        assert (row.venue_account, row.key_fingerprint) == ("uid-1", "0123456789abcdef")
        assert (row.first_seen_at, row.last_proved_at) == (samples.start, samples.start + LATER)
    message = "venue_account is uid-1, was received as uid-2"
    with pytest.raises(ConflictingEvidence, match=message), ledger.write() as session:
        record_account(session, samples.account_id, at=samples.start, proof=proof(samples, "uid-2"))


def test_cursors_only_move_forward(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        assert cursor(session, samples.account_id, Feed.FILLS) is None
        for offset in (0, 2, 1):
            read_until = samples.start + offset * LATER
            advance_cursor(session, samples.account_id, Feed.FILLS, read_until=read_until, at=samples.start)
        assert cursor(session, samples.account_id, Feed.FILLS) == samples.start + 2 * LATER
        assert cursor(session, samples.account_id, Feed.ORDERS) is None
