"""The report of what the ledger recorded of an account: its orders, fills and wallet changes, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from brokers.ids import AccountId
from flows.reports.model import Column, Figure, Report, Table, Tone
from flows.reports.plain import moment, number, plain, words
from ledger.engine import Ledger
from ledger.records import cash_events_of, fills_of, orders_of
from ledger.tables import CashEventRow, FillRow, OrderRow


def ledger_report(ledger: Ledger, account_id: AccountId) -> Report:
    """Read the ledger once and show what it holds of the account."""
    with ledger.read() as session:
        orders = list(orders_of(session, account_id))
        fills = list(fills_of(session, account_id))
        events = list(cash_events_of(session, account_id))
    ours = sum(order.intent_id is not None for order in orders)
    return Report(
        kind="ledger",
        title=f"What the ledger recorded of {account_id}",
        subtitle="Every order, fill and wallet change, as the venue reported it",
        tone=Tone.NEUTRAL,
        verdict=f"{len(orders)} order(s), {ours} of them ours, {len(fills)} fill(s), {len(events)} wallet change(s).",
        figures=(
            Figure("Orders", str(len(orders)), f"{ours} ours"),
            Figure("Fills", str(len(fills))),
            Figure("Wallet changes", str(len(events))),
        ),
        sections=(_orders(orders), _fills(fills), _events(events)),
        data={"account": str(account_id)},
        evidence={
            "orders": [_row(order, "account_id", "first_seen_at", "last_seen_at") for order in orders],
            "fills": [_row(fill, "account_id", "recorded_at") for fill in fills],
        },
    )


def _row(row: OrderRow | FillRow, *left_out: str) -> dict[str, Any]:
    found: dict[str, Any] = plain(row)
    return {name: value for name, value in found.items() if name not in left_out}


def _orders(rows: Iterable[OrderRow]) -> Table:
    cells = tuple(
        (
            moment(row.created_at),
            row.instrument_id,
            row.side,
            number(row.quantity),
            number(row.filled_quantity),
            number(row.average_price, places_max=8),
            words(row.status),
            "ours" if row.intent_id else "not ours",
            row.client_order_id or "",
            row.venue_order_id,
        )
        for row in rows
    )
    columns = (
        Column("Created"),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("Average price", is_number=True),
        Column("Status"),
        Column("Whose", narrow=False),
        Column("Client order id", narrow=False),
        Column("Venue order id", narrow=False),
    )
    return Table("orders", "Orders", columns, cells, empty="No order.")


def _fills(rows: Iterable[FillRow]) -> Table:
    cells = tuple(
        (
            moment(row.time),
            row.instrument_id,
            row.side,
            number(row.quantity),
            number(row.price),
            f"{number(row.fee)} {row.fee_currency}",
            row.liquidity,
            row.trade_id,
        )
        for row in rows
    )
    columns = (
        Column("Time"),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Price", is_number=True),
        Column("Fee", is_number=True),
        Column("Liquidity"),
        Column("Trade id", narrow=False),
    )
    return Table("fills", "Fills", columns, cells, empty="No fill.")


def _events(rows: Iterable[CashEventRow]) -> Table:
    cells = tuple(
        (moment(row.time), row.kind, f"{number(row.amount, signed=True)} {row.currency}", row.instrument_id or "")
        for row in rows
    )
    columns = (Column("Time"), Column("Kind"), Column("Amount", is_number=True), Column("Instrument"))
    return Table("cash_events", "Wallet changes", columns, cells, empty="No wallet change.")
