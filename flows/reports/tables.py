"""Tables of the domain's own values: balances, positions, orders, fills. Exact numbers, times in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from brokers.types import Balance, Fill, MarginHealth, Order, OrderStatus, Position
from flows.reports.model import Column, Table, Tone
from flows.reports.plain import DASH, moment, number, percent, words


def balances(items: Iterable[Balance], *, title: str = "Balances", name: str = "balances") -> Table:
    """One row per currency."""
    rows = tuple(
        (item.currency, number(item.total), number(item.available), number(item.held), moment(item.time))
        for item in sorted(items, key=lambda item: item.currency)
    )
    columns = (
        Column("Currency"),
        Column("Total", is_number=True),
        Column("Available", is_number=True),
        Column("Held", is_number=True),
        Column("Time", narrow=False),
    )
    without = any(row[2] == DASH for row in rows)
    note = "A dash: the venue gives no trustworthy figure of available money for that currency." if without else ""
    return Table(name, title, columns, rows, note=note, empty="No currency has a balance.")


def positions(items: Iterable[Position], *, title: str = "Positions", name: str = "positions") -> Table:
    """One row per position; a short position has a negative quantity."""
    rows = tuple(
        (
            str(item.instrument_id),
            words(item.side),
            number(item.quantity),
            number(item.average_price),
            number(item.mark_price),
            number(item.unrealised_pnl, signed=True),
            DASH if item.leverage is None else f"{number(item.leverage)}×",
            number(item.liquidation_price),
            moment(item.time),
        )
        for item in sorted(items, key=lambda item: (item.instrument_id, item.side))
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Average price", is_number=True),
        Column("Mark price", is_number=True),
        Column("Unrealised", is_number=True),
        Column("Leverage", is_number=True),
        Column("Liquidation", is_number=True, narrow=False),
        Column("Time", narrow=False),
    )
    return Table(name, title, columns, rows, empty="No open position.")


def orders(items: Iterable[Order], *, title: str = "Orders", name: str = "orders") -> Table:
    """One row per order as the venue reports it."""
    kept = sorted(items, key=lambda item: item.created_at)
    rows = tuple(
        (
            str(item.instrument_id),
            words(item.side),
            words(item.order_type),
            number(item.quantity),
            number(item.filled_quantity),
            _price(item),
            words(item.status) + (f" ({item.reject_code})" if item.reject_code else ""),
            moment(item.created_at),
            "" if item.client_order_id is None else str(item.client_order_id),
            str(item.venue_order_id),
        )
        for item in kept
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Type"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("Price"),
        Column("Status"),
        Column("Created", narrow=False),
        Column("Client order id", narrow=False),
        Column("Venue order id", narrow=False),
    )
    return Table(name, title, columns, rows, empty="No order.", tones=tuple(_order_tone(item) for item in kept))


def fills(items: Iterable[Fill], *, title: str = "Fills", name: str = "fills") -> Table:
    """One row per execution; a negative fee is a rebate."""
    rows = tuple(
        (
            moment(item.time),
            str(item.instrument_id),
            words(item.side),
            number(item.quantity),
            number(item.price),
            f"{number(item.fee)} {item.fee_currency}",
            words(item.liquidity),
            str(item.trade_id),
        )
        for item in items
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
    return Table(name, title, columns, rows, empty="No fill.")


def margin(health: MarginHealth) -> Table:
    """The account's margin as the venue states it; a maintenance ratio of 100 % is liquidation."""
    columns = (
        Column("Currency"),
        Column("Equity", is_number=True),
        Column("Available", is_number=True),
        Column("Initial margin", is_number=True),
        Column("Maintenance margin", is_number=True),
        Column("Maintenance ratio", is_number=True),
    )
    row = (
        health.currency,
        number(health.equity),
        number(health.available),
        number(health.initial_margin),
        number(health.maintenance_margin),
        percent(health.maintenance_ratio),
    )
    return Table("margin", "Margin", columns, (row,))


def _price(order: Order) -> str:
    parts = []
    if order.trigger_price is not None:
        parts.append(f"trigger {number(order.trigger_price)}")
    if order.limit_price is not None:
        parts.append(f"limit {number(order.limit_price)}")
    if order.average_price is not None and order.filled_quantity > Decimal(0):
        parts.append(f"filled at {number(order.average_price)}")
    return ", ".join(parts) or DASH


def _order_tone(order: Order) -> Tone:
    if order.status is OrderStatus.FILLED:
        return Tone.GOOD
    return Tone.BAD if order.status is OrderStatus.REJECTED else Tone.NEUTRAL
